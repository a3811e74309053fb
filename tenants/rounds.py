"""One tenant after another: work that crosses tenants, where one tenant's trouble must not keep the others waiting."""

import logging
import math
import random
import time
from collections.abc import Callable, Iterable

from django.db import connection

log = logging.getLogger(__name__)


def visit(tenant_ids: Iterable[int], act: Callable[[int], None], until: float = math.inf) -> int:
    """Call `act` for each tenant; how many are left for the next round.

    Whose transaction fails is, and the log says why; so is who was not visited by `until` (of time.monotonic). Each round has
    an order of its own, so that it is not always the same tenants who come last.
    """
    waiting = list(tenant_ids)
    random.shuffle(waiting)
    left = 0
    while waiting and time.monotonic() < until:
        tenant_id = waiting.pop()
        try:
            act(tenant_id)
        except Exception:
            log.exception("tenant %s is left for the next round", tenant_id)
            left += 1
    if waiting:
        log.warning("the turn is over: %s tenants are left for the next round", len(waiting))
    return left + len(waiting)


def all_tenants() -> list[int]:
    """Ids of all tenants but the platform's."""
    return _ids("SELECT * FROM all_tenants()")


def with_due_grace() -> list[int]:
    """Ids of the tenants that have a grace period to end."""
    return _ids("SELECT * FROM tenants_with_due_grace()")


def with_leases() -> list[int]:
    """Ids of the tenants whose operators are expected to give signs of life."""
    return _ids("SELECT * FROM tenants_with_leases()")


def with_retention() -> list[int]:
    """Ids of the tenants that forget their customers after a time."""
    return _ids("SELECT * FROM tenants_with_retention()")


def with_webhooks() -> list[int]:
    """Ids of the tenants that have a webhook which is served."""
    return _ids("SELECT * FROM tenants_with_webhooks()")


def _ids(lookup: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(lookup)
        return [tenant_id for (tenant_id,) in cursor.fetchall()]
