"""Signs of life. Where a tenant has leases, whoever is not OFFLINE must give one every `lease_seconds`, or counts as lost.

A lease runs from the last sign of life, from the last change of status, or from when the tenant began to have leases of
this length, whichever came last. Nothing is written when the tenant's setting changes, nor when somebody comes back: there is
no deadline that could be missing, or outlive its reason. What becomes of the lost is decided a floor above.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from convalloc import clock
from convalloc.errors import Missing
from operators import presence
from operators.errors import OperatorOffline
from operators.models import OperatorStatus, Status
from tenants import eventlog, isolation

LOST = "lost"  # the reason of the OFFLINE that follows
HEARD = "greatest(s.seen_at, s.last_status_change_at)"
EXPIRES_AT = f"(greatest({HEARD}, t.leases_from) + t.lease_seconds * interval '1 second')"
# What is judged where nobody may have been listening: only a silence that was spared already, when leases last began anew.
JUDGED = f"(NOT %(deaf)s OR {HEARD} < t.leases_from)"
RENEW = f"""
    UPDATE operator_status s SET seen_at = clock_timestamp() FROM tenants t
     WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s AND s.status <> '{Status.OFFLINE}'
       AND t.id = s.tenant_id AND t.lease_seconds IS NOT NULL
    RETURNING s.operator_id, s.status, {EXPIRES_AT}
"""
LOOK = f"""
    SELECT s.operator_id, s.status, {EXPIRES_AT}, coalesce(p.reason, ''), s.last_status_change_at
      FROM operator_status s JOIN tenants t ON t.id = s.tenant_id
      LEFT JOIN presence_periods p ON p.tenant_id = s.tenant_id AND p.operator_id = s.operator_id AND p.ended_at IS NULL
     WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s
"""
SILENT = f"""
    SELECT s.operator_id, statement_timestamp() - {EXPIRES_AT} FROM operator_status s JOIN tenants t ON t.id = s.tenant_id
     WHERE s.tenant_id = %(tenant_id)s AND s.status <> '{Status.OFFLINE}' AND {EXPIRES_AT} <= statement_timestamp() AND {JUDGED}
       AND (%(operator_id)s::bigint IS NULL OR s.operator_id = %(operator_id)s) AND s.operator_id > %(after)s
     ORDER BY s.operator_id LIMIT %(limit)s
"""
BEGIN_ANEW = """
    UPDATE tenants t SET leases_from = clock_timestamp()
     WHERE t.id = %(tenant_id)s AND t.leases_from + t.lease_seconds * interval '1 second' <= clock_timestamp()
    RETURNING t.id
"""


class Lease(NamedTuple):
    """Until when an operator counts as there; None: the tenant has no leases."""

    operator_id: int
    status: str
    lease_expires_at: datetime | None


def renew(operator_id: int) -> Lease:
    """A sign of life: one UPDATE, no event, no history. Nobody comes back from OFFLINE by it. Raises Missing, OperatorOffline."""
    if renewed := _ask(RENEW, operator_id=operator_id):
        return Lease(*renewed[0])
    found = _ask(LOOK, operator_id=operator_id)
    if not found:
        raise Missing(what="Operator", sought=[operator_id])
    id_, status, expires_at, reason, since = found[0]
    if status == Status.OFFLINE:
        raise OperatorOffline(operator_id=id_, reason=reason, since=clock.instant(since))
    return Lease(id_, status, expires_at)


def hear(row: OperatorStatus) -> None:
    """Who sets the status that they have already, gives a sign of life by it, too. Under the operator's lock."""
    if eventlog.origin()["actor_id"] == row.operator_id and row.operator.tenant.lease_seconds is not None:
        _ask(RENEW, operator_id=row.operator_id)


def begin_anew() -> bool:
    """Everybody has a whole lease from now on; whether it was done. Not while the leases that began anew last still run.

    To be done after those were judged whose silence was spared by the last time, so that none is spared twice.
    """
    return bool(_ask(BEGIN_ANEW))


def silent(limit: int, *, after: int = 0, deaf: bool = False) -> dict[int, timedelta]:
    """Up to `limit` operators whose lease is over by their ids, ascending, those beyond `after`, and for how long; not locked.

    `deaf`: nobody may have been listening. Then they are those alone who were not heard since leases last began anew.
    """
    return dict(_ask(SILENT, operator_id=None, limit=limit, after=after, deaf=deaf))


def over_since(operator_id: int) -> timedelta | None:
    """How long the lease has been over; None: it is not.

    Looked at under the operator's lock: a sign of life that was committed first, counts.
    """
    presence.hold_many([operator_id])
    found = _ask(SILENT, operator_id=operator_id, limit=1, after=0, deaf=False)
    return found[0][1] if found else None


def _ask(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"tenant_id": isolation.current_tenant_id()} | parameters)
        return list(cursor.fetchall())
