"""Places in the queue computed anew: by hand, after changed weights, and by the tick that flags what crossed the delay cap."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from convalloc import clock
from conversations import queue
from conversations.models import Conversation
from conversations.states import State
from tenants import eventlog, isolation, ranking, rounds
from tenants.errors import RankingRuns
from tenants.models import Tenant
from tenants.ranking import Walk

BATCH = 1000  # rows of one short transaction: a pick waits for one at most
TURN_SECONDS = 45.0  # of a task: the next tick goes on where this one stopped, before Celery takes it for stuck

Progress = Callable[[int], object]


def unresolved(tenant_id: int) -> int:
    """How many conversations of a tenant a recalculation will touch."""
    with isolation.act_as(tenant_id):
        return Conversation.objects.exclude(state=State.RESOLVED).count()


def recalculate(tenant_id: int, *, progress: Progress = lambda rows: None, everything: bool = True, until: float = math.inf) -> int:
    """Recalculate the unresolved conversations of a tenant with its weights of now; the number of rows.

    Many short transactions of its own, so it must not be called inside one; until it ends old and new ranks mix. One at a
    time: raises RankingRuns. It ends early when the weights change meanwhile, and at `until` (of time.monotonic): what is left
    is left for the tick. Without `everything` it only touches what other weights ranked. `progress` hears the size of each batch.
    """
    with isolation.act_as(tenant_id):
        if not everything and ranking.is_done():  # by a neighbour, since somebody looked
            return 0
        now = clock.now()
        walk, tenant = ranking.begin(now)
        rows = Conversation.objects.exclude(state=State.RESOLVED)
        done = 0 if everything else rows.filter(ranked_under__gte=walk.version).count()
        ranking.report(tenant, now, done=done, total=rows.count())
    try:
        return _walk(tenant_id, walk, progress, everything=everything, until=until)
    finally:
        with isolation.act_as(tenant_id):
            ranking.leave(walk)


def _walk(tenant_id: int, walk: Walk, progress: Progress, *, everything: bool, until: float) -> int:
    touched = last = 0
    rows = BATCH
    while rows == BATCH and time.monotonic() < until:
        with isolation.act_as(tenant_id):
            tenant = ranking.step(walk)
            if tenant is None:
                return touched
            rows, last = queue.rerank_after(tenant, last, BATCH, everything=everything)
            done = tenant.ranking_done + rows
            ranking.report(tenant, clock.now(), done=done, total=max(done, tenant.ranking_total))
        touched += rows
        progress(rows)
    if rows == BATCH:
        return touched
    touched += _catch_late(tenant_id, walk)
    with isolation.act_as(tenant_id):
        tenant = ranking.step(walk)
        if tenant is not None:
            ranking.finish(tenant)
            facts = {"conversations": touched, "weights_version": walk.version}
            eventlog.append("tenant.priorities_recalculated", tenant, after=facts)
    return touched


def _catch_late(tenant_id: int, walk: Walk | None = None) -> int:
    """Rank what was put into its place by weights of before, behind a walk's back; the number of rows. As part of a walk, or alone."""
    touched, rows = 0, BATCH
    while rows == BATCH:
        with isolation.act_as(tenant_id):
            tenant = ranking.step(walk) if walk else Tenant.objects.get(pk=tenant_id)
            rows = queue.rerank_late(tenant, BATCH) if tenant else 0
        touched += rows
    return touched


def up_to_date(tenant: Tenant) -> bool:
    """Whether everything queued stands where the weights of now put it: told by the rows themselves."""
    return tenant.ranked_version == tenant.weights_version and not queue.late(tenant)


def catch_up(tenant_id: int, until: float) -> int:
    """Rank anew whatever stands where weights of before put it, unless somebody is at it; the number of rows. Harmless to repeat."""
    touched, rows = 0, 1
    while rows and time.monotonic() < until:
        with isolation.act_as(tenant_id):
            tenant = Tenant.objects.get(pk=tenant_id)
            if up_to_date(tenant):
                break
        try:
            behind = tenant.ranked_version != tenant.weights_version
            rows = recalculate(tenant_id, everything=False, until=until) if behind else _catch_late(tenant_id)
        except RankingRuns:
            break
        touched += rows
    return touched


class Counts(NamedTuple):
    """What a tick did: rows flagged as saturated, rows ranked anew because weights had changed; tenants left for the next one."""

    flagged: int = 0
    reranked: int = 0
    left: int = 0


def tick(limit: int = 5000) -> Counts:
    """For every tenant: flag what crossed the delay cap, `limit` rows at a time, and rank anew after a change of weights.

    Harmless to repeat. Flagging ends after half of a turn: what a long outage left over is left to the next ticks.
    """
    flagged = reranked = 0
    began = time.monotonic()
    until = began + TURN_SECONDS

    def flag(tenant_id: int) -> None:
        nonlocal flagged
        rows = limit
        while rows == limit and time.monotonic() < began + TURN_SECONDS / 2:
            with isolation.act_as(tenant_id):
                rows = queue.flag_saturated(Tenant.objects.get(pk=tenant_id), limit)
            flagged += rows

    def rank(tenant_id: int) -> None:
        nonlocal reranked
        reranked += catch_up(tenant_id, until)

    tenants = rounds.all_tenants()
    left = rounds.visit(tenants, flag) + rounds.visit(tenants, rank)
    return Counts(flagged, reranked, left)
