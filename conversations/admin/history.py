"""The console's pages of what happened: events, assignments, labels worn, presence. Nothing here can be changed."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import DurationField, ExpressionWrapper, F, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Coalesce, Now, NullIf
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from convalloc.console import Page
from conversations.admin.conversations import in_words
from conversations.models import Assignment, ConversationLabel
from operators.models import Operator, PresencePeriod
from tenants.models import Event

PAGES = {  # the page of an event's subject
    "conversation": "conversations_conversation",
    "graceperiod": "conversations_graceperiod",
    "operator": "operators_operator",
    "label": "labels_label",
    "inbox": "tenants_inbox",
    "tenant": "tenants_tenant",
}


@admin.register(Event)
class EventPage(Page):
    """The audit: who changed what, when and why, newest first."""

    list_display = ("at", "kind", "subject", "actor", "cause")
    ordering = ("-transaction", "-id")
    search_fields = ("subject_type", "subject_id")
    search_help_text = "What it happened to: conversation 7, operator 3, or a bare id"
    fields = (("kind", "at"), ("subject", "actor"), "cause", "before", "after", "request_id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        """With the actor's name."""
        actor = Operator.objects.filter(pk=OuterRef("actor_id")).values(
            shown=Coalesce(NullIf("name", Value("")), "email", output_field=TextField())
        )
        rows: QuerySet[Event] = super().get_queryset(request)
        return rows.annotate(actor_name=Subquery(actor))

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By subject, or by a conversation with what its grace periods lived through: these have indexes."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = re.fullmatch(r"([a-z]*)[ :#]*([1-9][0-9]{0,17})", term.lower())
        if found is None:
            return queryset.none(), False
        types, id_ = {found[1]} if found[1] else set(PAGES), int(found[2])
        told_of = Q(conversation_id=id_) if "conversation" in types else Q()
        if others := types - {"conversation"}:
            told_of |= ~Q(subject_type="conversation") & Q(subject_type__in=sorted(others), subject_id=id_)
        return queryset.filter(told_of), False

    @display(description="Subject")
    def subject(self, row: Event) -> Any:
        """What it happened to, and the way there."""
        name = f"{row.subject_type} {row.subject_id}"
        if row.subject_type not in PAGES:
            return name
        address = reverse(f"admin:{PAGES[row.subject_type]}_change", args=[row.subject_id])
        return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', address, name)

    @display(description="By")
    def actor(self, row: Any) -> str:
        """Who; the clock, when nobody did."""
        return row.actor_name or ("" if row.actor_id is None else f"#{row.actor_id}")


@admin.register(Assignment)
class AssignmentPage(Page):
    """Who held which conversation when."""

    list_display = ("conversation", "operator", "source", "started_at", "ended_at", "end_reason")
    list_filter = (("operator", RelatedDropdownFilter), ("source", ChoicesDropdownFilter), ("end_reason", ChoicesDropdownFilter))
    list_select_related = ("conversation", "operator")
    ordering = ("-pk",)
    search_fields = ("conversation__id",)
    search_help_text = "A conversation's id"

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """By conversation."""
        return of_conversation(queryset, search_term), False


@admin.register(PresencePeriod)
class PresencePeriodPage(Page):
    """Who was there when, by whose word and why."""

    list_display = ("operator", "status", "reason", "actor", "started_at", "ended_at", "lasted")
    list_filter = (("operator", RelatedDropdownFilter), ("status", ChoicesDropdownFilter), ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("operator", "actor")
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PresencePeriod]:
        """With how long each lasted."""
        rows: QuerySet[PresencePeriod] = super().get_queryset(request)
        return rows.annotate(length=ExpressionWrapper(Coalesce("ended_at", Now()) - F("started_at"), DurationField()))

    @display(description="Lasted", ordering="length")
    def lasted(self, row: Any) -> str:
        """How long, or for how long already."""
        return in_words(row.length)


@admin.register(ConversationLabel)
class WornLabelPage(Page):
    """Which conversation wears which label."""

    list_display = ("conversation", "label", "inbox", "created_at")
    list_filter = (("label", RelatedDropdownFilter), ("inbox", RelatedDropdownFilter))
    list_select_related = ("conversation", "label", "inbox")
    ordering = ("-pk",)


def of_conversation(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Rows of the conversation whose id was typed."""
    if not term.strip():
        return rows
    found = re.fullmatch(r"#?([1-9][0-9]{0,17})", term.strip())
    return rows.filter(conversation_id=int(found[1])) if found else rows.none()
