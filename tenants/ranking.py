"""How far the ranking anew of a tenant's queue is: one walk at a time, its progress on the tenant's row.

A walk is many short transactions, so no lock of the database lasts as long as it does. Each step therefore shows, under
the tenant's lock, that it belongs to the walk of now. A walk without a sign of life for `PATIENCE` is over: another may begin.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from tenants import isolation, tuning
from tenants.errors import RankingRuns
from tenants.models import Tenant

PATIENCE = timedelta(seconds=60)  # longer than the runtime role's statement_timeout: a step that lives shows it in time


class Walk(NamedTuple):
    """One walk over the queue, under one version of the weights."""

    number: int
    version: int


def is_done() -> bool:
    """Whether a walk by the weights of now has reached its end. Under the tenant's lock, which it takes."""
    tenant = tuning.lock()
    return tenant.ranked_version == tenant.weights_version


def begin(now: datetime) -> tuple[Walk, Tenant]:
    """Start the one walk of the bound tenant; its row stays locked to the end of the transaction. Raises Missing, RankingRuns."""
    tenant = tuning.lock()
    if tenant.ranking_moved_at is not None and tenant.ranking_moved_at > now - PATIENCE:
        raise RankingRuns(done=tenant.ranking_done, total=tenant.ranking_total)
    tenant.ranking_run += 1
    if tenant.ranking_started_at is None or tenant.ranked_version == tenant.weights_version:
        tenant.ranking_started_at = now  # else a walk that was cut short goes on
    tenant.save(update_fields=["ranking_run", "ranking_started_at"])
    return Walk(tenant.ranking_run, tenant.weights_version), tenant


def step(walk: Walk) -> Tenant | None:
    """The tenant's row, locked, for the next step of a walk; None when another walk took over or the weights changed meanwhile."""
    tenant = tuning.lock()
    return tenant if walk == (tenant.ranking_run, tenant.weights_version) else None


def report(tenant: Tenant, now: datetime, *, done: int, total: int) -> None:
    """Write down how far the walk is: under the tenant's lock, in the transaction of the step."""
    tenant.ranking_done, tenant.ranking_total, tenant.ranking_moved_at = done, total, now
    tenant.save(update_fields=["ranking_done", "ranking_total", "ranking_moved_at"])


def finish(tenant: Tenant) -> None:
    """Every conversation was walked over: the queue rests on the weights of now. Under the tenant's lock."""
    tenant.ranked_version, tenant.ranking_done = tenant.weights_version, tenant.ranking_total
    tenant.save(update_fields=["ranked_version", "ranking_done"])


def leave(walk: Walk) -> None:
    """Let the next walk begin at once, however this one ended."""
    Tenant.objects.filter(pk=isolation.current_tenant_id(), ranking_run=walk.number).update(ranking_moved_at=None)
