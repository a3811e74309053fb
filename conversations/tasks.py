"""The beat's doors. Each task is idempotent and bounded; what is due is decided by the rooms, on the database's clock."""

import time

from celery import shared_task

from conversations import erasure, expiry, recalculation, retention, silence
from conversations.recalculation import TURN_SECONDS
from tenants import ticks


@shared_task
def declare_lost() -> dict[str, int]:
    """Set OFFLINE whose lease has run out."""
    return ticks.once(silence.TASK, lambda: silence.declare_lost(until=time.monotonic() + TURN_SECONDS)._asdict())


@shared_task
def expire_grace_periods() -> dict[str, int]:
    """Return to the queue what offline operators have kept for too long."""
    return ticks.once(expiry.TASK, lambda: expiry.expire_due(until=time.monotonic() + TURN_SECONDS)._asdict())


@shared_task
def keep_ranks() -> dict[str, int]:
    """Flag conversations that crossed the delay cap; rank anew what changed weights left behind."""
    return ticks.once("keep_ranks", lambda: recalculation.tick()._asdict())


@shared_task
def erase_old() -> dict[str, int]:
    """Forget customers whose conversations were resolved longer ago than their tenant keeps them."""
    return ticks.once("erase_old", lambda: erasure.erase_old(until=time.monotonic() + erasure.TURN_SECONDS).of_a_tick())


@shared_task
def forget_events() -> dict[str, int]:
    """Forget events that are older than their tenant keeps them."""
    return ticks.once("forget_events", lambda: retention.forget_events(until=time.monotonic() + retention.TURN_SECONDS))


@shared_task
def rank_anew(tenant_id: int) -> dict[str, int]:
    """Rank a queue anew right after its weights changed. The tick does the same: nothing is lost when this never runs."""
    return {"reranked": recalculation.catch_up(tenant_id, time.monotonic() + TURN_SECONDS)}
