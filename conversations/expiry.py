"""What the clock takes: conversations whose operator stayed away for the whole grace period go back to the queue.

Deadlines are rows, not timers, and only the database's clock decides. An expiry takes the locks first, of the operators
and of the conversations, and then looks again: whoever returned before, keeps the work. A round writes all that it
returns together, because after an outage much is due at once.
"""

import logging
import math
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import DatabaseError, connection

from convalloc import clock
from conversations import deadlines, lifecycle, queue, states
from conversations.models import GracePeriod
from operators import presence
from operators.models import Status
from tenants import isolation, rounds
from tenants.models import Tenant

log = logging.getLogger(__name__)

TASK = "expire_grace_periods"  # what tenants.ticks calls it
(EXPIRE,) = (move for move in states.TRANSITIONS if move.act == "expire")
EndReason = GracePeriod.EndReason
CAUSE = lifecycle.END_REASON[EXPIRE.act].value
ROUND = 500  # periods of one transaction: its locks last for a fraction of a second
PATIENCE = 3  # how many rows of a tenant somebody may keep locked, until the rest of those is left as well
SUSPECTS = """
    SELECT g.id, g.operator_id, g.conversation_id, g.expires_at, statement_timestamp() - g.expires_at FROM grace_period_assignments g
     WHERE g.tenant_id = %(tenant_id)s AND g.ended_at IS NULL AND g.expires_at <= statement_timestamp()
       AND (g.expires_at, g.id) > (%(after_time)s::timestamptz, %(after_id)s)
     ORDER BY g.expires_at, g.id LIMIT %(limit)s
"""
# Under the locks, in a snapshot younger than the wait for them: what becomes of each that is due still.
SECOND_LOOK = f"""
    SELECT g.id, g.conversation_id, %(now)s - g.expires_at,
           CASE WHEN s.status <> '{Status.OFFLINE}' THEN '{EndReason.RETURNED}'
                WHEN EXISTS (SELECT FROM assignments a
                              WHERE a.tenant_id = g.tenant_id AND a.id = g.assignment_id
                                AND a.conversation_id = g.conversation_id AND a.ended_at IS NULL) THEN '{EndReason.EXPIRED}'
                ELSE '{EndReason.ASSIGNMENT_ENDED}' END
      FROM grace_period_assignments g
      JOIN operator_status s ON s.tenant_id = g.tenant_id AND s.operator_id = g.operator_id
     WHERE g.tenant_id = %(tenant_id)s AND g.id = ANY (%(periods)s) AND g.ended_at IS NULL AND g.expires_at <= %(now)s
"""


class Counts(NamedTuple):
    """What a round of expiry did: conversations returned to the queue, and periods that had become pointless.

    `left`: how many periods, or tenants, are left for the next call. `late_seconds`: for how long the oldest deadline had passed when
    its conversation was returned, or had to be left.
    """

    released: int = 0
    closed: int = 0
    late_seconds: int = 0
    left: int = 0

    def __add__(self, other: object) -> "Counts":
        assert isinstance(other, Counts)
        late_seconds = max(self.late_seconds, other.late_seconds)
        return Counts(self.released + other.released, self.closed + other.closed, late_seconds, self.left + other.left)


class Suspect(NamedTuple):
    """A period whose deadline has passed, and by how much, as it was seen without a lock."""

    id: int
    operator_id: int
    conversation_id: int
    expires_at: datetime
    late: timedelta

    @property
    def left(self) -> Counts:
        """What is told of it where it has to be left."""
        return Counts(late_seconds=int(self.late.total_seconds()), left=1)


class Verdict(NamedTuple):
    """What becomes of a period that is due, how late, and which conversation it is about."""

    id: int
    conversation_id: int
    late: timedelta
    outcome: str


def expire_due(limit: int = ROUND, until: float = math.inf) -> Counts:
    """Return to the queue what is due, over all tenants, in rounds of at most `limit` rows, a transaction each.

    Harmless to call twice, ten times, or at the same time from many workers. No round begins after `until` (of
    time.monotonic): the next call goes on.
    """
    total = Counts()

    def visit(tenant_id: int) -> None:
        nonlocal total
        for done in expire_all_of(tenant_id, limit, until):
            total += done

    left = rounds.visit(rounds.with_due_grace(), visit, until)
    return total + Counts(left=left)


def expire_all_of(tenant_id: int, limit: int = ROUND, until: float = math.inf) -> Iterator[Counts]:
    """Return to the queue what is due in one tenant; what each round did.

    What somebody is at work on is passed over at first, so that it holds up nothing else, and waited for at the end, one after
    another; so is a round that fails, because one row may spoil it for all. What fails then too, is left for the next call.
    """
    left = 0
    busy: list[Suspect] = []
    met: list[Suspect] = []
    while time.monotonic() < until:
        with isolation.act_as(tenant_id):
            met = _due(limit, after=met[-1] if met else None)
        try:
            with isolation.act_as(tenant_id):
                done, passed_over = _expire(met, wait=False)
        except DatabaseError:
            log.exception("tenant %s: %s grace periods cannot end together", tenant_id, len(met))
            done, passed_over = Counts(), met
        busy += passed_over
        yield done
        # Not what was done: a neighbour may have been faster with all of this round, and die before the next.
        if len(met) < limit:
            break
    for suspect in busy:
        patient = left < PATIENCE and time.monotonic() < until
        done = _expire_or_leave(tenant_id, suspect) if patient else suspect.left
        left += done.left
        yield done


def _expire_or_leave(tenant_id: int, suspect: Suspect) -> Counts:
    try:
        with isolation.act_as(tenant_id):
            done, _ = _expire([suspect], wait=True)
    except DatabaseError:
        log.exception("grace period %s is left for the next round", suspect.id)
        return suspect.left
    return done


def _due(limit: int, after: Suspect | None) -> list[Suspect]:
    """The next periods of the bound tenant that are due, the oldest deadline first; not locked."""
    time_of, id_of = (after.expires_at, after.id) if after else ("-infinity", 0)
    with connection.cursor() as cursor:
        cursor.execute(SUSPECTS, {"tenant_id": isolation.current_tenant_id(), "limit": limit, "after_time": time_of, "after_id": id_of})
        return [Suspect(*row) for row in cursor.fetchall()]


def _expire(suspects: list[Suspect], *, wait: bool) -> tuple[Counts, list[Suspect]]:
    """End these periods of the bound tenant, as far as they are due under the locks; and those that a neighbour holds."""
    operators = presence.hold_many({suspect.operator_id for suspect in suspects}, wait=wait)
    conversations = queue.hold_many({suspect.conversation_id for suspect in suspects if suspect.operator_id in operators}, wait=wait)
    held: list[int] = []
    passed_over: list[Suspect] = []
    for suspect in suspects:
        if suspect.operator_id in operators and suspect.conversation_id in conversations:
            held.append(suspect.id)
        else:
            passed_over.append(suspect)
    return _end(held), passed_over


def _end(period_ids: list[int]) -> Counts:
    """End what of these is due. Under the locks of their operators and of their conversations."""
    if not period_ids:
        return Counts()
    now = clock.now()
    due = _look_again(period_ids, now)
    expired = [verdict for verdict in due if verdict.outcome == EndReason.EXPIRED]
    tenant = Tenant.objects.get(pk=isolation.current_tenant_id())
    released = lifecycle.requeue_all([verdict.conversation_id for verdict in expired], EXPIRE, tenant, now, cause=CAUSE)
    for outcome in EndReason:
        deadlines.close([verdict.id for verdict in due if verdict.outcome == outcome], outcome, now)
    late = max((verdict.late for verdict in expired), default=timedelta())
    return Counts(released, len(due) - len(expired), int(late.total_seconds()))


def _look_again(period_ids: list[int], now: datetime) -> list[Verdict]:
    with connection.cursor() as cursor:
        cursor.execute(SECOND_LOOK, {"tenant_id": isolation.current_tenant_id(), "periods": period_ids, "now": now})
        return [Verdict(*row) for row in cursor.fetchall()]
