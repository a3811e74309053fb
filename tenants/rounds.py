"""One tenant after another: work that crosses tenants, where one tenant's trouble must not keep the others waiting."""

import logging
import math
import time
from collections.abc import Callable, Iterable

from django.db import connection

log = logging.getLogger(__name__)


def visit(tenant_ids: Iterable[int], act: Callable[[int], None], until: float = math.inf) -> None:
    """Call `act` for each tenant. Whose rows are locked or whose transaction fails is left for the next round.

    So is who was not visited by `until` (of time.monotonic). Raises the first problem again at the end, so that it is seen.
    """
    problems: list[Exception] = []
    for tenant_id in tenant_ids:
        if time.monotonic() >= until:
            log.warning("tenant %s and those after it are left for the next round: the turn is over", tenant_id)
            break
        try:
            act(tenant_id)
        except Exception as problem:
            log.exception("tenant %s is left for the next round", tenant_id)
            problems.append(problem)
    if problems:
        raise problems[0]


def all_tenants() -> list[int]:
    """Ids of all tenants but the platform's."""
    return _ids("SELECT * FROM all_tenants()")


def with_due_grace() -> list[int]:
    """Ids of the tenants that have a grace period to end."""
    return _ids("SELECT * FROM tenants_with_due_grace()")


def with_leases() -> list[int]:
    """Ids of the tenants whose operators are expected to give signs of life."""
    return _ids("SELECT * FROM tenants_with_leases()")


def _ids(lookup: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(lookup)
        return [tenant_id for (tenant_id,) in cursor.fetchall()]
