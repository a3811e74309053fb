"""What a list of conversations can be narrowed to. An id that does not exist, or is another tenant's, is a 404."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from convalloc.api.fields import BIGGEST_ID, DIGITS
from convalloc.errors import Missing
from conversations.models import Conversation, ConversationLabel
from conversations.states import State
from labels.models import Label
from operators.models import Operator
from tenants.models import Inbox


class IdField(forms.Field):
    """A positive bigint in ASCII digits; a number field would take `1e3` and `1_0` too."""

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        if not DIGITS.fullmatch(value) or not 1 <= int(value) <= BIGGEST_ID:
            raise forms.ValidationError("must be an id")
        return int(value)


class IdFilter(django_filters.Filter):
    """A bigint id, in digits."""

    field_class = IdField


class ConversationFilter(django_filters.FilterSet):
    """Filters combine with AND; an empty one counts as absent."""

    inbox_id = IdFilter(field_name="inbox_id")
    operator_id = IdFilter(method="held_by")
    label_id = IdFilter(method="wearing")
    state = django_filters.ChoiceFilter(
        choices=State.choices, error_messages={"invalid_choice": "must be one of QUEUED, ALLOCATED, RESOLVED"}
    )

    class Meta:
        model = Conversation
        fields: tuple[str, ...] = ()

    def held_by(self, rows: QuerySet[Conversation], name: str, operator_id: int) -> QuerySet[Conversation]:
        """Conversations that an operator holds. Only an allocated one has a holder; said aloud, because the index is of those alone."""
        return rows.filter(assigned_operator_id=operator_id, state=State.ALLOCATED)

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
