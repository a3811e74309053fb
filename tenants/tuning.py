"""How a queue is ordered, how long an absent operator keeps the work, when a customer is forgotten: what a tenant chooses itself."""

from typing import Any

from django.core.exceptions import ValidationError

from convalloc import clock
from convalloc.errors import Missing
from convalloc.preconditions import refuse_changed
from tenants import eventlog, isolation
from tenants.errors import BadSetting
from tenants.models import Tenant

RANKS_REST_ON = {"priority_alpha", "priority_beta", "message_cap", "delay_cap_minutes", "waiting_clock"}
SETTINGS = (
    "name",
    *sorted(RANKS_REST_ON),
    "grace_period_minutes",
    "lease_seconds",
    "operator_capacity",
    "cooldown_minutes",
    "resolved_conversations_days",
    "events_kept_days",
)


def lock() -> Tenant:
    """The bound tenant's row, locked, as it is now. Raises Missing."""
    tenant = Tenant.objects.select_for_update(no_key=True).filter(pk=isolation.current_tenant_id()).first()
    if tenant is None:
        raise Missing(what="Tenant")
    return tenant


def tune(**wished: Any) -> Tenant:
    """Change settings of the bound tenant, under its lock; what is not named stays.

    When something changes that ranks rest on, `weights_version` counts up, and the queue is to be ranked anew
    (conversations.recalculation); until that ends old and new ranks mix. Grace periods that run already keep their end.
    Another lease begins anew for everybody, so that nobody is lost by the change itself.
    Repeating what is changes nothing and appends no event. Raises Changed, and BadSetting with the fields.
    """
    tenant = lock()
    refuse_changed(tenant.settings_version)
    before = {name: getattr(tenant, name) for name in SETTINGS if getattr(tenant, name) != wished.get(name, getattr(tenant, name))}
    if not before:
        return tenant

    for name in before:
        setattr(tenant, name, wished[name])
    _refuse_nonsense(tenant)
    tenant.settings_version += 1
    changed = [*before, "settings_version"]
    if RANKS_REST_ON & before.keys():
        tenant.weights_version += 1
        tenant.ranking_done, tenant.ranking_total, tenant.ranking_started_at = 0, 0, None
        changed += ["weights_version", "ranking_done", "ranking_total", "ranking_started_at"]
    if "lease_seconds" in before:
        tenant.leases_from = clock.now()
        changed.append("leases_from")
    tenant.save(update_fields=changed)
    eventlog.append("tenant.settings_changed", tenant, before=before, after={name: wished[name] for name in before})
    return tenant


def _refuse_nonsense(tenant: Tenant) -> None:
    try:
        tenant.clean_fields()
    except ValidationError as error:
        raise BadSetting(fields={field: f"{field}: {' '.join(said)}" for field, said in error.message_dict.items()}) from error
    if tenant.priority_alpha == tenant.priority_beta == 0:
        raise BadSetting(fields={"priority_alpha": "The two weights are both 0: nothing would order the queue"})
