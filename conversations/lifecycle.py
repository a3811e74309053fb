"""A conversation's life, act by act. Each act is one function: lock, refuse, change, announce, in the caller's transaction.

An act changes the state by a move of the table in conversations.states, found by `step`, and by nothing else.

Whatever ends an assignment ends its grace period too, so that no deadline outlives the work it is about.
Repeating an act whose effect already stands changes nothing and appends no event.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from convalloc import clock, phones
from convalloc.errors import Missing
from convalloc.preconditions import refuse_changed
from conversations import capacity, deadlines, queue, states
from conversations.errors import ForceNeedsReason, NotTheHolder, OperatorDisabled, OperatorNotAvailable, wrong_state
from conversations.models import Assignment, Conversation, ConversationLabel, GracePeriod
from conversations.priority import Weights
from conversations.states import TRANSITIONS, Transition
from labels import catalogue
from operators import desk, presence
from operators.errors import NotSubscribed
from operators.models import Operator, OperatorStatus, Status
from tenants import eventlog
from tenants.models import Event, Inbox, Tenant

MOVES = [f"conversation.{move.event}" for move in TRANSITIONS]
SOURCE = {
    "allocate": Assignment.Source.AUTO,
    "claim": Assignment.Source.CLAIM,
    "assign": Assignment.Source.MANAGER,
    "reassign": Assignment.Source.MANAGER,
}
END_REASON = {
    "resolve": Assignment.EndReason.RESOLVED,
    "reassign": Assignment.EndReason.REASSIGNED,
    "deallocate": Assignment.EndReason.DEALLOCATED,
    "release": Assignment.EndReason.RELEASED,
    "move": Assignment.EndReason.MOVED,
    "expire": Assignment.EndReason.GRACE_EXPIRED,
}
TOLD_AT_FIRST = ("inbox_id", "state", "version", "message_count", "last_message_at", "waiting_since")
# What an act that is one statement tells of a row; braces hold SQL.
CHANGED = "jsonb_build_object('state', '{state}', 'assigned_operator_id', {holder}, 'version', {version})"


def _requeue_sql(move: Transition) -> str:
    """What `requeue` does, for many at once. In a snapshot younger than the wait for their locks."""
    return f"""
    WITH batch AS MATERIALIZED (
        SELECT c.id, c.message_count, c.assigned_operator_id AS holder, {queue.WAITS_FROM} AS waits_from FROM conversations c
         WHERE c.tenant_id = %(tenant_id)s AND c.id = ANY (%(conversations)s)
    ), placed AS ({queue.PLACED}), requeued AS (
        UPDATE conversations c
           SET state = '{move.enters}', assigned_operator_id = NULL, version = c.version + 1, updated_at = %(now)s, {queue.PLACE}
          FROM placed p WHERE c.tenant_id = %(tenant_id)s AND c.id = p.id AND c.state = '{move.leaves}'
        RETURNING c.*, p.holder
    ), ended AS (
        UPDATE assignments a SET ended_at = %(now)s, end_reason = '{END_REASON[move.act]}'
         WHERE a.tenant_id = %(tenant_id)s AND a.conversation_id = ANY (%(conversations)s) AND a.ended_at IS NULL
    ), told AS ({
        eventlog.append_sql(
            f"'conversation.{move.event}'",
            "conversation",
            subject_id="id",
            before=CHANGED.format(state=move.leaves, holder="holder", version="version - 1"),
            after=CHANGED.format(state=move.enters, holder="NULL::bigint", version="version"),
            cause="%(cause)s",
            rows="requeued ORDER BY id",
        )
    })
    SELECT count(*) FROM requeued
"""


class Override(NamedTuple):
    """A manager's word against the rules of who gets work, with the reason that the audit keeps."""

    force: bool = False
    reason: str = ""

    @property
    def cause(self) -> str:
        """What the event says of it."""
        return f"forced: {self.reason}" if self.force else self.reason


def open_conversation(tenant: Tenant, inbox: Inbox, **facts: Any) -> Conversation:
    """Put a new conversation into an inbox's queue. `facts` are columns: external id, phone, message_count, last_message_at …"""
    conversation = Conversation(inbox=inbox, **facts)
    conversation.customer_phone_number = phones.kept(conversation.customer_phone_number)
    for column, value in queue.place(conversation, tenant, clock.now()).items():
        setattr(conversation, column, value)
    conversation.save(force_insert=True)
    conversation.refresh_from_db()
    after = {name: getattr(conversation, name) for name in TOLD_AT_FIRST}
    eventlog.append("conversation.created", conversation, after=after)
    return conversation


def resolve(conversation_id: int, *, by: Operator) -> Conversation:
    """The holder, or a manager, says that the work is done; a manager also of what nobody holds.

    Raises Missing, NotYourInbox (who may not see it hears nothing of its state), AlreadyResolved (by somebody else), NotTheHolder.
    """
    conversation = queue.lock(conversation_id)
    if repeats(conversation, "conversation.resolved", by):
        return conversation
    queue.find_visible(conversation_id, by)
    move = step("resolve", conversation)
    if not by.is_manager and conversation.assigned_operator_id != by.pk:
        raise NotTheHolder

    now = clock.now()
    end_assignment(conversation, move, now)
    return enter(conversation, move, now, assigned_operator_id=None, resolved_at=now)


def deallocate(conversation_id: int, *, by: Operator, cause: str = "") -> Conversation:
    """Take it from its holder and put it back into the queue, with its full waiting credit. Raises Missing, NotAllocated."""
    conversation = queue.lock(conversation_id)
    if repeats(conversation, "conversation.deallocated", by):
        return conversation
    return requeue(conversation, step("deallocate", conversation), by.tenant, clock.now(), cause=cause)


def release(conversation_id: int, *, by: Operator, reason: str) -> Conversation:
    """Its holder gives it back to the queue, which does not hand it to them again for the tenant's cool-down while anything else waits.

    Raises Missing, NotYourInbox, AlreadyResolved, NotAllocated, NotTheHolder.
    """
    conversation = queue.lock(conversation_id)
    if repeats(conversation, "conversation.released", by):
        return conversation
    queue.find_visible(conversation_id, by)
    onwards = step("release", conversation)
    if conversation.assigned_operator_id != by.pk:
        raise NotTheHolder
    return requeue(conversation, onwards, by.tenant, clock.now(), cause=reason)


def reassign(conversation_id: int, operator_id: int, *, override: Override = Override()) -> Conversation:  # noqa: B008  immutable
    """Another operator takes over at once. Raises Missing, NotAllocated, OperatorNotAvailable, NotSubscribed, ForceNeedsReason."""
    target = presence.lock(operator_id)
    conversation = queue.lock(conversation_id)
    move = step("reassign", conversation)
    if conversation.assigned_operator_id == operator_id:
        return conversation
    admit(target, conversation, override)

    now = clock.now()
    end_assignment(conversation, move, now)
    return hand_to(target, conversation, move, now, cause=override.cause)


def move(conversation_id: int, inbox_id: int, *, by: Operator) -> tuple[Conversation, list[str]]:
    """Let another inbox answer: requeued there with its waiting credit; the names of the labels it lost, which that inbox lacks.

    Labels of the same name in the new inbox take the place of the old ones. Raises Missing, AlreadyResolved.
    """
    conversation = queue.lock(conversation_id)
    inbox = Inbox.objects.filter(pk=inbox_id).first()
    if inbox is None:
        raise Missing(what="Inbox", sought=[inbox_id])
    onwards = step("move", conversation)
    if conversation.inbox_id == inbox_id:
        return conversation, []

    locked = catalogue.lock_with_namesakes(worn_labels(conversation), inbox_id)
    kept = [label for label in locked if label.inbox_id == inbox_id]
    worn = [label for label in locked if label.inbox_id != inbox_id]
    ConversationLabel.objects.filter(conversation_id=conversation.pk).delete()
    labels = [label.pk for label in worn], [label.pk for label in kept]
    moved = requeue(conversation, onwards, by.tenant, clock.now(), labels=labels, inbox_id=inbox_id)
    ConversationLabel.objects.bulk_create(
        ConversationLabel(tenant_id=by.tenant_id, conversation_id=conversation.pk, label_id=label.pk, inbox_id=inbox_id) for label in kept
    )
    return moved, sorted({label.name for label in worn} - {label.name for label in kept})


# --- what the acts, and the rooms above, are made of ---------------------------------------------


def step(act: str, conversation: Conversation) -> Transition:
    """The move that an act makes from where the conversation stands. Under its lock.

    Raises NotQueued, NotAllocated, AlreadyResolved, and Changed for a caller who saw another version.
    """
    move = states.find(act, conversation.state)
    if move is None:
        raise wrong_state(act, conversation.state)
    refuse_changed(conversation.version)
    return move


def admit(target: OperatorStatus, conversation: Conversation, override: Override = Override()) -> None:  # noqa: B008  immutable
    """Refuse to give this operator work unless they are available, answer at the inbox and have room; a manager may force it.

    Nobody can force work on a disabled account, which could never do it.
    Under the operator's lock. Raises OperatorDisabled, OperatorNotAvailable, NotSubscribed, CapacityExceeded, ForceNeedsReason.
    """
    if override.force:
        if not override.reason:
            raise ForceNeedsReason
        refuse_disabled(target)
        return
    if not desk.answers_at(target.operator_id, conversation.inbox_id):
        raise NotSubscribed
    refuse_absent(target)
    capacity.refuse_full(target, conversation.inbox_id)


def refuse_absent(target: OperatorStatus) -> None:
    """Only an available operator whose account is active gets work. Raises OperatorDisabled, OperatorNotAvailable."""
    refuse_disabled(target)
    if target.status != Status.AVAILABLE:
        raise OperatorNotAvailable(status=target.status)


def refuse_disabled(target: OperatorStatus) -> None:
    """An account that cannot sign in gets no work. Raises OperatorDisabled."""
    if not target.operator.is_active:
        raise OperatorDisabled


def hand_to(target: OperatorStatus, conversation: Conversation, move: Transition, now: datetime, *, cause: str = "") -> Conversation:
    """Start an assignment. Under both locks, after the checks. Work forced on an offline operator has its grace period from the start."""
    tenant = target.operator.tenant
    Assignment.objects.create(
        conversation_id=conversation.pk,
        operator_id=target.operator_id,
        source=SOURCE[move.act],
        started_at=now,
        score_at_start=Weights.of(tenant).score(conversation.credit, conversation.waits_from, now),
        waited_seconds_at_start=max(0.0, (now - conversation.waits_from).total_seconds()),
    )
    if target.status == Status.OFFLINE:
        deadlines.open_for([conversation.pk], now)
    return enter(conversation, move, now, cause=cause, assigned_operator_id=target.operator_id)


def requeue(conversation: Conversation, move: Transition, tenant: Tenant, now: datetime, **changes: Any) -> Conversation:
    """Back to the queue, or on in it: whoever held it holds it no longer; score and place are computed anew from the old credit."""
    end_assignment(conversation, move, now)
    place = queue.place(conversation, tenant, now)
    return enter(conversation, move, now, place=place, assigned_operator_id=None, **changes)


def requeue_all(conversation_ids: Iterable[int], move: Transition, tenant: Tenant, now: datetime, *, cause: str) -> int:
    """`requeue`, of all of these that stand where the move begins, in one statement; how many. Under their locks.

    Ends no grace period: that is the caller's affair.
    """
    wish = {"conversations": list(conversation_ids), "now": now, "cause": cause}
    with connection.cursor() as cursor:
        cursor.execute(_requeue_sql(move), queue.placing(tenant) | eventlog.origin() | wish)
        (count,) = cursor.fetchone()
    return int(count)


def end_assignment(conversation: Conversation, move: Transition, now: datetime) -> None:
    """End the open assignment, if there is one, and its grace period with it. Under the conversation's lock."""
    reason = END_REASON[move.act]
    held = Assignment.objects.filter(conversation_id=conversation.pk, ended_at__isnull=True)
    if reason != Assignment.EndReason.GRACE_EXPIRED:
        periods = GracePeriod.objects.filter(assignment_id__in=held.values("pk"), ended_at__isnull=True)
        deadlines.close(periods.values_list("pk", flat=True), GracePeriod.EndReason.ASSIGNMENT_ENDED, now)
    held.update(ended_at=now, end_reason=reason)


def enter(conversation: Conversation, move: Transition, now: datetime, **changes: Any) -> Conversation:
    """Change the state by a move of the table, with what changes along with it."""
    return write(conversation, f"conversation.{move.event}", now, state=move.enters, **changes)


def worn_labels(conversation: Conversation) -> list[int]:
    """Ids of the labels that a conversation wears, ascending."""
    return list(ConversationLabel.objects.filter(conversation_id=conversation.pk).order_by("label_id").values_list("label_id", flat=True))


def write(
    conversation: Conversation,
    kind: str,
    now: datetime,
    *,
    place: dict[str, Any] | None = None,
    labels: tuple[list[int], list[int]] = ([], []),
    cause: str = "",
    **changes: Any,
) -> Conversation:
    """Write the changes, count the version up, append the one event that says so.

    `place` is the queue's own affair and not announced. `labels` are the ids worn before and after, which the caller writes.
    """
    changes |= {"version": conversation.version + 1}
    before = {name: getattr(conversation, name) for name in changes if getattr(conversation, name) != changes[name]}
    written = changes | (place or {}) | {"updated_at": now}
    for name, value in written.items():
        setattr(conversation, name, value)
    conversation.save(update_fields=list(written))
    after = {name: changes[name] for name in before}
    if labels[0] != labels[1]:
        before, after = before | {"label_ids": labels[0]}, after | {"label_ids": labels[1]}
    eventlog.append(kind, conversation, before=before, after=after, cause=cause)
    return conversation


def repeats(conversation: Conversation, kind: str, by: Operator) -> bool:
    """Whether the last change of state was this very act by this very person: a retry, not a conflict."""
    timeline = Event.objects.filter(conversation_id=conversation.pk, kind__in=MOVES).order_by("-id")
    last = timeline.values_list("kind", "actor_id").first()
    return last == (kind, by.pk)
