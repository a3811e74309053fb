"""What has served its time is forgotten: sessions that nobody can go on with, signed messages too old to be let in again."""

import math
import time

from operators import sessions, signatures
from tenants import isolation, rounds, ticks

ROUND = 1000  # rows of one transaction
TURN_SECONDS = 45.0  # of a task: the next one goes on where this one stopped
SWEPT = {"sessions": sessions.sweep, "seen_messages": signatures.sweep}


def sweep(limit: int = ROUND, until: float = math.inf) -> dict[str, int]:
    """Forget it, over all tenants, in rounds of at most `limit` rows, a transaction each; how many of each kind, and of tenants left.

    Harmless to repeat. No round begins after `until` (of time.monotonic): the next call goes on.
    """
    counts = dict.fromkeys(SWEPT, 0)

    def clear(tenant_id: int) -> None:
        for kind, sweep_some in SWEPT.items():
            swept = limit
            while swept >= limit and time.monotonic() < until:
                with isolation.act_as(tenant_id):
                    swept = sweep_some(limit)
                counts[kind] += swept

    left = rounds.visit(rounds.all_tenants(), clear, until)
    return counts | {ticks.LEFT: left}
