"""The ground: conversations, who held them when, who may lose them soon, and which labels they wear.

What must never happen is refused here, by constraints: two holders, an allocated conversation without one,
a label of another inbox. The physical keys and the policies are raised in the migration (tenants.walls).
"""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from conversations.states import State
from labels.models import Label
from operators.models import Operator
from tenants.models import Inbox, OwnedForeignKey, TenantOwned, Whereabouts

# How the number begins that stands for a customer who is forgotten: a code that the ITU gives to nobody, so that nobody can be called.
STAND_IN = "+999"


def ends_with(*reasons: str) -> Q:
    """Open without a reason, or ended with one of these. The explicit NOT NULL matters: a CHECK lets an unknown pass."""
    ended = Q(ended_at__isnull=False, end_reason__isnull=False, end_reason__in=reasons)
    return Q(ended_at__isnull=True, end_reason__isnull=True) | ended


class Conversation(TenantOwned):
    """A customer's thread at one inbox: who, where, how many messages, waiting since when. No message's body.

    `waits_from`, `credit`, `rank`, `saturated` order the queue, under the weights of `ranked_under`; conversations.priority
    explains and computes them.
    `priority_score` is a snapshot for outside readers of the table; the product never reads it.
    """

    inbox = OwnedForeignKey(Inbox)
    external_conversation_id = models.TextField()
    customer_phone_number = models.TextField()
    state = models.TextField(choices=State, default=State.QUEUED)
    assigned_operator = OwnedForeignKey(Operator, null=True, blank=True)
    message_count = models.PositiveIntegerField(default=0)
    last_message_at = models.DateTimeField()
    waiting_since = models.DateTimeField(null=True, blank=True)  # the first unanswered inbound message; null: answered
    waits_from = models.DateTimeField()
    credit = models.BigIntegerField()
    rank = models.BigIntegerField()
    saturated = models.BooleanField(default=False)
    ranked_under = models.IntegerField(db_default=1)  # the tenant's weights_version that credit and rank rest on
    priority_score = models.FloatField(default=0)
    # Counts the lives of this thread: 1 from its beginning, one more each time that it is reopened.
    episode = models.PositiveIntegerField(default=1, db_default=1)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "conversations"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "external_conversation_id"], name="external_conversation_once"),
            # What conversation_labels refers to, so that a label can only sit on a conversation of its own inbox. Led by the id for
            # tenant_of_conversation, which has nothing else: an index of its own would cost every write.
            models.UniqueConstraint(fields=["id", "tenant", "inbox"], name="conversation_in_inbox"),
            models.CheckConstraint(name="conversation_known_state", condition=Q(state__in=State.values)),
            models.CheckConstraint(
                name="allocated_exactly_with_an_operator",
                condition=Q(state=State.ALLOCATED, assigned_operator__isnull=False)
                | (~Q(state=State.ALLOCATED) & Q(assigned_operator__isnull=True)),
            ),
            models.CheckConstraint(
                name="resolved_exactly_with_a_time",
                condition=Q(state=State.RESOLVED, resolved_at__isnull=False) | (~Q(state=State.RESOLVED) & Q(resolved_at__isnull=True)),
            ),
        ]
        indexes = [
            # Best first, within an inbox and a state: heads 1 and 2 of queue.PICK, the two heads of walk.Walk.by_priority.
            # Saturated rows rank by their messages alone.
            models.Index(fields=["tenant", "inbox", "state", "saturated", "rank", "waits_from", "id"], name="conversation_by_rank"),
            # Heads 3 and 4 of the pick, and the walk's strays: rows whose flag does not say where they stand.
            models.Index(fields=["tenant", "inbox", "state", "saturated", "waits_from"], name="conversation_by_waiting"),
            # What stands where weights of before put it: found at once, or found not to be there (queue.late).
            models.Index(fields=["tenant", "ranked_under"], name="queue_by_weights", condition=Q(state=State.QUEUED)),
            models.Index(fields=["tenant", "assigned_operator"], name="held_by_operator", condition=Q(state=State.ALLOCATED)),
            models.Index(fields=["tenant", "last_message_at", "id"], name="conversation_by_time"),  # the console's list
            models.Index(fields=["tenant", "inbox", "state", "last_message_at", "id"], name="conversation_by_inbox_and_time"),
            models.Index(fields=["tenant", "customer_phone_number", "-last_message_at", "-id"], name="conversation_by_phone"),
            # Whose customer the clock will forget: conversations.erasure.
            models.Index(
                fields=["tenant", "resolved_at", "id"],
                name="resolved_and_not_erased",
                condition=Q(resolved_at__isnull=False) & ~Q(customer_phone_number__startswith=STAND_IN),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.external_conversation_id} ({self.state})"

    def whereabouts(self) -> Whereabouts:
        return Whereabouts(self.pk, self.inbox_id, self.assigned_operator_id)


class ReceivedMessage(TenantOwned):
    """A message that was counted, once and for ever, by its provider's own id. No text of it.

    `message_id` of a customer who is forgotten is a keyed digest: providers' ids can hold their number.
    """

    class Direction(models.TextChoices):
        INBOUND = "inbound"  # from the customer
        OUTBOUND = "outbound"  # to them

    provider = models.TextField()
    message_id = models.TextField()
    conversation = OwnedForeignKey(Conversation)
    direction = models.TextField(choices=Direction)
    sent_at = models.DateTimeField()
    received_at = models.DateTimeField(db_default=Now())
    # The episode that it belongs to. What comes while the conversation is resolved belongs to the next one, whichever comes first.
    episode = models.PositiveIntegerField()

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "received_messages"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "provider", "message_id"], name="message_counted_once"),
            models.CheckConstraint(name="message_known_direction", condition=Q(direction__in=["inbound", "outbound"])),
        ]
        indexes = [
            # What is unanswered, and since when: the ends of an episode, by one probe each.
            models.Index(fields=["tenant", "conversation", "episode", "direction", "sent_at"], name="message_by_conversation"),
        ]

    def __str__(self) -> str:
        return f"{self.direction} of {self.sent_at:%Y-%m-%d %H:%M:%S} in {self.conversation_id}"


class Assignment(TenantOwned):
    """One operator's time with one conversation. Grace, audit and statistics hang on it.

    A stale job names the assignment it means, and can therefore only ever end that one.
    """

    class Source(models.TextChoices):
        AUTO = "auto"  # the queue handed it out
        CLAIM = "claim"  # the operator picked it
        MANAGER = "manager"  # a manager gave it

    class EndReason(models.TextChoices):
        RESOLVED = "resolved"
        REASSIGNED = "reassigned"
        DEALLOCATED = "deallocated"
        RELEASED = "released"
        MOVED = "moved"
        GRACE_EXPIRED = "grace_expired"

    conversation = OwnedForeignKey(Conversation)
    operator = OwnedForeignKey(Operator)
    source = models.TextField(choices=Source)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(choices=EndReason, null=True, blank=True)
    score_at_start = models.FloatField()
    waited_seconds_at_start = models.FloatField()

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "assignments"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "conversation"], name="one_open_assignment", condition=Q(ended_at__isnull=True)),
            models.CheckConstraint(name="assignment_known_source", condition=Q(source__in=["auto", "claim", "manager"])),
            models.CheckConstraint(
                name="assignment_ends_with_a_reason",
                condition=ends_with("resolved", "reassigned", "deallocated", "released", "moved", "grace_expired"),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "operator", "ended_at"], name="assignment_by_operator"),
            models.Index(fields=["tenant", "conversation", "id"], name="assignment_by_conversation"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} with {self.operator_id}"


class GracePeriod(TenantOwned):
    """An offline operator keeps one conversation until `expires_at`. Closed by return, by any end of the assignment, or by the clock."""

    class EndReason(models.TextChoices):
        RETURNED = "returned"  # the operator came back in time
        ASSIGNMENT_ENDED = "assignment_ended"  # resolved, reassigned, deallocated or moved meanwhile
        EXPIRED = "expired"  # nobody came: the conversation went back to the queue

    assignment = OwnedForeignKey(Assignment)
    conversation = OwnedForeignKey(Conversation)
    operator = OwnedForeignKey(Operator)
    reason = models.TextField(default="offline")
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(choices=EndReason, null=True, blank=True)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "grace_period_assignments"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "assignment"], name="one_open_grace_period", condition=Q(ended_at__isnull=True)),
            models.CheckConstraint(name="grace_ends_with_a_reason", condition=ends_with("returned", "assignment_ended", "expired")),
            models.CheckConstraint(name="grace_lasts", condition=Q(expires_at__gt=F("opened_at"))),
        ]
        indexes = [
            models.Index(fields=["tenant", "expires_at", "id"], name="grace_due", condition=Q(ended_at__isnull=True)),
            models.Index(fields=["tenant", "operator"], name="grace_by_operator", condition=Q(ended_at__isnull=True)),
            models.Index(fields=["id"], name="grace_by_id"),  # tenant_of_grace_period
        ]

    def __str__(self) -> str:
        return f"{self.operator_id} keeps {self.conversation_id} until {self.expires_at:%H:%M:%S}"

    def whereabouts(self) -> Whereabouts:
        return Whereabouts(self.conversation_id, self.conversation.inbox_id, self.operator_id)


class ConversationLabel(TenantOwned):
    """A conversation wears a label of its own inbox: both references carry the inbox, so the database refuses any other."""

    conversation = OwnedForeignKey(Conversation, models.CASCADE)
    label = OwnedForeignKey(Label, models.CASCADE)
    inbox = OwnedForeignKey(Inbox)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "conversation_labels"
        constraints = [models.UniqueConstraint(fields=["tenant", "conversation", "label"], name="label_once_per_conversation")]
        indexes = [models.Index(fields=["tenant", "label", "conversation"], name="conversation_by_label")]

    def __str__(self) -> str:
        return f"{self.conversation_id} wears {self.label_id}"
