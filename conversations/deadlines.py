"""The rows of grace: opened, extended and closed here. Whoever calls holds the conversation's lock, or the operator's.

Rows of grace come last in the order of locks. An operator's return closes its rows under the operator's lock alone, and
everybody else who closes them holds the conversation; the two meet in `close`, which asks whether the row is open still.

Many are opened or closed in one statement, with an event for each, because an absence is about all that somebody holds.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection

from convalloc import clock
from conversations.models import GracePeriod
from tenants import eventlog, isolation

EndReason = GracePeriod.EndReason
# Which work a period is about, for its events.
DESCRIBED = "jsonb_build_object('assignment_id', assignment_id, 'conversation_id', conversation_id, 'operator_id', operator_id)"
WHEREABOUTS = """conversation_id, (SELECT c.inbox_id FROM conversations c WHERE c.tenant_id = g.tenant_id AND c.id = g.conversation_id),
               operator_id"""
OPEN = f"""
    WITH opened AS (
        INSERT INTO grace_period_assignments (tenant_id, assignment_id, conversation_id, operator_id, reason, opened_at, expires_at)
        SELECT a.tenant_id, a.id, a.conversation_id, a.operator_id, %(reason)s::text, %(now)s::timestamptz,
               %(now)s::timestamptz + coalesce(i.grace_period_minutes, t.grace_period_minutes) * interval '1 minute'
          FROM assignments a
          JOIN conversations c ON c.tenant_id = a.tenant_id AND c.id = a.conversation_id
          JOIN inboxes i ON i.tenant_id = c.tenant_id AND i.id = c.inbox_id
          JOIN tenants t ON t.id = a.tenant_id
         WHERE a.tenant_id = %(tenant_id)s AND a.conversation_id = ANY (%(conversations)s) AND a.ended_at IS NULL
           AND NOT EXISTS (SELECT FROM grace_period_assignments g
                            WHERE g.tenant_id = a.tenant_id AND g.assignment_id = a.id AND g.ended_at IS NULL)
         ORDER BY a.conversation_id
        RETURNING *
    ), told AS ({
    eventlog.append_sql(
        "%(kind)s",
        "graceperiod",
        subject_id="id",
        before="'{}'::jsonb",
        after=f"{DESCRIBED} || jsonb_build_object('expires_at', {clock.instant_sql('expires_at')})",
        cause="reason",
        rows="opened g ORDER BY id",
        whereabouts=WHEREABOUTS,
    )
})
    SELECT count(*) FROM opened
"""
CLOSE = f"""
    WITH closed AS (
        UPDATE grace_period_assignments g SET ended_at = %(now)s, end_reason = %(reason)s
         WHERE g.tenant_id = %(tenant_id)s AND g.id = ANY (%(periods)s) AND g.ended_at IS NULL
        RETURNING g.*
    ), told AS ({
    eventlog.append_sql(
        "%(kind)s",
        "graceperiod",
        subject_id="id",
        before=DESCRIBED,
        after="jsonb_build_object('end_reason', end_reason)",
        cause="end_reason",
        rows="closed g ORDER BY id",
        whereabouts=WHEREABOUTS,
    )
})
    SELECT count(*) FROM closed
"""


def open_for(conversation_ids: Iterable[int], now: datetime, *, reason: str = "offline") -> int:
    """Start the grace period of their inbox, or else of the tenant, for what offline operators hold of these; how many began.

    What has its period already keeps that.
    """
    return _write(OPEN, "grace.opened", conversations=list(conversation_ids), now=now, reason=reason)


def close(period_ids: Iterable[int], reason: EndReason, now: datetime) -> int:
    """End these periods, as far as nobody did meanwhile; the number that this call ended."""
    kind = "grace.expired" if reason == EndReason.EXPIRED else "grace.cancelled"
    periods = list(period_ids)
    return _write(CLOSE, kind, periods=periods, now=now, reason=reason) if periods else 0


def extend(row: GracePeriod, expires_at: datetime, *, cause: str) -> GracePeriod:
    """Another end of an open period. Under the operator's lock and the conversation's, so that nobody ends it meanwhile."""
    before, row.expires_at = row.expires_at, expires_at
    row.save(update_fields=["expires_at"])
    eventlog.append("grace.extended", row, before={"expires_at": before}, after={"expires_at": expires_at}, cause=cause)
    return row


def _write(statement: str, kind: str, **parameters: Any) -> int:
    asked = eventlog.origin() | parameters
    with connection.cursor() as cursor:
        cursor.execute(statement, asked | {"tenant_id": isolation.current_tenant_id(), "kind": kind})
        (count,) = cursor.fetchone()
    return int(count)
