"""The beat's own log: when each of its tasks last began and ended, and what it counted. It belongs to the platform.

A doubled beat does the work once: of those who want to begin, one statement lets one through. Correctness does not rest
on it, every task may run at any time and as often as it likes; but neither work nor locks are spent twice.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from psycopg.types.json import Jsonb

from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID, Tick

log = logging.getLogger(__name__)

# Among the counts of a tick: how late it was with the oldest of its deadlines; how many tenants or rows it had to leave for the next one.
LATE, LEFT = "late_seconds", "left"
# A tick that begins sooner than this after the last one is a double. That may be an honest one whose predecessor came late, so that
# from one beginning to the next it can be a period and this much: a quarter keeps that short, and still takes a pile for one ring.
# A tick that died leaves a beginning without an end, which is older than this when the beat rings again.
APART_SECONDS = settings.TICK_SECONDS / 4
APART = "%(apart)s * interval '1 second'"
# Compare and set: whoever waits here for a neighbour's insert or update, compares with what that one has written. A beginning
# in the future, where the database's clock was set back, holds nobody up.
BEGIN = f"""
    INSERT INTO ticks AS t (tenant_id, task, began_at) VALUES (%(tenant_id)s, %(task)s, statement_timestamp())
    ON CONFLICT (tenant_id, task) DO UPDATE SET began_at = excluded.began_at
     WHERE t.began_at NOT BETWEEN excluded.began_at - {APART} AND excluded.began_at + {APART}
    RETURNING t.id
"""
END = """
    UPDATE ticks t SET ended_at = clock_timestamp(), failure = '', counts = %(counts)s,
           totals = t.totals || (
               SELECT jsonb_object_agg(c.key, c.value::bigint + coalesce((t.totals ->> c.key)::bigint, 0))
                 FROM jsonb_each_text(%(counts)s || '{"ticks": 1}') c
           ),
           worst_late_at = CASE WHEN %(late)s > t.worst_late_seconds THEN clock_timestamp() ELSE t.worst_late_at END,
           worst_late_seconds = greatest(t.worst_late_seconds, %(late)s)
     WHERE t.tenant_id = %(tenant_id)s AND t.task = %(task)s
"""


class LastTick(NamedTuple):
    """The last tick of a task: how long ago one began, ended well, and failed, on the database's clock; None: it never did.

    `late`: by how much the oldest deadline had passed when the tick that ended last took it; 0 where none was due. `worst`: the
    most that this ever was, and how long ago. `left`: what the tick that ended last left for the next one. `totals`: what all
    ticks together counted, and how many they were. `failure`: the kind of what the last one raised; empty: it ended well, is at
    work, or was killed.
    """

    task: str
    began: timedelta | None = None
    ended: timedelta | None = None
    late: timedelta = timedelta()
    worst: timedelta = timedelta()
    worst_ago: timedelta | None = None
    left: int = 0
    totals: Mapping[str, int] = MappingProxyType({})
    failed: timedelta | None = None
    failure: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is at work, or was killed there: a beginning that neither an end nor a failure has followed."""
        return self.began is not None and all(self.began < since for since in (self.ended, self.failed) if since is not None)


def once(task: str, work: Callable[[], dict[str, int]], *, apart: float = APART_SECONDS) -> dict[str, int]:
    """Do the work of a tick, unless one began less than `apart` seconds ago; what it counted, nothing when it was left out.

    Outside a transaction: the beginning is committed before the work, and so is the failure of what it raises. A failure is no
    end: what others conclude from the last end, holds only for work that was done.
    """
    return _do(task, work) if _begin(task, apart) else {}


def by_hand(task: str, work: Callable[[], dict[str, int]]) -> dict[str, int]:
    """As `once`; but who asks for it gets it, also where a tick began a moment ago."""
    _begin(task, APART_SECONDS)
    return _do(task, work)


def _do(task: str, work: Callable[[], dict[str, int]]) -> dict[str, int]:
    try:
        counts = work()
        _end(task, counts)
    except Exception as problem:
        _fail(task, problem)
        raise
    return counts


def last(task: str, now: datetime) -> LastTick:
    """When a task was last at work."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        row = Tick.objects.filter(task=task).first()
    if row is None:
        return LastTick(task)

    def ago(instant: datetime | None) -> timedelta | None:
        return now - instant if instant else None

    return LastTick(
        task,
        began=ago(row.began_at),
        ended=ago(row.ended_at),
        late=timedelta(seconds=row.counts.get(LATE, 0)),
        worst=timedelta(seconds=row.worst_late_seconds),
        worst_ago=ago(row.worst_late_at),
        left=row.counts.get(LEFT, 0),
        totals=row.totals,
        failed=ago(row.failed_at),
        failure=row.failure,
    )


def _begin(task: str, apart: float) -> bool:
    with isolation.act_as(PLATFORM_TENANT_ID), connection.cursor() as cursor:
        cursor.execute(BEGIN, {"tenant_id": PLATFORM_TENANT_ID, "task": task, "apart": apart})
        return cursor.fetchone() is not None


def _end(task: str, counts: dict[str, int]) -> None:
    with isolation.act_as(PLATFORM_TENANT_ID), connection.cursor() as cursor:
        names: dict[str, Any] = {"tenant_id": PLATFORM_TENANT_ID, "task": task}
        cursor.execute(END, names | {"counts": Jsonb(counts), "late": counts.get(LATE, 0)})


def _fail(task: str, problem: Exception) -> None:
    """Write down that the work raised this: its kind alone, a message may quote a tenant's rows. Raises nothing itself."""
    try:
        connection.close_if_unusable_or_obsolete()  # what the work raised may be the loss of its session
        with isolation.act_as(PLATFORM_TENANT_ID):
            Tick.objects.filter(task=task).update(failed_at=Now(), failure=type(problem).__name__)
    except Exception:
        log.exception("that %s failed could not be written down: its beginning has no end", task)
