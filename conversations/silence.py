"""What silence takes: whoever gives no sign of life for the whole lease goes OFFLINE, and their work has its grace period.

Not before every silence was spared once that may be an outage of ours (docs/decisions/0009).
"""

import logging
import math
import random
import time
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError

from convalloc import clock
from conversations import grace
from operators import leases, presence
from operators.models import Status
from tenants import isolation, rounds, ticks
from tenants.models import Tenant

log = logging.getLogger(__name__)

TASK = "declare_lost"  # what tenants.ticks calls it
ROUND = 500  # operators that are looked for at a time
# Without a tick for so long, the database may have been away, and the API with it. A ring that came to nothing makes it two ticks;
# one that came late, a quarter more than one.
OUTAGE = timedelta(seconds=1.5 * settings.TICK_SECONDS)
PATIENCE = 3  # how many of a tenant somebody may keep locked, until the rest is left as well
SAFE_SECONDS = 2 * settings.TICK_SECONDS  # a lease of so long, with three signs of life in it, survives an outage between two rings


class Counts(NamedTuple):
    """How many operators were declared lost, how many are left for the next round, and how long the oldest of all their leases was over."""

    lost: int = 0
    late_seconds: int = 0
    left: int = 0

    def __add__(self, other: object) -> "Counts":
        assert isinstance(other, Counts)
        return Counts(self.lost + other.lost, max(self.late_seconds, other.late_seconds), self.left + other.left)


class NotYet(Exception):
    """Leases that have to begin anew after an outage of ours could not: the tick has failed, and the next one still knows of it."""


def declare_lost(limit: int = ROUND, until: float = math.inf) -> Counts:
    """`sweep` every tenant that has leases. Harmless to call twice, ten times, or at the same time from many workers.

    Nobody is begun with after `until` (of time.monotonic); but after an outage of ours leases begin anew in every tenant even
    then, or it raises NotYet at the end: of a tick that ended well the next one concludes that there is no outage to spare for.
    """
    total = Counts()
    deaf = was_away()

    def visit(tenant_id: int) -> None:
        nonlocal total
        total += sweep(tenant_id, limit, until)

    left = rounds.visit(rounds.with_leases(), visit, math.inf if deaf else until)
    if deaf and left:
        raise NotYet(f"in {left} tenants leases could not begin anew")
    return total + Counts(left=left)


def sweep(tenant_id: int, limit: int = ROUND, until: float = math.inf) -> Counts:
    """Set OFFLINE whose lease is over in this tenant: one after another, a transaction each, under their lock.

    Where it may be us who did not hear, every silence is spared once: leases begin anew, and lost is only whoever has not been
    heard since they last did. Whose row somebody else does not let go of, is left for the next round, or for the end of the new
    lease; after PATIENCE of these so is the rest.
    """
    total = Counts()
    deaf, silent, last = was_away(), {0: timedelta()}, 0

    def goes_on() -> bool:
        return total.left < PATIENCE and time.monotonic() < until

    while silent and goes_on():
        with isolation.act_as(tenant_id):
            silent = leases.silent(limit, after=last, deaf=deaf)
            free = presence.hold_many(silent, wait=False)
        last = max(silent, default=last)
        # Who is busy comes last, and no two rounds have one order: nobody always waits behind the same who are stuck.
        for operator_id in sorted(random.sample(list(silent), len(silent)), key=lambda id_: id_ not in free):
            if goes_on():
                total += _lose_or_leave(tenant_id, operator_id, silent[operator_id])
    if deaf:
        begin_anew(tenant_id)
    return total


def _lose_or_leave(tenant_id: int, operator_id: int, late: timedelta) -> Counts:
    try:
        with isolation.act_as(tenant_id):
            lost = lose(operator_id)
    except DatabaseError:
        log.exception("operator %s is left for the next round", operator_id)
        return Counts(late_seconds=int(late.total_seconds()), left=1)
    return Counts() if lost is None else Counts(1, int(lost.total_seconds()))


def was_away() -> bool:
    """Whether the last tick that ended is so long ago that it may be us who did not hear."""
    ended = ticks.last(TASK, clock.now()).ended
    return ended is not None and ended > OUTAGE


def begin_anew(tenant_id: int) -> None:
    """Give everybody of the tenant a whole lease, unless the last one that they were given still runs."""
    with isolation.act_as(tenant_id):
        if leases.begin_anew():
            log.warning("tenant %s: every lease begins anew, after what may have been an outage of ours", tenant_id)


def lose(operator_id: int) -> timedelta | None:
    """Set one operator OFFLINE, and tell how late; None: they gave a sign of life, or left, meanwhile."""
    late = leases.over_since(operator_id)
    if late is None:
        return None
    tenant = Tenant.objects.get(pk=isolation.current_tenant_id())
    grace.change_status(operator_id, Status.OFFLINE, tenant, reason=leases.LOST)
    return late
