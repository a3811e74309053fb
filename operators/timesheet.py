"""Who was there when: how long an operator spent in each status within a window, and the periods that it is made of.

An operator's history begins when they were hired, or, where the account is older than the history, with the status that
they had when it began: what lies before counts for no status. Times are the database's.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max

from convalloc.errors import Invalid
from operators.models import PresencePeriod, Status
from tenants import isolation

USUAL = timedelta(hours=24)
LONGEST = timedelta(days=92)  # three months, whichever

SPENT = """extract(epoch FROM sum(ended_at - started_at) FILTER (WHERE status = '{0}')) AS "{0}\""""

# One statement is one snapshot: the seconds are those of the periods. Periods neither overlap nor leave a gap, so that none
# before the last one to begin by the window's start reaches into it. That beginning is asked for first: the planner, who
# cannot know it from a sub-select, would read all that the operator ever did.
SHEET = f"""
    WITH within AS MATERIALIZED (
        SELECT p.id, p.status, p.reason, p.actor_id, p.ended_at IS NULL AS goes_on, p.started_at AS began,
               greatest(p.started_at, %(since)s) AS started_at, least(p.ended_at, %(until)s) AS ended_at
          FROM presence_periods p
         WHERE p.tenant_id = %(tenant_id)s AND p.operator_id = %(operator_id)s
           AND p.started_at < %(until)s AND (p.ended_at IS NULL OR p.ended_at > %(since)s)
           AND p.started_at >= %(first)s
    ), spent AS (
        SELECT {", ".join(SPENT.format(status) for status in Status)}
          FROM within
    ), page AS (
        SELECT * FROM within
         WHERE %(after)s::timestamptz IS NULL OR (began, id) < (%(after)s::timestamptz, %(after_id)s)
         ORDER BY began DESC, id DESC LIMIT %(look)s
    )
    SELECT * FROM spent LEFT JOIN page ON true ORDER BY began DESC, id DESC
"""


class Window(NamedTuple):
    """What is asked about. `is_open`: it ends now, and so what has not ended has no end."""

    since: datetime
    until: datetime
    is_open: bool


class Place(NamedTuple):
    """Where a walk through the periods stands: the beginning of the last one that was met, and its id."""

    began: datetime
    id: int


class Sheet(NamedTuple):
    """Seconds by status, of the whole window; a page of its periods, newest first, and where the next page begins; None at the end."""

    seconds: dict[str, float]
    periods: list[dict[str, Any]]
    next: Place | None


def window(since: datetime | None, until: datetime | None, now: datetime) -> Window:
    """The window between two instants, of which either may be missing: the last 24 hours. What has not come yet is left out.

    Raises Invalid when nothing lies between them, or more than 92 days do.
    """
    end = min(until or now, now)
    start = end - USUAL if since is None else since
    if start >= now:
        raise Invalid(fields={"from": '"from" must lie in the past'})
    if start >= end:
        raise Invalid(fields={"from": '"from" must lie before "to"'})
    if end - start > LONGEST:
        raise Invalid(fields={"from": f'"from" must lie at most {LONGEST.days} days before "to"'})
    return Window(start, end, is_open=end == now)


def of(operator_id: int, asked: Window, limit: int, after: Place | None = None) -> Sheet:
    """An operator's time within a window. Periods are cut to it; `limit` of them, older than `after`."""
    values: dict[str, Any] = {
        "tenant_id": isolation.current_tenant_id(),
        "operator_id": operator_id,
        "since": asked.since,
        "until": asked.until,
    }
    first = PresencePeriod.objects.filter(operator_id=operator_id, started_at__lte=asked.since).aggregate(last=Max("started_at"))["last"]
    place = {"first": first or asked.since, "after": after and after.began, "after_id": after and after.id, "look": limit + 1}
    with connection.cursor() as cursor:
        cursor.execute(SHEET, values | place)
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    found = [row for row in rows if row["id"] is not None]
    shown = found[:limit]
    return Sheet(
        seconds={status.value: float(rows[0][status] or 0) for status in Status},
        periods=[_told(row, asked) for row in shown],
        next=Place(shown[-1]["began"], shown[-1]["id"]) if len(found) > limit else None,
    )


def _told(row: dict[str, Any], asked: Window) -> dict[str, Any]:
    """A period as it is told; one that goes on as the window ends has no end yet."""
    return {
        "status": row["status"],
        "reason": row["reason"],
        "actor_id": row["actor_id"],
        "started_at": row["started_at"],
        "ended_at": None if row["goes_on"] and asked.is_open else row["ended_at"],
        "seconds": (row["ended_at"] - row["started_at"]).total_seconds(),
    }
