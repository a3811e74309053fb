"""What clients get, for the OpenAPI schema alone: the answers themselves are written by wire and by the doors.

Tests hold every real answer against these shapes, to the last field.
"""

from typing import Any

from rest_framework import serializers

from convalloc.api.schema import ListMeta
from conversations import silence
from conversations.api.pages import PageRequest
from conversations.models import Assignment
from conversations.states import State
from tenants.models import Tenant

Shape = serializers.Serializer[Any]
LEASE = (
    "Silence after which an operator is lost; null: no leases. Clients give three signs of life in it, or more. "
    f"With less than {silence.SAFE_SECONDS}, a short outage of ours may take some."
)
RETENTION = "Days after which a customer is forgotten whose conversation is resolved; null: never by the clock."
EVENTS_KEPT = "Days after which the event log forgets, a conversation's events together once it is resolved; null: never."
NOON = "2026-01-05T12:00:00.000000Z"


class WornLabel(Shape):
    """A label, as a conversation shows it."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    color = serializers.CharField(help_text="#RRGGBB")


class OpenAssignment(Shape):
    """Who holds a conversation, since when, and how they came by it."""

    id = serializers.IntegerField()
    operator_id = serializers.IntegerField()
    source = serializers.ChoiceField(choices=Assignment.Source.choices)  # type: ignore[assignment]  # the answer's, not the serializer's
    started_at = serializers.DateTimeField()


class Conversation(Shape):
    """A customer's thread at one inbox."""

    id = serializers.IntegerField()
    tenant_id = serializers.IntegerField()
    inbox_id = serializers.IntegerField()
    inbox_name = serializers.CharField()
    external_conversation_id = serializers.CharField(help_text="The orchestrator's name of it; unique in the tenant.")
    customer_phone_number = serializers.CharField()
    state = serializers.ChoiceField(choices=State.choices)
    assigned_operator_id = serializers.IntegerField(allow_null=True)
    operator_name = serializers.CharField(allow_null=True)
    message_count = serializers.IntegerField()
    last_message_at = serializers.DateTimeField()
    priority_score = serializers.FloatField(help_text="Computed at the instant of the answer, 0 to alpha + beta.")
    labels = WornLabel(many=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField(help_text="Counts every change: see `If-Match`.")
    waiting_since = serializers.DateTimeField(allow_null=True, help_text="The first unanswered inbound message.")
    assignment = OpenAssignment(allow_null=True)

    example = {
        "id": 6,
        "tenant_id": 1,
        "inbox_id": 2,
        "inbox_name": "Sales Team",
        "external_conversation_id": "ext_conv_006",
        "customer_phone_number": "+19876543215",
        "state": "ALLOCATED",
        "assigned_operator_id": 1,
        "operator_name": "Operator One",
        "message_count": 1,
        "last_message_at": "2026-01-04T16:00:00.000000Z",
        "priority_score": 0.504,
        "labels": [{"id": 4, "name": "VIP", "color": "#800080"}],
        "created_at": "2026-01-04T16:00:00.000000Z",
        "updated_at": NOON,
        "resolved_at": None,
        "version": 3,
        "waiting_since": "2026-01-04T16:00:00.000000Z",
        "assignment": {"id": 3, "operator_id": 1, "source": "auto", "started_at": NOON},
    }


# What examples show of a conversation after an act that ends an assignment.
WAITING = {"state": "QUEUED", "assigned_operator_id": None, "operator_name": None, "assignment": None}
DONE = WAITING | {"state": "RESOLVED", "resolved_at": NOON}


class ConversationPage(Shape):
    """A page of conversations."""

    conversations = Conversation(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="Send it as `cursor` for the next page; null at the end.")
    has_more = serializers.BooleanField()

    example = {"conversations": [Conversation.example], "next_cursor": None, "has_more": False}


class PageMeta(ListMeta):
    """About a page of a search."""

    next_cursor = serializers.CharField(allow_null=True, help_text="Send it as `cursor` for the next page; null at the end.")
    has_more = serializers.BooleanField()

    example = {**ListMeta.example, "next_cursor": None, "has_more": False}


class Moved(Shape):
    """What a move cost."""

    timestamp = serializers.DateTimeField()
    dropped_labels = serializers.ListField(child=serializers.CharField(), help_text="Names that the new inbox does not have.")

    example = {"timestamp": NOON, "dropped_labels": ["VIP"]}


class Recalculated(Shape):
    """How much a recalculation touched."""

    updated_count = serializers.IntegerField()

    example = {"updated_count": 6}


class Rank(Shape):
    """Places count from 1. The caller's inboxes are those they answer at; a manager's are the tenant's."""

    position_in_inbox = serializers.IntegerField()
    waiting_in_inbox = serializers.IntegerField()
    position_for_caller = serializers.IntegerField()
    waiting_for_caller = serializers.IntegerField()


class Priority(Shape):
    """Why a conversation stands where it stands, at the instant of the answer."""

    score = serializers.FloatField(help_text="alpha_term + beta_term.")
    alpha_term = serializers.FloatField(help_text="What its messages add.")
    beta_term = serializers.FloatField(help_text="What its waiting adds.")
    message_count = serializers.IntegerField()
    message_cap = serializers.IntegerField(help_text="More messages add nothing.")
    waited_minutes = serializers.FloatField()
    delay_cap_minutes = serializers.IntegerField(help_text="Waiting longer adds nothing.")
    waiting_clock = serializers.ChoiceField(choices=Tenant.WaitingClock.choices)
    in_words = serializers.CharField()
    rank = Rank(allow_null=True, help_text="null: it does not wait.")
    saturates_at = serializers.DateTimeField(allow_null=True, help_text="null: waiting longer adds nothing any more, or never did.")
    saturates_in_minutes = serializers.FloatField(allow_null=True)

    example = {
        "score": 0.323,
        "alpha_term": 0.048,
        "beta_term": 0.275,
        "message_count": 12,
        "message_cap": 100,
        "waited_minutes": 660.0,
        "delay_cap_minutes": 1440,
        "waiting_clock": "last_message_at",
        "in_words": "12 messages worth 115.2 minutes of waiting, waiting for 11 hours: number 2 of 40 in its inbox.",
        "rank": {"position_in_inbox": 2, "waiting_in_inbox": 40, "position_for_caller": 5, "waiting_for_caller": 96},
        "saturates_at": "2026-01-06T01:00:00.000000Z",
        "saturates_in_minutes": 780.0,
    }


class Ranking(Shape):
    """How far the queue follows the weights; until it is up to date, old and new ranks mix."""

    up_to_date = serializers.BooleanField()
    done = serializers.IntegerField(help_text="Conversations of `total`; both 0 where it has not begun.")
    total = serializers.IntegerField()
    started_at = serializers.DateTimeField(allow_null=True)


class TenantRow(Shape):
    """The settings of an organisation, and what its weights mean."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    priority_alpha = serializers.FloatField(help_text="The weight of the number of messages, 0 to 100.")
    priority_beta = serializers.FloatField(help_text="The weight of the waiting time, 0 to 100.")
    message_cap = serializers.IntegerField()
    delay_cap_minutes = serializers.IntegerField()
    waiting_clock = serializers.ChoiceField(choices=Tenant.WaitingClock.choices)
    grace_period_minutes = serializers.IntegerField()
    lease_seconds = serializers.IntegerField(allow_null=True, help_text=LEASE)
    operator_capacity = serializers.IntegerField(allow_null=True, help_text="null: no limit.")
    cooldown_minutes = serializers.IntegerField()
    resolved_conversations_days = serializers.IntegerField(allow_null=True, help_text=RETENTION)
    events_kept_days = serializers.IntegerField(allow_null=True, help_text=EVENTS_KEPT)
    in_words = serializers.CharField(help_text="What the weights mean.")
    ranking = Ranking()
    created_at = serializers.DateTimeField()
    version = serializers.IntegerField(help_text="Counts every change of the settings: see `If-Match`.")

    example = {
        "id": 1,
        "name": "Demo Tenant",
        "priority_alpha": 0.4,
        "priority_beta": 0.6,
        "message_cap": 100,
        "delay_cap_minutes": 1440,
        "waiting_clock": "last_message_at",
        "grace_period_minutes": 15,
        "lease_seconds": None,
        "operator_capacity": None,
        "cooldown_minutes": 5,
        "resolved_conversations_days": None,
        "events_kept_days": None,
        "in_words": (
            "A message counts like 9.6 minutes of waiting; a newcomer can overtake at most 16 hours of waiting; "
            "after 24 hours waiting longer adds nothing."
        ),
        "ranking": {"up_to_date": True, "done": 6, "total": 6, "started_at": NOON},
        "created_at": NOON,
        "version": 1,
    }


TUNED = {
    "version": 2,
    "priority_alpha": 0.5,
    "priority_beta": 0.5,
    "operator_capacity": 8,
    "in_words": (
        "A message counts like 14.4 minutes of waiting; a newcomer can overtake at most 24 hours of waiting; "
        "after 24 hours waiting longer adds nothing."
    ),
    "ranking": {"up_to_date": False, "done": 0, "total": 0, "started_at": None},
}


class GracePeriodRow(Shape):
    """A conversation that an offline operator keeps for now."""

    id = serializers.IntegerField()
    conversation_id = serializers.IntegerField()
    external_conversation_id = serializers.CharField()
    inbox_id = serializers.IntegerField()
    inbox_name = serializers.CharField()
    operator_id = serializers.IntegerField()
    operator_name = serializers.CharField()
    reason = serializers.CharField(help_text="Why the operator is away.")
    opened_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    seconds_left = serializers.FloatField(help_text="0: due; the clock takes it within a minute.")

    example = {
        "id": 1,
        "conversation_id": 6,
        "external_conversation_id": "ext_conv_006",
        "inbox_id": 2,
        "inbox_name": "Sales Team",
        "operator_id": 2,
        "operator_name": "Operator Two",
        "reason": "offline",
        "opened_at": NOON,
        "expires_at": "2026-01-05T12:15:00.000000Z",
        "seconds_left": 840.5,
    }


class InboxRow(Shape):
    """A phone number that customers write to."""

    id = serializers.IntegerField()
    tenant_id = serializers.IntegerField()
    name = serializers.CharField()
    phone_number = serializers.CharField()
    queued_conversations = serializers.IntegerField()
    allocated_conversations = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    example = {
        "id": 1,
        "tenant_id": 1,
        "name": "Customer Support",
        "phone_number": "+1234567890",
        "queued_conversations": 2,
        "allocated_conversations": 1,
        "created_at": NOON,
    }


class LabelRow(Shape):
    """A word of an inbox."""

    id = serializers.IntegerField()
    tenant_id = serializers.IntegerField()
    inbox_id = serializers.IntegerField()
    name = serializers.CharField()
    color = serializers.CharField(help_text="#RRGGBB")
    created_by = serializers.IntegerField(help_text="The operator who made it.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    version = serializers.IntegerField(help_text="Counts every change: see `If-Match`.")

    example = {
        "id": 1,
        "tenant_id": 1,
        "inbox_id": 1,
        "name": "Urgent",
        "color": "#FF0000",
        "created_by": 3,
        "created_at": NOON,
        "updated_at": NOON,
        "version": 1,
    }


class ConversationFilters(PageRequest):
    """A page, and what it is narrowed to. Filters combine with AND."""

    inbox_id = serializers.IntegerField(min_value=1, required=False, help_text="Conversations of one inbox.")
    state = serializers.ChoiceField(choices=State.choices, required=False, help_text="Conversations in one state.")
    operator_id = serializers.IntegerField(min_value=1, required=False, help_text="Conversations that one operator holds.")
    label_id = serializers.IntegerField(min_value=1, required=False, help_text="Conversations that wear one label.")
