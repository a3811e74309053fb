"""Grace: an operator who goes offline keeps the work for a while; who does not come back, loses it to the queue.

Deadlines are rows, not timers. Only the database's clock decides. An expiry re-checks status, assignment and deadline
under the operator's and the conversation's locks: whoever returned first, keeps the work.
"""

from typing import NamedTuple

from convalloc import clock
from conversations import deadlines, lifecycle, queue
from conversations.models import Assignment, Conversation, GracePeriod
from conversations.states import State
from operators import presence, staff
from operators.models import Operator, OperatorStatus, Status
from tenants import isolation, rounds
from tenants.models import Tenant

EndReason = GracePeriod.EndReason


class Counts(NamedTuple):
    """What a round of expiry did: conversations returned to the queue, and periods that had become pointless."""

    released: int = 0
    closed: int = 0

    def __add__(self, other: object) -> "Counts":
        assert isinstance(other, Counts)
        return Counts(self.released + other.released, self.closed + other.closed)


def change_status(operator_id: int, status: Status, tenant: Tenant, *, cause: str = "") -> OperatorStatus:
    """Set an operator's status, and what follows for the work they hold: OFFLINE opens grace, anything else ends it.

    Raises Missing.
    """
    row, changed = presence.change(operator_id, status, cause=cause)
    if changed and status == Status.OFFLINE:
        open_for(operator_id, tenant, reason=cause or "offline")
    elif changed:
        cancel_for(operator_id)
    return row


def dismiss(operator_id: int, tenant: Tenant, *, by: Operator) -> Operator:
    """Close an account: nobody signs in with it, and what it held goes the way of an absence. Raises Missing, OwnRights."""
    operator = staff.change(operator_id, by=by, is_active=False)
    change_status(operator_id, Status.OFFLINE, tenant, cause="account_closed")
    return operator


def open_for(operator_id: int, tenant: Tenant, *, reason: str = "offline") -> int:
    """Open a period for each conversation that the operator holds and that has none; their number. Under the operator's lock."""
    held = Conversation.objects.filter(assigned_operator_id=operator_id, state=State.ALLOCATED).values_list("pk", flat=True)
    locked = [row.pk for row in queue.lock_many(held) if row.assigned_operator_id == operator_id]
    graced = GracePeriod.objects.filter(conversation_id__in=locked, ended_at__isnull=True).values("assignment_id")
    assignments = Assignment.objects.filter(conversation_id__in=locked, ended_at__isnull=True).exclude(pk__in=graced)
    return len(deadlines.open_for(assignments, tenant, clock.now(), reason=reason))


def cancel_for(operator_id: int) -> int:
    """The operator is back: end their periods; their number. Under the operator's lock."""
    rows = GracePeriod.objects.filter(operator_id=operator_id, ended_at__isnull=True).order_by("pk")
    return deadlines.close(list(rows), EndReason.RETURNED, clock.now())


def expire_due(limit: int = 500) -> Counts:
    """Return to the queue what is due, over all tenants, in rounds of at most `limit` rows, a transaction each.

    Harmless to call twice, ten times, or at the same time from many workers.
    """
    total = Counts()

    def expire(tenant_id: int) -> None:
        nonlocal total
        found = limit
        while found >= limit:  # not what was done: a neighbour may have been faster with all of this round, and die before the next
            with isolation.act_as(tenant_id):
                done, found = _expire_round(Tenant.objects.get(pk=tenant_id), limit)
            total += done

    rounds.visit(rounds.with_due_grace(), expire)
    return total


def _expire_round(tenant: Tenant, limit: int) -> tuple[Counts, int]:
    """What was done about the next `limit` periods that are due, and how many of them there were."""
    open_and_due = GracePeriod.objects.filter(ended_at__isnull=True, expires_at__lte=clock.now())
    suspects = list(open_and_due.order_by("expires_at", "pk")[:limit])
    status = presence.lock_many({row.operator_id for row in suspects})
    conversations = {row.pk: row for row in queue.lock_many({row.conversation_id for row in suspects})}

    now = clock.now()
    counts = Counts()
    for period in open_and_due.filter(pk__in=[row.pk for row in suspects]).order_by("pk"):  # once more: now under the locks
        conversation = conversations[period.conversation_id]
        if status[period.operator_id].status != Status.OFFLINE:
            counts += Counts(closed=deadlines.close([period], EndReason.RETURNED, now))
        elif not Assignment.objects.filter(pk=period.assignment_id, conversation_id=conversation.pk, ended_at__isnull=True).exists():
            counts += Counts(closed=deadlines.close([period], EndReason.ASSIGNMENT_ENDED, now))
        else:
            lifecycle.requeue(conversation, lifecycle.step("expire", conversation), tenant, now, cause="grace_expired")
            counts += Counts(released=deadlines.close([period], EndReason.EXPIRED, now))
    return counts, len(suspects)
