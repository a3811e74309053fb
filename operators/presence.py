"""Who is at their desk. Touches no conversation: what an absence means for the work is decided a floor above.

Every lock on an operator is taken here. It is the status row's: whoever hands out work holds it, and so does whoever
changes the status, so that no allocation slips past an OFFLINE.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connection

from convalloc import clock
from convalloc.errors import Missing
from convalloc.preconditions import refuse_changed
from convalloc.prepared import Statement
from operators.models import Operator, OperatorStatus, PresencePeriod, Status
from tenants import eventlog, isolation

# `lock`, for a message that goes on by itself; its parameters are `tenant_id` and `operator_id`.
LOCK = Statement("""
    SELECT s.id FROM operator_status s WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s FOR NO KEY UPDATE
""")

HOLD = """
    SELECT s.operator_id FROM operator_status s
     WHERE s.tenant_id = %(tenant_id)s AND {whose} ORDER BY s.operator_id FOR NO KEY UPDATE {when_locked}
"""


def lock(operator_id: int) -> OperatorStatus:
    """The operator's lock, with their status, account and tenant as they are now. Raises Missing.

    In the order of locks it comes after the tenant and before conversations and grace periods. The account is read once
    the lock is there: a joined row would be as old as the wait for it.
    """
    row = OperatorStatus.objects.select_for_update(no_key=True).filter(operator_id=operator_id).first()
    if row is None:
        raise Missing(what="Operator", sought=[operator_id])
    row.operator = Operator.objects.select_related("tenant").get(pk=operator_id)
    return row


def hold_many(operator_ids: Iterable[int], *, wait: bool = True) -> set[int]:
    """The locks of several operators, taken by ascending operator id, for a statement that reads the rows itself; whose they are.

    Without `wait` only those that nobody holds.
    """
    return _hold("s.operator_id = ANY (%(ids)s)", "" if wait else "SKIP LOCKED", ids=list(operator_ids))


def hold_everybody() -> None:
    """The locks of all of the tenant's operators, so that no hand-out is under way."""
    _hold("true", "")


def _hold(whose: str, when_locked: str, **parameters: Any) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(HOLD.format(whose=whose, when_locked=when_locked), {"tenant_id": isolation.current_tenant_id()} | parameters)
        return {operator_id for (operator_id,) in cursor.fetchall()}


def change(operator_id: int, status: Status, *, reason: str = "") -> tuple[OperatorStatus, bool]:
    """Set the status under the operator's lock; the second value tells whether it was another one before.

    One period of the operator's history ends, the next begins at the same instant, and the event's cause is the reason.
    Repeating a status changes nothing and appends no event. Raises Missing, Changed.
    """
    row = lock(operator_id)
    refuse_changed(row.version)
    if row.status == status:
        return row, False
    before, row.status = row.status, status
    row.last_status_change_at = max(clock.now(), row.last_status_change_at)  # a clock that was set back shortens no period below 0
    row.version += 1
    row.save(update_fields=["status", "last_status_change_at", "version"])
    PresencePeriod.objects.filter(operator_id=operator_id, ended_at__isnull=True).update(ended_at=row.last_status_change_at)
    PresencePeriod.begin(row, reason)
    eventlog.append("operator.status_changed", row.operator, before={"status": before}, after={"status": status}, cause=reason)
    return row, True


def find(operator_id: int) -> Operator:
    """An operator of the bound tenant. Raises Missing."""
    operator: Operator | None = Operator.objects.filter(pk=operator_id).first()
    if operator is None:
        raise Missing(what="Operator", sought=[operator_id])
    return operator


def status_of(operator_id: int) -> OperatorStatus:
    """An operator's status, not locked: for looking at. Raises Missing."""
    row = OperatorStatus.objects.filter(operator_id=operator_id).first()
    if row is None:
        raise Missing(what="Operator", sought=[operator_id])
    return row
