"""What silence takes: whoever gives no sign of life for the whole lease goes OFFLINE, and their work has its grace period."""

import logging
import math
import time
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import DatabaseError

from convalloc import clock
from conversations import grace
from operators import leases
from operators.models import Status
from tenants import isolation, rounds, ticks
from tenants.models import Tenant

log = logging.getLogger(__name__)

TASK = "declare_lost"  # what tenants.ticks calls it
ROUND = 500  # operators that are looked for at a time
OUTAGE = timedelta(seconds=2 * settings.TICK_SECONDS)  # without a tick: then the database may have been away, and the API with it


class Counts(NamedTuple):
    """How many operators were declared lost; and how long the oldest of their leases had been over."""

    lost: int = 0
    late_seconds: int = 0

    def __add__(self, other: object) -> "Counts":
        assert isinstance(other, Counts)
        return Counts(self.lost + other.lost, max(self.late_seconds, other.late_seconds))


def declare_lost(limit: int = ROUND, until: float = math.inf) -> Counts:
    """Set OFFLINE, over all tenants, whose lease is over: one after another, a transaction each, under their lock.

    Harmless to call twice, ten times, or at the same time from many workers. Whose row somebody else does not let go of, is left
    for the next round; that is raised at the end, so that it is seen. Nobody is begun with after `until` (of time.monotonic).
    """
    total = Counts()
    problems: list[DatabaseError] = []

    def visit(tenant_id: int) -> None:
        nonlocal total
        silent = [0]
        while silent:
            with isolation.act_as(tenant_id):
                silent = leases.silent(limit, after=silent[-1])
            for operator_id in silent:
                if time.monotonic() >= until:
                    return
                try:
                    with isolation.act_as(tenant_id):
                        late = lose(operator_id)
                except DatabaseError as problem:
                    log.exception("operator %s is left for the next round", operator_id)
                    problems.append(problem)
                else:
                    total += Counts() if late is None else Counts(1, int(late.total_seconds()))

    rounds.visit(rounds.with_leases(), visit, until)
    if problems:
        raise problems[0]
    return total


def tick(until: float = math.inf) -> Counts:
    """`declare_lost`, as the beat rings for it: after an outage of ours, nobody is lost because they were not heard in it."""
    now = clock.now()
    ended = ticks.last(TASK, now).ended
    if ended is not None and ended > OUTAGE:
        rounds.visit(rounds.with_leases(), lambda tenant_id: begin_anew(tenant_id, now - ended))
    return declare_lost(until=until)


def begin_anew(tenant_id: int, deaf_from: datetime) -> None:
    """Give everybody a fresh lease, unless somebody was heard since: then we could hear."""
    with isolation.act_as(tenant_id):
        if leases.begin_anew(deaf_from):
            log.warning("tenant %s: nobody was heard since %s, in what may be an outage: every lease begins anew", tenant_id, deaf_from)


def lose(operator_id: int) -> timedelta | None:
    """Set one operator OFFLINE, and tell how late; None: they gave a sign of life, or left, meanwhile."""
    late = leases.over_since(operator_id)
    if late is None:
        return None
    tenant = Tenant.objects.get(pk=isolation.current_tenant_id())
    grace.change_status(operator_id, Status.OFFLINE, tenant, reason=leases.LOST)
    return late
