"""What can be mended without asking anybody: through the rooms, with their events, under their locks. Nothing is deleted.

A remedy looks again under the lock, so that a house in full swing is not harmed, and mending twice changes nothing.
"""

import math
from collections.abc import Callable

from convalloc import clock
from conversations import deadlines, expiry, grace, queue, recalculation, silence
from conversations.doctor import examination, invariants
from conversations.doctor.findings import Finding
from conversations.doctor.invariants import Invariant
from conversations.models import Assignment, GracePeriod
from operators import presence
from operators.models import Status
from tenants import isolation
from tenants.models import Tenant

CAUSE = "doctor"
FLAGS = 5000  # rows of one short transaction


def close_pointless(tenant: Tenant, ids: list[int]) -> int:
    """End grace periods whose assignment has ended, or which name another one's operator or conversation."""
    closed = 0
    for period_id in ids:
        with isolation.act_as(tenant.pk):
            queue.hold_many([GracePeriod.objects.get(pk=period_id).conversation_id])
            period = GracePeriod.objects.get(pk=period_id)
            told = {"conversation_id": period.conversation_id, "operator_id": period.operator_id, "ended_at__isnull": True}
            if not Assignment.objects.filter(pk=period.assignment_id, **told).exists():
                closed += deadlines.close([period], GracePeriod.EndReason.ASSIGNMENT_ENDED, clock.now())
    return closed


def welcome_back(tenant: Tenant, ids: list[int]) -> int:
    """End the grace periods of operators who are there."""
    closed = 0
    for operator_id in ids:
        with isolation.act_as(tenant.pk):
            if presence.lock(operator_id).status != Status.OFFLINE:
                closed += grace.cancel_for(operator_id)
    return closed


def send_home(tenant: Tenant, ids: list[int]) -> int:
    """Set operators offline whose account is closed, with what follows for their work."""
    gone = 0
    for operator_id in ids:
        with isolation.act_as(tenant.pk):
            if not presence.lock(operator_id).operator.is_active:
                grace.change_status(operator_id, Status.OFFLINE, tenant, reason=CAUSE)
                gone += 1
    return gone


def lose(tenant: Tenant, ids: list[int]) -> int:
    """Declare lost whose lease is over, as the beat should have."""
    return silence.sweep(tenant.pk).lost


def open_grace(tenant: Tenant, ids: list[int]) -> int:
    """Open the grace periods that offline operators lack."""
    opened = 0
    for operator_id in ids:
        with isolation.act_as(tenant.pk):
            if presence.lock(operator_id).status == Status.OFFLINE:
                opened += grace.open_for(operator_id, tenant, reason=CAUSE)
    return opened


def expire(tenant: Tenant, ids: list[int]) -> int:
    """Do what the beat should have done."""
    done, found = expiry.Counts(), expiry.ROUND
    while found == expiry.ROUND:
        with isolation.act_as(tenant.pk):
            counts, found = expiry.expire_round(tenant, expiry.ROUND)
        done += counts
    return done.released + done.closed


def rank_anew(tenant: Tenant, ids: list[int]) -> int:
    """Recalculate every place in the tenant's queue. Raises RankingRuns."""
    return recalculation.recalculate(tenant.pk)


def catch_up(tenant: Tenant, ids: list[int]) -> int:
    """Rank and flag what the tick should have."""
    done = recalculation.catch_up(tenant.pk, math.inf)
    flagged = FLAGS
    while flagged == FLAGS:
        with isolation.act_as(tenant.pk):
            flagged = queue.flag_saturated(Tenant.objects.get(pk=tenant.pk), FLAGS)
        done += flagged
    return done


# In this order: a period that is about the wrong work is closed before the right one is opened.
REMEDIES: dict[Invariant, tuple[str, Callable[[Tenant, list[int]], int]]] = {
    invariants.UNHEARD: ("operators declared lost", lose),
    invariants.CLOSED_ACCOUNTS: ("operators whose account is closed sent offline", send_home),
    invariants.POINTLESS_GRACE: ("pointless grace periods closed", close_pointless),
    invariants.GRACE_OF_THE_PRESENT: ("grace periods of operators who are there closed", welcome_back),
    invariants.NO_GRACE: ("grace periods opened", open_grace),
    invariants.OVERDUE: ("overdue grace periods ended", expire),
    invariants.RANKS: ("conversations ranked anew", rank_anew),
    invariants.LATE_RANKS: ("conversations ranked or flagged", catch_up),
}


def mend(findings: list[Finding]) -> list[str]:
    """Mend what is safe to mend of the tenants that these findings name; a line for each thing done. Raises what a room raises.

    Each remedy asks anew: what the one before has closed may be what the next one opens.
    """
    names = {invariant.name for invariant in REMEDIES}
    sick = sorted({tenant_id for finding in findings if finding.name in names for tenant_id in finding.tenants})
    done = []
    for tenant_id in sick:
        with isolation.act_as(tenant_id):
            tenant = Tenant.objects.get(pk=tenant_id)
        for invariant, (what, remedy) in REMEDIES.items():
            ids = examination.offenders(invariant, tenant_id)
            if number := remedy(tenant, ids) if ids else 0:
                done.append(f"tenant {tenant_id}: {number} {what}")
    return done
