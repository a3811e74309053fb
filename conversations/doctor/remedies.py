"""What can be mended without asking anybody: through the rooms, with their events, under their locks. Nothing is deleted.

A remedy looks again under the lock, so that a house in full swing is not harmed, and mending twice changes nothing.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from django.db import DatabaseError

from convalloc import clock
from convalloc.errors import DomainError
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
PATIENCE = 3  # how many somebody may be in the way of, until the rest of a tenant's are left, too


def close_pointless(tenant: Tenant, period_id: int) -> int:
    """End a grace period whose assignment has ended, or which names another one's operator or conversation."""
    with isolation.act_as(tenant.pk):
        queue.hold_many([GracePeriod.objects.get(pk=period_id).conversation_id])
        period = GracePeriod.objects.get(pk=period_id)
        told = {"conversation_id": period.conversation_id, "operator_id": period.operator_id, "ended_at__isnull": True}
        if Assignment.objects.filter(pk=period.assignment_id, **told).exists():
            return 0
        return deadlines.close([period.pk], GracePeriod.EndReason.ASSIGNMENT_ENDED, clock.now())


def welcome_back(tenant: Tenant, operator_id: int) -> int:
    """End the grace periods of an operator who is there."""
    with isolation.act_as(tenant.pk):
        return grace.cancel_for(operator_id) if presence.lock(operator_id).status != Status.OFFLINE else 0


def send_home(tenant: Tenant, operator_id: int) -> int:
    """Set an operator offline whose account is closed, with what follows for their work."""
    with isolation.act_as(tenant.pk):
        if presence.lock(operator_id).operator.is_active:
            return 0
        grace.change_status(operator_id, Status.OFFLINE, tenant, reason=CAUSE)
        return 1


def lose(tenant: Tenant, _: int) -> int:
    """Declare lost whose lease is over, as the beat should have, for all of the tenant."""
    return silence.sweep(tenant.pk).lost


def open_grace(tenant: Tenant, operator_id: int) -> int:
    """Open the grace periods that an offline operator lacks."""
    with isolation.act_as(tenant.pk):
        return grace.open_for(operator_id, reason=CAUSE) if presence.lock(operator_id).status == Status.OFFLINE else 0


def expire(tenant: Tenant, _: int) -> int:
    """Do what the beat should have done, for all of the tenant."""
    return sum(done.released + done.closed for done in expiry.expire_all_of(tenant.pk))


def rank_anew(tenant: Tenant, _: int) -> int:
    """Recalculate every place in the tenant's queue. Raises RankingRuns."""
    return recalculation.recalculate(tenant.pk)


def catch_up(tenant: Tenant, _: int) -> int:
    """Rank and flag what the tick should have, for all of the tenant."""
    done = recalculation.catch_up(tenant.pk, math.inf)
    flagged = FLAGS
    while flagged == FLAGS:
        with isolation.act_as(tenant.pk):
            flagged = queue.flag_saturated(Tenant.objects.get(pk=tenant.pk), FLAGS)
        done += flagged
    return done


class Remedy(NamedTuple):
    """What is done about those who offend, one by one; or about all of a tenant's `at_once`. It tells how many rows it mended."""

    what: str
    act: Callable[[Tenant, int], int]
    at_once: bool = False


class Mending(NamedTuple):
    """A line for each thing that was done, and one for each that somebody was in the way of."""

    done: list[str]
    left: list[str]


# In this order: a period that is about the wrong work is closed before the right one is opened.
REMEDIES: dict[Invariant, Remedy] = {
    invariants.UNHEARD: Remedy("operators declared lost", lose, at_once=True),
    invariants.CLOSED_ACCOUNTS: Remedy("operators whose account is closed sent offline", send_home),
    invariants.POINTLESS_GRACE: Remedy("pointless grace periods closed", close_pointless),
    invariants.GRACE_OF_THE_PRESENT: Remedy("grace periods of operators who are there closed", welcome_back),
    invariants.NO_GRACE: Remedy("grace periods opened", open_grace),
    invariants.OVERDUE: Remedy("overdue grace periods ended", expire, at_once=True),
    invariants.RANKS: Remedy("conversations ranked anew", rank_anew, at_once=True),
    invariants.LATE_RANKS: Remedy("conversations ranked or flagged", catch_up, at_once=True),
}


def mend(findings: list[Finding]) -> Mending:
    """Mend what is safe to mend of the tenants that these findings name.

    Each remedy asks anew: what the one before has closed may be what the next one opens. Whose rows somebody else does not let go
    of, is left, and everybody else is mended all the same; so is everybody left once the database is lost.
    """
    names = {invariant.name for invariant in REMEDIES}
    mending = Mending([], [])
    for tenant_id in sorted({tenant_id for finding in findings if finding.name in names for tenant_id in finding.tenants}):
        try:
            with examination.stays(), isolation.act_as(tenant_id):
                tenant = Tenant.objects.get(pk=tenant_id)
            for invariant, remedy in REMEDIES.items():
                _apply(remedy, invariant, tenant, mending)
        except examination.Lost as problem:
            mending.left.append(f"tenant {tenant_id} and those after it: {problem}")
            break
    return mending


def _apply(remedy: Remedy, invariant: Invariant, tenant: Tenant, mending: Mending) -> None:
    """One remedy for one tenant. Raises Lost. Where the first few are left, so is the rest: each of them may cost a lock_timeout."""
    number = left = 0
    ids = _offenders(invariant, tenant)
    for id_ in ids[:1] if remedy.at_once else ids:
        try:
            with examination.stays():
                number += remedy.act(tenant, id_)
        except (DatabaseError, DomainError) as problem:
            left += 1
            whom = f"all {len(ids)} {invariant.of}" if remedy.at_once else f"{invariant.of}: {id_}"
            mending.left.append(f"tenant {tenant.pk}: {invariant.name}, {whom}: {examination.gist(problem)}")
            if left == PATIENCE:
                break
    if ids and remedy.at_once and not left and (still := _offenders(invariant, tenant)):
        mending.left.append(f"tenant {tenant.pk}: {invariant.name}, {len(still)} of {len(ids)} {invariant.of}: see the log")
    if number:
        mending.done.append(f"tenant {tenant.pk}: {number} {remedy.what}")


def _offenders(invariant: Invariant, tenant: Tenant) -> list[int]:
    """Their ids; none where the question itself fails, which the examination tells. Raises Lost."""
    try:
        with examination.stays():
            return examination.offenders(invariant, tenant.pk)
    except DatabaseError:
        return []
