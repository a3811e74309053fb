"""What a manager does to one or many conversations at once, each through the room."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from convalloc.console import Page
from conversations import lifecycle
from conversations.admin.at_once import ask, manager, to_each
from conversations.lifecycle import Override
from conversations.models import Conversation
from operators.models import Operator, OperatorStatus
from tenants.models import Inbox


@action(description="Resolve", permissions=["direct"])
def resolve(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> None:
    """Nothing more to do."""
    to_each(request, rows, "resolved", lambda pk: lifecycle.resolve(pk, by=manager(request)))


@action(description="Deallocate: back to the queue", permissions=["direct"])
def deallocate(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> None:
    """From their holders into the queue."""
    to_each(request, rows, "deallocated", lambda pk: lifecycle.deallocate(pk, by=manager(request)))


@action(description="Reassign to another operator …", permissions=["direct"])
def reassign(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
    """Another operator takes over."""
    form = ChooseOperator(request.POST if "apply" in request.POST else None)
    if not form.is_valid():
        return ask(page, request, _shown(rows), form, title="Reassign to another operator", act="reassign", tell=_tell)
    target, override = form.cleaned_data["operator"], Override(form.cleaned_data["force"], form.cleaned_data["reason"])
    to_each(request, rows, f"reassigned to {target}", lambda pk: lifecycle.reassign(pk, target.pk, override=override))
    return None


@action(description="Move to another inbox …", permissions=["direct"])
def move(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
    """Another inbox answers."""
    form = ChooseInbox(request.POST if "apply" in request.POST else None)
    if not form.is_valid():
        return ask(page, request, _shown(rows), form, title="Move to another inbox", act="move", tell=_tell)
    inbox = form.cleaned_data["inbox"]

    def act(pk: int) -> str | None:
        _, lost = lifecycle.move(pk, inbox.pk, by=manager(request))
        return f"lost {', '.join(lost)}, which {inbox} does not have" if lost else None

    to_each(request, rows, f"moved to {inbox}", act)
    return None


class Tenanted(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A choice among rows of the tenant that is bound when the form is shown, not when this file is read."""

    def __init__(self, model: Any, **options: Any) -> None:
        self.model = model
        super().__init__(queryset=None, widget=UnfoldAdminSelectWidget, **options)


class ChooseOperator(forms.Form):
    """Who takes over, and whether against the rules."""

    operator = Tenanted(Operator)
    force = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        label="Force",
        help_text="Also when the operator is not available or does not answer at the inbox",
    )
    reason = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Goes into the event log; needed to force"
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        status = dict(OperatorStatus.objects.values_list("operator_id", "status"))
        field: Any = self.fields["operator"]
        field.queryset = Operator.objects.filter(is_active=True).order_by("name", "email")
        field.label_from_instance = lambda operator: f"{operator} ({status.get(operator.pk, '').lower()})"

    def clean(self) -> dict[str, Any]:
        """The room refuses force without a reason as well; here it is said beside the field, once."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("force") and not cleaned.get("reason"):
            self.add_error("reason", "A reason is needed to force")
        return cleaned


class ChooseInbox(forms.Form):
    """Where the conversations go."""

    inbox = Tenanted(Inbox, help_text="They are queued there with their waiting credit; labels that the inbox does not have are dropped")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        field: Any = self.fields["inbox"]
        field.queryset = Inbox.objects.order_by("name", "pk")


def _shown(rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
    return rows.select_related("inbox", "assigned_operator")


def _tell(row: Conversation) -> str:
    holder = f", with {row.assigned_operator}" if row.assigned_operator else ""
    return f"#{row.pk} {row.external_conversation_id}: {row.state}, {row.inbox}{holder}"
