"""The beat's doors of this floor."""

import time

from celery import shared_task

from tenants import sending, ticks


@shared_task
def send_webhooks() -> dict[str, int]:
    """Send events to webhooks: what is new in the log, and what is to be tried again."""
    return ticks.once(sending.TASK, lambda: sending.send(until=time.monotonic() + sending.TURN_SECONDS), apart=sending.APART_SECONDS)
