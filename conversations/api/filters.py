"""What a list of conversations can be narrowed to. An id that does not exist, or is another tenant's, is a 404."""

from typing import Any

import django_filters
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from convalloc.errors import Missing
from conversations.models import Conversation, ConversationLabel
from conversations.states import State
from labels.models import Label
from operators.models import Operator
from tenants.models import Inbox

BIGGEST_ID = 2**63 - 1


class IdFilter(django_filters.NumberFilter):
    """A bigint id, in digits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        messages = {"invalid": "must be an id"}
        super().__init__(
            *args, decimal_places=0, validators=[MinValueValidator(1), MaxValueValidator(BIGGEST_ID)], error_messages=messages, **kwargs
        )

    def get_max_validator(self) -> MaxValueValidator:
        """The database's own limit; django-filter's would be larger."""
        return MaxValueValidator(BIGGEST_ID)


class ConversationFilter(django_filters.FilterSet):
    """Filters combine with AND; an empty one counts as absent."""

    inbox_id = IdFilter(field_name="inbox_id")
    operator_id = IdFilter(field_name="assigned_operator_id")
    label_id = IdFilter(method="wearing")
    state = django_filters.ChoiceFilter(
        choices=State.choices, error_messages={"invalid_choice": "must be one of QUEUED, ALLOCATED, RESOLVED"}
    )

    class Meta:
        model = Conversation
        fields: tuple[str, ...] = ()

    def wearing(self, rows: QuerySet[Conversation], name: str, label_id: int) -> QuerySet[Conversation]:
        """Conversations that wear a label."""
        return rows.filter(pk__in=ConversationLabel.objects.filter(label_id=label_id).values("conversation_id"))


NAMED_BY = {"inbox_id": (Inbox, "Inbox"), "operator_id": (Operator, "Operator"), "label_id": (Label, "Label")}


def narrow(rows: QuerySet[Conversation], request: Request) -> tuple[QuerySet[Conversation], dict[str, Any]]:
    """The rows that a request asks for, and the filters by which. Raises ValidationError (400), Missing (404)."""
    filters = ConversationFilter(request.query_params, queryset=rows)
    if not filters.is_valid():
        raise ValidationError(
            {field: [f'"{field}" {message.rstrip(".")}' for message in messages] for field, messages in filters.errors.items()}
        )
    chosen = {name: value for name, value in filters.form.cleaned_data.items() if value not in (None, "")}
    for name, (model, word) in NAMED_BY.items():
        if name in chosen and not model.objects.filter(pk=chosen[name]).exists():
            raise Missing(what=word)
    return filters.qs, chosen
