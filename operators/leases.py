"""Signs of life. Where a tenant has leases, whoever is not OFFLINE must give one every `lease_seconds`, or counts as lost.

A lease runs from the last sign of life, from the last change of status, or from when the tenant began to have leases of
this length, whichever came last. Nothing is written when the tenant's setting changes, nor when somebody comes back: there is
no deadline that could be missing, or outlive its reason. What becomes of the lost is decided a floor above.
"""

from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from operators import presence
from operators.models import Status
from tenants import isolation

LOST = "lost"  # the reason of the OFFLINE that follows
EXPIRES_AT = "greatest(s.seen_at, s.last_status_change_at, t.leases_from) + t.lease_seconds * interval '1 second'"
RENEW = f"""
    UPDATE operator_status s SET seen_at = clock_timestamp() FROM tenants t
     WHERE s.tenant_id = %(tenant_id)s AND s.operator_id = %(operator_id)s AND s.status <> '{Status.OFFLINE}'
       AND t.id = s.tenant_id AND t.lease_seconds IS NOT NULL
    RETURNING s.operator_id, s.status, {EXPIRES_AT}
"""
SILENT = f"""
    SELECT s.operator_id FROM operator_status s JOIN tenants t ON t.id = s.tenant_id
     WHERE s.tenant_id = %(tenant_id)s AND s.status <> '{Status.OFFLINE}' AND {EXPIRES_AT} <= statement_timestamp()
       AND (%(operator_id)s::bigint IS NULL OR s.operator_id = %(operator_id)s)
     ORDER BY s.operator_id LIMIT %(limit)s
"""


class Lease(NamedTuple):
    """Until when an operator counts as there; None: there is no lease, because they are OFFLINE or the tenant has none."""

    operator_id: int
    status: str
    lease_expires_at: datetime | None


def renew(operator_id: int) -> Lease:
    """A sign of life: one UPDATE, no event, no history. Nobody comes back from OFFLINE by it. Raises Missing."""
    found = _ask(RENEW, operator_id=operator_id)
    if found:
        return Lease(*found[0])
    row = presence.status_of(operator_id)
    return Lease(row.operator_id, row.status, None)


def silent(limit: int) -> list[int]:
    """Ids of up to `limit` operators whose lease is over, ascending; not locked."""
    return [operator_id for (operator_id,) in _ask(SILENT, operator_id=None, limit=limit)]


def is_over(operator_id: int) -> bool:
    """Whether the lease is over, looked at under the operator's lock: a sign of life that was committed first, counts."""
    presence.hold_many([operator_id])
    return bool(_ask(SILENT, operator_id=operator_id, limit=1))


def _ask(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"tenant_id": isolation.current_tenant_id()} | parameters)
        return list(cursor.fetchall())
