"""Places in the queue computed anew: by hand, after changed weights, and by the tick that flags what crossed the delay cap."""

from collections.abc import Callable
from typing import NamedTuple

from conversations import queue
from conversations.models import Conversation
from conversations.states import State
from tenants import eventlog, isolation, rounds
from tenants.models import Tenant

BATCH = 1000  # rows of one short transaction: a pick waits for one at most


def unresolved(tenant_id: int) -> int:
    """How many conversations of a tenant a recalculation will touch."""
    with isolation.act_as(tenant_id):
        return Conversation.objects.exclude(state=State.RESOLVED).count()


def recalculate(tenant_id: int, *, progress: Callable[[int], object] = lambda rows: None) -> int:
    """Recalculate every unresolved conversation of a tenant with its weights of now; the number of rows.

    Many short transactions of its own, so it must not be called inside one. Until it ends old and new ranks mix.
    `progress` hears the size of each batch.
    """
    total = last = 0
    with isolation.act_as(tenant_id):
        version = Tenant.objects.get(pk=tenant_id).weights_version
    while True:
        with isolation.act_as(tenant_id):
            rows, last = queue.rerank_after(Tenant.objects.get(pk=tenant_id), last, BATCH)
        total += rows
        progress(rows)
        if rows < BATCH:
            break
    with isolation.act_as(tenant_id):
        Tenant.objects.filter(pk=tenant_id, weights_version=version).update(ranked_version=version)
        tenant = Tenant.objects.get(pk=tenant_id)
        eventlog.append("tenant.priorities_recalculated", tenant, after={"conversations": total, "weights_version": version})
    return total


class Counts(NamedTuple):
    """What a tick did: rows flagged as saturated, rows ranked anew because weights had changed."""

    flagged: int = 0
    reranked: int = 0


def tick(limit: int = 5000) -> Counts:
    """For every tenant: rank anew after a change of weights, flag at most `limit` rows that crossed the delay cap. Harmless to repeat."""
    flagged = reranked = 0

    def keep(tenant_id: int) -> None:
        nonlocal flagged, reranked
        with isolation.act_as(tenant_id):
            tenant = Tenant.objects.get(pk=tenant_id)
            flagged += queue.flag_saturated(tenant, limit)
        if tenant.ranked_version != tenant.weights_version:
            reranked += recalculate(tenant_id)

    rounds.visit(rounds.all_tenants(), keep)
    return Counts(flagged, reranked)
