"""The beat's door to this floor: idempotent and bounded, as those of conversations.tasks."""

import time

from celery import shared_task

from operators import sweeping
from tenants import ticks


@shared_task
def sweep() -> dict[str, int]:
    """Forget sessions, signed messages and idempotency keys that have served their time."""
    return ticks.once("sweep", lambda: sweeping.sweep(until=time.monotonic() + sweeping.TURN_SECONDS))
