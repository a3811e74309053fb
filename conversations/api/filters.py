"""What a list of conversations can be narrowed to. An id that does not exist, or is another tenant's, is a 404."""

from typing import Any

import django_filters
from django import forms
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from convalloc.api.fields import BIGGEST_ID, DIGITS
from convalloc.errors import Missing
from conversations.models import Conversation
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
    """Filters combine with AND; an empty one counts as absent. What they mean for the rows stands in conversations.walk."""

    inbox_id = IdFilter()
    operator_id = IdFilter()
    label_id = IdFilter()
    state = django_filters.ChoiceFilter(
        choices=State.choices, error_messages={"invalid_choice": "must be one of QUEUED, ALLOCATED, RESOLVED"}
    )

    class Meta:
        model = Conversation
        fields: tuple[str, ...] = ()


NAMED_BY = {"inbox_id": (Inbox, "Inbox"), "operator_id": (Operator, "Operator"), "label_id": (Label, "Label")}


def chosen(request: Request) -> dict[str, Any]:
    """What a request narrows its list to: values by the names of ConversationFilter. Raises ValidationError (400), Missing (404)."""
    form = ConversationFilter(request.query_params, queryset=Conversation.objects.none()).form
    if not form.is_valid():
        raise ValidationError(
            {field: [f'"{field}" {str(message).rstrip(".")}' for message in messages] for field, messages in form.errors.items()}
        )
    filters = {name: value for name, value in form.cleaned_data.items() if value not in (None, "")}
    for name, (model, word) in NAMED_BY.items():
        if name in filters and not model.objects.filter(pk=filters[name]).exists():
            raise Missing(what=word, sought=[filters[name]])
    return filters
