"""The console's pages of people: accounts, where they answer, how much they may hold, and whether they are there."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import password_validation
from django.db.models import Count, DurationField, ExpressionWrapper, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextInputWidget,
)

from convalloc import clock
from convalloc.console import Page, RoomForm, timeline
from conversations import grace
from conversations.admin.conversations import in_words
from conversations.grace import Release
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators import desk, leases, staff
from operators.models import Operator, OperatorStatus, PresencePeriod, Role, Status, Subscription
from tenants import isolation
from tenants.models import Inbox, Tenant

ACCOUNT = ("email", "name", "role", "is_active", "new_password")
LINES = 20  # of somebody's history, on their page
STATUS_COLORS = {Status.AVAILABLE: "success", Status.AWAY: "warning", Status.OFFLINE: "danger"}


class Limit(forms.IntegerField):
    """How much somebody may hold; empty: somebody else says so, or nobody."""

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, min_value=0, max_value=10_000, widget=UnfoldAdminIntegerFieldWidget, **options)


class OperatorForm(RoomForm):
    """An account, the inboxes it answers at, and how much it may hold: in all, and of each inbox that it answers at already."""

    email = forms.EmailField(widget=UnfoldAdminEmailInputWidget)
    new_password = forms.CharField(
        required=False,
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Empty: as it is. Without one the account cannot sign in here. A new one ends the account's sessions.",
    )
    inboxes: Any = forms.ModelMultipleChoiceField(
        queryset=None, required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text="Where the operator gets work from"
    )
    capacity = Limit(label="Holds at most")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if field := self.fields.get("inboxes"):
            field.queryset = Inbox.objects.order_by("name", "pk")  # type: ignore[attr-defined]
            field.initial = list(desk.inboxes_of(self.instance.pk)) if self.instance.pk else []
        if field := self.fields.get("capacity"):
            field.help_text = f"Conversations at a time; 0: none. Empty: {_without_own_limit()}."
            for seat in desk.seats_of(self.instance.pk):
                self.fields[limit_at(seat)] = Limit(label=seat.inbox.name, initial=seat.capacity)

    def limits(self) -> dict[str, Any]:
        """As desk.limit takes them: what was sent. An inbox that an older page did not have keeps its limit."""
        sent = {name: value for name, value in self.cleaned_data.items() if name in self.data}
        chosen = {limit_at(seat): seat.inbox_id for seat in desk.seats_of(self.instance.pk)}
        own = {"own": sent["capacity"]} if "capacity" in sent else {}
        return {**own, "inboxes": {inbox_id: sent[name] for name, inbox_id in chosen.items() if name in sent}}

    def clean_new_password(self) -> str:
        """As strong as anybody's own."""
        password: str = self.cleaned_data["new_password"]
        if password:
            password_validation.validate_password(password, self.instance)
        return password


@admin.register(Operator)
class OperatorPage(Page):
    """Who works here. Accounts are closed, never deleted: their work is history."""

    form = OperatorForm
    list_display = ("__str__", "email", "role", "is_active", "status", "held", "last_login")
    list_filter = (("role", ChoicesDropdownFilter), "is_active")
    search_fields = ("name", "email")
    ordering = ("name", "email")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Operator]:
        """With status and number of conversations held."""
        status = OperatorStatus.objects.filter(operator_id=OuterRef("pk")).values("status")
        rows: QuerySet[Operator] = super().get_queryset(request)
        return rows.annotate(current_status=Subquery(status), held_now=_held(OuterRef("pk")))

    def has_change_permission(self, request: HttpRequest, obj: Operator | None = None) -> bool:
        """For the account, or only for where it answers: see get_readonly_fields."""
        return self._may_change_accounts(request) or self._may_change_inboxes(request)

    def get_fields(self, request: HttpRequest, obj: Operator | None = None) -> tuple[str, ...]:
        """What a role may change or see, no more."""
        shown = ["email", "name", "role"]
        if obj is not None:
            shown.append("is_active")
        if self._may_change_accounts(request):
            shown.append("new_password")
        if self._may_change_inboxes(request):
            shown += ["inboxes", "capacity"]
        return tuple(shown)

    def get_fieldsets(self, request: HttpRequest, obj: Operator | None = None) -> Any:
        """With a limit for each inbox that somebody answers at."""
        shown: list[Any] = [(None, {"fields": self.get_fields(request, obj)})]
        limits = [limit_at(seat) for seat in desk.seats_of(obj.pk)] if obj is not None and self._may_change_inboxes(request) else []
        if limits:
            shown.append(("Holds at most of one inbox", {"description": "0: none. Empty: as many as in all.", "fields": limits}))
        return shown

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form adds the limits of the inboxes itself."""
        return super().get_form(request, obj, change, **{**kwargs, "fields": self.get_fields(request, obj)})

    def get_readonly_fields(self, request: HttpRequest, obj: Operator | None = None) -> tuple[str, ...]:
        """Whose role reaches no further changes where somebody answers and how much they hold, and nothing of the account."""
        return (
            *(() if self._may_change_accounts(request) else ACCOUNT),
            *(() if self._may_change_inboxes(request) else ("inboxes", "capacity")),
        )

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The platform's own accounts are admins, all of them."""
        if db_field.name == "role" and request.user.is_superuser:
            kwargs["choices"] = [(Role.ADMIN.value, Role.ADMIN.label)]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Operator, form: Any, change: bool) -> None:
        """Accounts, passwords, inboxes and limits, each through its room."""
        data, by = form.cleaned_data, request.user
        assert isinstance(by, Operator)
        if not change:
            password = data["new_password"] or None
            obj.pk = staff.hire(data["email"], password=password, name=data["name"], role=data["role"]).pk
        elif self._may_change_accounts(request):
            _change_account(obj.pk, data, by)
        if "inboxes" in data:
            desk.answer_at(obj.pk, [inbox.pk for inbox in data["inboxes"]])
            desk.limit(obj.pk, **form.limits())

    def _may_change_accounts(self, request: HttpRequest) -> bool:
        return request.user.has_perm("operators.change_operator")

    def _may_change_inboxes(self, request: HttpRequest) -> bool:
        return request.user.has_perm("operators.change_subscription")

    @display(description="Status", label=STATUS_COLORS)
    def status(self, row: Any) -> Any:
        """Whether they take work."""
        return row.current_status

    @display(description="Holds", ordering="held_now")
    def held(self, row: Any) -> Any:
        """How many conversations they answer now."""
        return row.held_now


class PresenceForm(RoomForm):
    """Somebody's status, why, and what becomes of their work."""

    reason = forms.CharField(
        required=False, max_length=500, widget=UnfoldAdminTextInputWidget, help_text="Goes into the history and the event log"
    )
    release: Any = forms.ChoiceField(
        choices=[
            (Release.GRACE.value, "After the grace period, unless they come back in time"),
            (Release.NOW.value, "Now: everything goes back to the queue at once"),
        ],
        initial=Release.GRACE.value,
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
        label="Their work",
        help_text="Only when the status is OFFLINE",
    )


@admin.register(OperatorStatus)
class PresencePage(Page):
    """Whether people are there. OFFLINE starts the grace period of what they hold; coming back ends it."""

    form = PresenceForm
    list_display = ("operator", "shown_status", "why", "held", "kept_for", "last_status_change_at", "seen_at")
    list_display_links = ("operator",)
    list_filter = (("status", ChoicesDropdownFilter),)
    list_select_related = ("operator",)
    search_fields = ("operator__name", "operator__email")
    ordering = ("operator__name", "operator__email")
    readonly_fields = ("operator", "last_status_change_at", "seen_at", "history")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OperatorStatus]:
        """With the reason, the number of conversations held, and when the first of them goes back to the queue."""
        rows: QuerySet[OperatorStatus] = super().get_queryset(request)
        period = PresencePeriod.objects.filter(operator_id=OuterRef("operator_id"), ended_at__isnull=True)
        deadlines = GracePeriod.objects.filter(operator_id=OuterRef("operator_id"), ended_at__isnull=True).order_by("expires_at")
        left = ExpressionWrapper(F("expires_at") - Now(), DurationField())
        return rows.annotate(
            reason=Subquery(period.values("reason")),
            held_now=_held(OuterRef("operator_id")),
            time_left=Subquery(deadlines.values(left=left)[:1]),
        )

    def get_fields(self, request: HttpRequest, obj: OperatorStatus | None = None) -> tuple[str, ...]:
        """Why, and what becomes of the work, are asked of who may set a status."""
        asked = ("reason", "release") if self.has_change_permission(request, obj) else ()
        return ("operator", "status", *asked, "last_status_change_at", "seen_at", "history")

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Events call it the operator's."""
        row = self.get_object(request, object_id)
        return redirect(timeline("operator", row.operator_id if row else ""))

    def save_model(self, request: HttpRequest, obj: OperatorStatus, form: Any, change: bool) -> None:
        """The room that knows what follows for the work."""
        data, tenant = form.cleaned_data, request.user.tenant  # type: ignore[union-attr]
        release = Release(data["release"] or Release.GRACE)
        grace.change_status(obj.operator_id, Status(data["status"]), tenant, reason=data["reason"], release=release)

    @display(description="Status", ordering="status", label=STATUS_COLORS)
    def shown_status(self, row: OperatorStatus) -> str:
        """The status, in its colour."""
        return row.status

    @display(description="Holds", ordering="held_now")
    def held(self, row: Any) -> Any:
        """How many conversations they answer now."""
        return row.held_now

    @display(description="Why", ordering="reason")
    def why(self, row: Any) -> str | None:
        """What was said when the status was set; or that nothing was heard of them any more."""
        return "lost: no sign of life" if row.reason == leases.LOST else row.reason or None

    @display(description="Keeps it for", ordering="time_left")
    def kept_for(self, row: Any) -> str | None:
        """How long until the first conversation that they hold goes back to the queue."""
        if row.time_left is None:
            return None
        return in_words(row.time_left) if row.time_left > timedelta() else "until the next tick"

    @display(description="History")
    def history(self, row: OperatorStatus) -> SafeString:
        """What they were last, for how long, and why; and the way to all of it."""
        now = clock.now()
        periods = PresencePeriod.objects.filter(operator_id=row.operator_id).select_related("actor").order_by("-started_at", "-pk")
        lines = format_html_join("", "<li>{}</li>", ((_in_a_line(period, now),) for period in periods[:LINES]))
        address = f"{reverse('admin:operators_presenceperiod_changelist')}?operator__id__exact={row.operator_id}"
        return format_html('<ul>{}</ul><a class="text-primary-600 dark:text-primary-500" href="{}">All of it</a>', lines, address)


@admin.register(Subscription)
class SubscriptionPage(Page):
    """Who answers where, at a glance; it is changed on the operator's page."""

    list_display = ("operator", "inbox", "capacity", "created_at")
    list_filter = (("inbox", RelatedDropdownFilter), ("operator", RelatedDropdownFilter))
    list_select_related = ("operator", "inbox")
    ordering = ("inbox__name", "operator__name", "pk")

    def has_change_permission(self, request: HttpRequest, obj: Subscription | None = None) -> bool:
        """Not here."""
        return False


def limit_at(seat: Subscription) -> str:
    """The name of a field: the limit at one inbox."""
    return f"limit_{seat.inbox_id}"


def _without_own_limit() -> str:
    limit = Tenant.objects.get(pk=isolation.current_tenant_id()).operator_capacity
    return "no limit, as the organisation sets none" if limit is None else f"the organisation's number, {limit}"


def _change_account(operator_id: int, data: dict[str, Any], by: Operator) -> None:
    staff.change(operator_id, by=by, email=data["email"], name=data["name"], role=data["role"])
    if data["is_active"]:
        staff.change(operator_id, by=by, is_active=True)
    else:
        grace.dismiss(operator_id, by.tenant, by=by)
    if data["new_password"]:
        staff.set_password(operator_id, data["new_password"])


def _in_a_line(period: PresencePeriod, now: datetime) -> str:
    """A period of presence, for reading: what, how long, since when, who said so, and why."""
    lasted, began = in_words((period.ended_at or now) - period.started_at), localize(localtime(period.started_at))
    line = f"{period.status} for {lasted}, since {began}" if period.ended_at is None else f"{period.status} for {lasted}, from {began}"
    author = f", by {period.actor}" if period.actor else ""
    return f"{line}{author}: {period.reason}" if period.reason else f"{line}{author}"


def _held(operator_id: OuterRef) -> Any:
    rows = Conversation.objects.filter(assigned_operator_id=operator_id, state=State.ALLOCATED).order_by().values("assigned_operator_id")
    return Coalesce(Subquery(rows.annotate(n=Count("pk")).values("n")), 0)
