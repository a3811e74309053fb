"""The console's page of conversations: the list with live scores, and the acts that move work."""

import re
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import DurationField, ExpressionWrapper, F, FloatField, Func, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import JSONObject
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from convalloc import phones
from convalloc.console import timeline
from conversations.admin import acts
from conversations.admin.at_once import ActsAtOnce
from conversations.models import Conversation, ConversationLabel
from conversations.priority import Weights
from conversations.states import State

STATE_COLORS = {State.QUEUED: "warning", State.ALLOCATED: "info", State.RESOLVED: "success"}
NOW = Func(function="statement_timestamp")


@admin.register(Conversation)
class ConversationPage(ActsAtOnce):
    """Every field is read-only: a conversation changes by acts alone, and each act is a room's."""

    list_display = ("conversation", "shown_state", "score", "waiting", "inbox", "holder", "customer", "messages", "worn")
    list_display_links = ("conversation",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("inbox", RelatedDropdownFilter),
        ("assigned_operator", RelatedDropdownFilter),
    )
    list_select_related = ("inbox", "assigned_operator")
    ordering = ("-last_message_at", "-pk")
    search_fields = ("customer_phone_number", "external_conversation_id")
    search_help_text = "A phone number in any spelling, an external id, or #id"
    actions = (acts.resolve, acts.deallocate, acts.reassign, acts.move)
    fieldsets = (
        (None, {"fields": (("shown_state", "holder"), ("score", "waiting"), "inbox", "worn", "events")}),
        ("Customer", {"fields": (("customer_phone_number", "external_conversation_id"), "message_count")}),
        ("Times", {"fields": (("last_message_at", "waiting_since"), ("created_at", "updated_at", "resolved_at"))}),
        (
            "For engineers",
            {"classes": ("collapse",), "fields": (("version", "priority_score"), ("waits_from", "credit", "rank", "saturated"))},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        """With what the list shows besides columns, all of this instant, in one statement."""
        weights = Weights.of(request.user.tenant)  # type: ignore[union-attr]
        score = weights.in_sql.score(weights.in_sql.effective("conversations.credit", "conversations.waits_from", "statement_timestamp()"))
        worn = ConversationLabel.objects.filter(conversation_id=OuterRef("pk")).order_by("label__name")
        rows: QuerySet[Conversation] = super().get_queryset(request)
        return rows.annotate(
            live_score=RawSQL(score, (), output_field=FloatField()),
            waited=ExpressionWrapper(NOW - F("waits_from"), output_field=DurationField()),
            labels=ArraySubquery(worn.values(worn=JSONObject(name="label__name", color="label__color"))),
        )

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """Whole numbers and ids only: each is a probe of an index, however many conversations there are."""
        term = search_term.strip()
        if not term:
            return queryset, False
        wanted = Q(external_conversation_id=term)
        digits = re.sub(r"[\s().\-/+]", "", term)
        if digits.isascii() and digits.isdigit():
            wanted |= Q(customer_phone_number__in=[f"+{digits}", digits, *phones.spellings(term)])
        if number := re.fullmatch(r"#([1-9][0-9]{0,17})", term):
            wanted |= Q(pk=int(number[1]))
        return queryset.filter(wanted), False

    @display(description="Conversation", ordering="last_message_at")
    def conversation(self, row: Conversation) -> str:
        """By its own number and by the outside world's name."""
        return f"#{row.pk} {row.external_conversation_id}"

    @display(description="State", ordering="state", label=STATE_COLORS)
    def shown_state(self, row: Conversation) -> str:
        """The state, in its colour."""
        return row.state

    @display(description="Score", ordering="live_score")
    def score(self, row: Any) -> str:
        """The priority at this instant; of what waits or is held."""
        return "" if row.state == State.RESOLVED else f"{row.live_score:.4f}"

    @display(description="Waiting", ordering="-waits_from")
    def waiting(self, row: Any) -> str:
        """How long the customer has waited in the queue."""
        return in_words(row.waited) if row.state == State.QUEUED else ""

    @display(description="Holder", ordering="assigned_operator__name", empty_value="")
    def holder(self, row: Conversation) -> Any:
        """Who answers."""
        return row.assigned_operator

    @display(description="Customer", ordering="customer_phone_number")
    def customer(self, row: Conversation) -> str:
        """Who writes."""
        return row.customer_phone_number

    @display(description="Msgs", ordering="message_count")
    def messages(self, row: Conversation) -> int:
        """How many messages."""
        return row.message_count

    @display(description="Labels")
    def worn(self, row: Any) -> SafeString:
        """The labels, each with its colour."""
        dot = '<span class="whitespace-nowrap mr-2"><span style="color: {}">●</span> {}</span>'
        return format_html_join("", dot, ((label["color"], label["name"]) for label in row.labels))

    @display(description="History")
    def events(self, row: Conversation) -> SafeString:
        """Where everything that ever happened to it is told."""
        held = f"{reverse('admin:conversations_assignment_changelist')}?q={row.pk}"
        link = '<a class="text-primary-600 dark:text-primary-500 mr-4" href="{}">{}</a>'
        return format_html_join("", link, ((timeline("conversation", row.pk), "Events"), (held, "Who held it")))


def in_words(waited: timedelta) -> str:
    """A waiting time with its two biggest units: 2 d 3 h, 5 h 20 min, 7 min."""
    minutes = int(waited.total_seconds() // 60)
    if minutes < 1:
        return "under a minute"
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = [(days, "d"), (hours, "h"), (rest, "min")]
    first = next(place for place, (number, _) in enumerate(units) if number)
    return " ".join(f"{number} {unit}" for number, unit in units[first : first + 2] if number)
