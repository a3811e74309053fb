"""What has served its time is forgotten: sessions that nobody can go on with, signed messages too old to be let in, idempotency keys."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from django.contrib.sessions.models import Session as ConsoleSession

from convalloc import clock
from operators import repeats, sessions, signatures
from tenants import isolation, rounds, ticks

ROUND = 1000  # rows of one transaction
TURN_SECONDS = 45.0  # of a task: the next one goes on where this one stopped
CONSOLE = "console_sessions"  # Django's, which are no tenant's
SWEPT = {"sessions": sessions.sweep, "seen_messages": signatures.sweep, "idempotency_keys": repeats.sweep}


def sweep(limit: int = ROUND, until: float = math.inf) -> dict[str, int]:
    """Forget it, over all tenants, in rounds of at most `limit` rows, a transaction each; how many of each kind, and of tenants left.

    Harmless to repeat. No round begins after `until` (of time.monotonic): the next call goes on.
    """
    counts = dict.fromkeys((*SWEPT, CONSOLE), 0)

    def clear(kind: str, sweep_some: Callable[[int], int], within: Callable[[], AbstractContextManager[None]]) -> None:
        swept = limit
        while swept >= limit and time.monotonic() < until:
            with within():
                swept = sweep_some(limit)
            counts[kind] += swept

    def clear_tenant(tenant_id: int) -> None:
        for kind, sweep_some in SWEPT.items():
            clear(kind, sweep_some, partial(isolation.act_as, tenant_id))

    left = rounds.visit(rounds.all_tenants(), clear_tenant, until)
    clear(CONSOLE, _sweep_console, isolation.transaction_without_tenant)
    return counts | {ticks.LEFT: left}


def _sweep_console(limit: int) -> int:
    over = ConsoleSession.objects.filter(expire_date__lte=clock.now()).order_by("expire_date").values_list("pk", flat=True)[:limit]
    deleted, _ = ConsoleSession.objects.filter(pk__in=list(over)).delete()
    return deleted
