"""The Celery app and the beat table: what runs, how often, and why that often.

Celery only rings the bell. Every task is idempotent, takes a limit and returns counts; what is due is
decided by Postgres, so that a doubled beat, a lost broker or an hour's outage changes nothing. tenants.ticks
writes down what ran.
"""

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convalloc.settings")

app = Celery("convalloc")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# No tick expires: that would be decided by the clocks of two processes. Of those that piled up, tenants.ticks lets one work.
app.conf.beat_schedule = {
    # Who fell silent is OFFLINE within a minute of their lease's end; the grace period of their work begins then.
    "declare the silent lost": {"task": "conversations.tasks.declare_lost", "schedule": settings.TICK_SECONDS},
    # A deadline is met to the minute; a late beat catches up in one round.
    "expire grace periods": {"task": "conversations.tasks.expire_grace_periods", "schedule": settings.TICK_SECONDS},
    # Keeps what crossed the delay cap since the last tick short: a pick sorts it. Late only means slower.
    "keep ranks": {"task": "conversations.tasks.keep_ranks", "schedule": settings.TICK_SECONDS},
}
