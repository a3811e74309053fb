"""The console's page of grace periods, and what a manager does about them: give more time, or none."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from convalloc.console import Page
from conversations import grace
from conversations.admin.at_once import ActsAtOnce, ask, manager, to_each
from conversations.admin.conversations import in_words
from conversations.admin.history import of_conversation
from conversations.models import GracePeriod


class Why(forms.Form):
    """For the audit."""

    reason = forms.CharField(required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Goes into the event log")


class Longer(Why):
    """For how much longer, and why."""

    minutes = forms.IntegerField(
        min_value=1,
        max_value=grace.LONGEST_EXTENSION,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="From the deadline, or from now where that has passed",
    )
    field_order = ("minutes", "reason")


@action(description="Extend …", permissions=["direct"])
def extend(page: Page, request: HttpRequest, rows: QuerySet[GracePeriod]) -> HttpResponse | None:
    """The operator may keep it for longer."""
    form = Longer(request.POST if "apply" in request.POST else None)
    if not form.is_valid():
        return ask(page, request, rows, form, title="Extend the grace period", act="extend", tell=_tell)
    minutes, reason = form.cleaned_data["minutes"], form.cleaned_data["reason"]
    to_each(request, rows, f"extended by {minutes} min", lambda pk: grace.extend(pk, minutes, reason=reason))
    return None


@action(description="Expire now: back to the queue …", permissions=["direct"])
def expire_now(page: Page, request: HttpRequest, rows: QuerySet[GracePeriod]) -> HttpResponse | None:
    """The clock need not be waited for."""
    form = Why(request.POST if "apply" in request.POST else None)
    if not form.is_valid():
        return ask(page, request, rows, form, title="Return to the queue now", act="expire_now", tell=_tell)
    by, reason = manager(request), form.cleaned_data["reason"]
    to_each(request, rows, "returned to the queue", lambda pk: grace.expire_now(pk, by.tenant, by=by, reason=reason))
    return None


@admin.register(GracePeriod)
class GracePeriodPage(ActsAtOnce):
    """What absent operators still keep, and until when."""

    list_display = ("conversation", "operator", "left", "reason", "opened_at", "expires_at", "ended_at", "end_reason")
    list_filter = (("operator", RelatedDropdownFilter), ("end_reason", ChoicesDropdownFilter), ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("conversation", "operator")
    ordering = ("-pk",)
    search_fields = ("conversation__id",)
    search_help_text = "A conversation's id"
    actions = (extend, expire_now)

    def get_queryset(self, request: HttpRequest) -> QuerySet[GracePeriod]:
        """With the time that is left."""
        rows: QuerySet[GracePeriod] = super().get_queryset(request)
        return rows.annotate(remaining=F("expires_at") - Now())

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By conversation."""
        return of_conversation(queryset, search_term), False

    @display(description="Left", ordering="expires_at")
    def left(self, row: Any) -> str:
        """How long the operator keeps it still; of what has not ended."""
        if row.ended_at is not None:
            return ""
        return in_words(row.remaining) if row.remaining.total_seconds() > 0 else "due"


def _tell(row: GracePeriod) -> str:
    until = f"ended {row.ended_at:%Y-%m-%d %H:%M}" if row.ended_at else f"until {row.expires_at:%Y-%m-%d %H:%M}"
    return f"#{row.conversation_id} {row.conversation.external_conversation_id}, kept by {row.operator}: {until} UTC"
