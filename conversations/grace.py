"""Grace: an operator who goes offline keeps the work for a while. What the clock takes from them is conversations.expiry's affair."""

from datetime import timedelta
from enum import Enum
from typing import Any

from django.db.models import QuerySet

from convalloc import clock
from convalloc.errors import Missing
from conversations import deadlines, lifecycle, queue, states
from conversations.errors import GraceEnded, GraceTooLong
from conversations.models import Assignment, Conversation, GracePeriod
from operators import leases, presence, staff
from operators.models import Operator, OperatorStatus, Status
from tenants.models import Tenant

EndReason = GracePeriod.EndReason
(DEALLOCATE,) = (move for move in states.TRANSITIONS if move.act == "deallocate")
REQUEUED = "conversation.requeued"
LONGEST_EXTENSION = 10_080  # minutes: a week at a time
FURTHEST = timedelta(days=92)  # from now, however often it is extended: somebody waits


class Release(Enum):
    """When the work of who goes offline goes back to the queue."""

    GRACE = "grace"  # unless they come back in time
    NOW = "now"


def change_status(
    operator_id: int, status: Status, tenant: Tenant, *, reason: str = "", release: Release = Release.GRACE
) -> OperatorStatus:
    """Set an operator's status, and what follows for the work they hold: OFFLINE opens grace, anything else ends it.

    Released now, it goes back to the queue at once, also from somebody who was OFFLINE before. Raises Missing, and
    OperatorDisabled for who would come back to a closed account.
    """
    if status != Status.OFFLINE:
        lifecycle.refuse_disabled(presence.lock(operator_id))
    row, changed = presence.change(operator_id, status, reason=reason)
    if status == Status.OFFLINE and release is Release.NOW:
        take_back(operator_id, tenant, reason=reason or "offline")
    elif changed and status == Status.OFFLINE:
        open_for(operator_id, reason=reason or "offline")
    elif changed:
        cancel_for(operator_id)
    else:
        leases.hear(row)
    return row


def dismiss(operator_id: int, tenant: Tenant, *, by: Operator) -> Operator:
    """Close an account: nobody signs in with it, and what it held goes the way of an absence. Raises Missing, OwnRights."""
    operator = staff.change(operator_id, by=by, is_active=False)
    change_status(operator_id, Status.OFFLINE, tenant, reason="account_closed")
    return operator


def open_for(operator_id: int, *, reason: str = "offline") -> int:
    """Open a period for each conversation that the operator holds and that has none; their number. Under the operator's lock."""
    return deadlines.open_for(queue.hold_work_of(operator_id), clock.now(), reason=reason)


def take_back(operator_id: int, tenant: Tenant, *, reason: str) -> int:
    """A manager's deallocation of all that the operator holds, each with its full waiting credit; how many. Under the operator's lock."""
    held = queue.hold_work_of(operator_id)
    now = clock.now()
    deadlines.close(_open_periods(operator_id, conversation_id__in=held), EndReason.ASSIGNMENT_ENDED, now)
    return lifecycle.requeue_all(held, DEALLOCATE, tenant, now, cause=reason)


def cancel_for(operator_id: int) -> int:
    """The operator is back: end their periods; their number. Under the operator's lock."""
    return deadlines.close(_open_periods(operator_id), EndReason.RETURNED, clock.now())


def extend(period_id: int, minutes: int, *, reason: str = "") -> GracePeriod:
    """Let an operator keep the conversation for so much longer: from its deadline, or from now where that has passed.

    Raises Missing, GraceEnded, GraceTooLong.
    """
    period, _ = _lock_open(period_id)
    now = clock.now()
    ends, longer = max(period.expires_at, now), timedelta(minutes=minutes)
    if ends - now + longer > FURTHEST:
        raise GraceTooLong(days=FURTHEST.days)
    return deadlines.extend(period, ends + longer, cause=reason)


def expire_now(period_id: int, tenant: Tenant, *, by: Operator, reason: str = "") -> Conversation:
    """Do not wait for the deadline: the conversation goes back to the queue as if the clock had taken it.

    Raises Missing, GraceEnded.
    """
    try:
        period, conversation = _lock_open(period_id)
    except GraceEnded:
        ended = _find(period_id)
        requeued: Conversation = ended.conversation
        if ended.end_reason == EndReason.EXPIRED and lifecycle.repeats(requeued, REQUEUED, by):
            return requeued
        raise
    now = clock.now()
    expire = lifecycle.step("expire", conversation)
    requeued = lifecycle.requeue(conversation, expire, tenant, now, cause=reason or lifecycle.END_REASON[expire.act])
    deadlines.close([period.pk], EndReason.EXPIRED, now)
    return requeued


def _find(period_id: int) -> GracePeriod:
    row = GracePeriod.objects.filter(pk=period_id).first()
    if row is None:
        raise Missing(what="Grace period", sought=[period_id])
    return row


def _lock_open(period_id: int) -> tuple[GracePeriod, Conversation]:
    """An open period, and the conversation that its operator keeps by it, both as they are under the locks. Raises Missing, GraceEnded.

    It counts as ended, too, where the row is open still but means nothing: its operator is here, or the assignment is over.
    """
    found = _find(period_id)
    status = presence.lock(found.operator_id).status
    conversation = queue.lock(found.conversation_id)
    period = _find(period_id)
    if period.ended_at is not None:
        raise GraceEnded(end_reason=period.end_reason)
    if status != Status.OFFLINE:
        raise GraceEnded(end_reason=EndReason.RETURNED)
    if not Assignment.objects.filter(pk=period.assignment_id, conversation_id=conversation.pk, ended_at__isnull=True).exists():
        raise GraceEnded(end_reason=EndReason.ASSIGNMENT_ENDED)
    return period, conversation


def _open_periods(operator_id: int, **which: Any) -> QuerySet[GracePeriod, int]:
    """Ids of the operator's open periods."""
    return GracePeriod.objects.filter(operator_id=operator_id, ended_at__isnull=True, **which).values_list("pk", flat=True)
