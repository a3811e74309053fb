"""The rows of grace: opened, extended and closed here. Whoever calls holds the conversation's lock, or the operator's.

Rows of grace come last in the order of locks. An operator's return closes its rows under the operator's lock alone, and
everybody else who closes them holds the conversation; the two meet in `close`, which asks whether the row is open still.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models.functions import Coalesce

from conversations.models import Assignment, Conversation, GracePeriod
from tenants import eventlog
from tenants.models import Tenant


def open_for(assignments: Iterable[Assignment], tenant: Tenant, now: datetime, *, reason: str = "offline") -> list[GracePeriod]:
    """Start the grace period of their inbox, or else of the tenant, for each of these open assignments of offline operators."""
    assignments = list(assignments)
    own = Conversation.objects.filter(pk__in=[assignment.conversation_id for assignment in assignments])
    minutes = dict(own.values_list("pk", Coalesce("inbox__grace_period_minutes", tenant.grace_period_minutes)))
    rows = GracePeriod.objects.bulk_create(
        GracePeriod(
            tenant_id=assignment.tenant_id,
            assignment_id=assignment.pk,
            conversation_id=assignment.conversation_id,
            operator_id=assignment.operator_id,
            reason=reason,
            opened_at=now,
            expires_at=now + timedelta(minutes=minutes[assignment.conversation_id]),
        )
        for assignment in assignments
    )
    eventlog.append_all(
        [eventlog.record("grace.opened", row, after=described(row) | {"expires_at": row.expires_at}, cause=reason) for row in rows]
    )
    return rows


def close(rows: Iterable[GracePeriod], reason: GracePeriod.EndReason, now: datetime) -> int:
    """End these periods, as far as nobody did meanwhile; the number that this call ended."""
    kind = "grace.expired" if reason == GracePeriod.EndReason.EXPIRED else "grace.cancelled"
    ended = []
    for row in rows:
        if GracePeriod.objects.filter(pk=row.pk, ended_at__isnull=True).update(ended_at=now, end_reason=reason):
            ended.append(eventlog.record(kind, row, before=described(row), after={"end_reason": reason}, cause=reason))
    eventlog.append_all(ended)
    return len(ended)


def extend(row: GracePeriod, expires_at: datetime, *, cause: str) -> GracePeriod:
    """Another end of an open period. Under the operator's lock and the conversation's, so that nobody ends it meanwhile."""
    before, row.expires_at = row.expires_at, expires_at
    row.save(update_fields=["expires_at"])
    eventlog.append("grace.extended", row, before={"expires_at": before}, after={"expires_at": expires_at}, cause=cause)
    return row


def described(row: GracePeriod) -> dict[str, int]:
    """Which work a period is about, for its events."""
    return {"assignment_id": row.assignment_id, "conversation_id": row.conversation_id, "operator_id": row.operator_id}
