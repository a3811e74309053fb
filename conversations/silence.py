"""What silence takes: whoever gives no sign of life for the whole lease goes OFFLINE, and their work has its grace period."""

from typing import NamedTuple

from conversations import grace
from operators import leases
from operators.models import Status
from tenants import isolation, rounds
from tenants.models import Tenant

ROUND = 500  # operators that are looked for at a time


class Counts(NamedTuple):
    """How many operators were declared lost."""

    lost: int = 0


def declare_lost(limit: int = ROUND) -> Counts:
    """Set OFFLINE, over all tenants, whose lease is over: one after another, a transaction each, under their lock.

    Harmless to call twice, ten times, or at the same time from many workers.
    """
    lost = 0

    def visit(tenant_id: int) -> None:
        nonlocal lost
        found = limit
        while found >= limit:
            with isolation.act_as(tenant_id):
                silent = leases.silent(limit)
            for operator_id in silent:
                with isolation.act_as(tenant_id):
                    lost += lose(operator_id)
            found = len(silent)

    rounds.visit(rounds.with_leases(), visit)
    return Counts(lost)


def lose(operator_id: int) -> bool:
    """Set one operator OFFLINE, unless they gave a sign of life, or left, meanwhile; whether it was done."""
    if not leases.is_over(operator_id):
        return False
    tenant = Tenant.objects.get(pk=isolation.current_tenant_id())
    grace.change_status(operator_id, Status.OFFLINE, tenant, reason=leases.LOST)
    return True
