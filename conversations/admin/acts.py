"""What a manager does to one or many conversations at once. Each row goes through the room, in a savepoint of its own."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.decorators import action
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from convalloc.console import Page, refusal_of
from convalloc.errors import DomainError
from conversations import lifecycle
from conversations.lifecycle import Override
from conversations.models import Conversation
from operators.models import Operator, OperatorStatus
from tenants.models import Inbox

MOST_AT_ONCE = 200  # rows of one act: all of them stay locked until its end
# A lock that did not come in time, or a circle of waiting: many rows in one transaction cannot keep the order of locks (0006).
BUSY = {"55P03", "40P01"}

Act = Callable[[int], str | None]


@action(description="Resolve", permissions=["direct"])
def resolve(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> None:
    """Nothing more to do."""
    _to_each(request, rows, "resolved", lambda pk: _done(lifecycle.resolve(pk, by=_manager(request))))


@action(description="Deallocate: back to the queue", permissions=["direct"])
def deallocate(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> None:
    """From their holders into the queue."""
    _to_each(request, rows, "deallocated", lambda pk: _done(lifecycle.deallocate(pk, by=_manager(request))))


@action(description="Reassign to another operator …", permissions=["direct"])
def reassign(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
    """Another operator takes over."""
    form = ChooseOperator(request.POST if "apply" in request.POST else None)
    if not form.is_valid():
        return _ask(page, request, rows, form, title="Reassign to another operator", act="reassign")
    target, override = form.cleaned_data["operator"], Override(form.cleaned_data["force"], form.cleaned_data["reason"])
    _to_each(request, rows, f"reassigned to {target}", lambda pk: _done(lifecycle.reassign(pk, target.pk, override=override)))
    return None


@action(description="Move to another inbox …", permissions=["direct"])
def move(page: Page, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
    """Another inbox answers."""
    form = ChooseInbox(request.POST if "apply" in request.POST else None)
    if not form.is_valid():
        return _ask(page, request, rows, form, title="Move to another inbox", act="move")
    inbox = form.cleaned_data["inbox"]

    def act(pk: int) -> str | None:
        _, lost = lifecycle.move(pk, inbox.pk, by=_manager(request))
        return f"lost {', '.join(lost)}, which {inbox} does not have" if lost else None

    _to_each(request, rows, f"moved to {inbox}", act)
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


def _manager(request: HttpRequest) -> Operator:
    assert isinstance(request.user, Operator)
    return request.user


def _done(conversation: Conversation) -> None:
    """Nothing to add to `done`."""


def _to_each(request: HttpRequest, rows: QuerySet[Conversation], done: str, act: Act) -> None:
    """Do it to each row by ascending id, as rows are locked everywhere; one's refusal leaves the others done. Tells how it went."""
    chosen = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(chosen) > MOST_AT_ONCE:
        messages.error(request, f"Nothing was done: at most {MOST_AT_ONCE} conversations at once, because they stay locked until the end")
        return
    worked, told = 0, []
    for pk in chosen:
        try:
            with transaction.atomic():
                note = act(pk)
            worked += 1
        except DomainError as refusal:
            note = refusal_of(refusal)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in BUSY:
                raise
            note = "somebody else is changing it: try again"
        if note:
            told.append(f"#{pk}: {note}")
    level = messages.SUCCESS if worked == len(chosen) else messages.WARNING if worked else messages.ERROR
    messages.add_message(request, level, "; ".join([f"{worked} {done}", *told]))


def _ask(page: Page, request: HttpRequest, rows: QuerySet[Conversation], form: forms.Form, *, title: str, act: str) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "opts": page.opts,
        "form": form,
        "rows": rows.select_related("inbox", "assigned_operator").order_by("pk")[: MOST_AT_ONCE + 1],
        "act": act,
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "console/choose.html", context)
