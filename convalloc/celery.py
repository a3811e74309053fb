"""The Celery app, its queues and the beat table: what runs, how often, and why that often.

Celery only rings the bell. Every task is idempotent, takes a limit and returns counts; what is due is
decided by Postgres, so that a doubled beat, a lost broker or an hour's outage changes nothing. tenants.ticks
writes down what ran.
"""

import os
from typing import Any

from celery import Celery
from celery.signals import before_task_publish, task_postrun, task_prerun
from django.conf import settings
from kombu import Exchange, Queue

from convalloc import tracing
from convalloc.rhythm import OFTEN_SECONDS, Every

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convalloc.settings")


@before_task_publish.connect
def tell(headers: dict[str, str], **_: Any) -> None:
    """Who sends a task says for which request, and in which trace."""
    headers |= tracing.carried()


@task_prerun.connect
def take_up(task: Any, **_: Any) -> None:
    """Who does it works in that trace; what the beat rings for begins one of its own."""
    names = (tracing.REQUEST, tracing.PARENT, tracing.STATE)
    tracing.take_up({name: value for name in names if (value := getattr(task.request, name, None))})


@task_postrun.connect
def put_down(**_: Any) -> None:
    """It is done, and the worker waits for another."""
    tracing.put_down()


app = Celery("convalloc")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# What has a deadline never waits behind what only has an order: to rank a long queue anew takes a turn of 45 s, again and again.
# A worker without -Q takes from both; a second one, with `-Q deadlines`, is there when the first is busy ranking.
# Webhooks' receivers may be slow: a third, with `-Q webhooks`, is there while the first waits for them.
DEADLINES, RANKING, WEBHOOKS = "deadlines", "ranking", "webhooks"
app.conf.task_queues = [Queue(name, Exchange(name), routing_key=name) for name in (DEADLINES, RANKING, WEBHOOKS)]
app.conf.task_create_missing_queues = False  # a worker on a queue that nobody fills does not start
app.conf.task_default_queue = DEADLINES
app.conf.task_routes = {
    name: {"queue": RANKING}
    for name in (
        "conversations.tasks.keep_ranks",
        "conversations.tasks.rank_anew",
        "conversations.tasks.erase_old",
        "conversations.tasks.forget_events",
        "operators.tasks.sweep",
    )
} | {"tenants.tasks.send_webhooks": {"queue": WEBHOOKS}}
# No tick expires: that would be decided by the clocks of two processes. Of those that piled up, tenants.ticks lets one work.
EVERY_TICK = Every(settings.TICK_SECONDS)
app.conf.beat_schedule = {
    # Who fell silent is OFFLINE within a minute of their lease's end; the grace period of their work begins then.
    "declare the silent lost": {"task": "conversations.tasks.declare_lost", "schedule": EVERY_TICK},
    # A deadline is met to the minute; a late beat catches up in one round.
    "expire grace periods": {"task": "conversations.tasks.expire_grace_periods", "schedule": EVERY_TICK},
    # Keeps what crossed the delay cap since the last tick short: a pick sorts it. Late only means slower.
    "keep ranks": {"task": "conversations.tasks.keep_ranks", "schedule": EVERY_TICK},
    # Its unit is days; late only means that somebody is remembered for a while longer.
    "erase old": {"task": "conversations.tasks.erase_old", "schedule": Every(15 * settings.TICK_SECONDS)},
    # Its unit is days, too; late only means more rows.
    "forget events": {"task": "conversations.tasks.forget_events", "schedule": Every(15 * settings.TICK_SECONDS)},
    # What it forgets opens nothing any more; late only means more rows. A visit to every tenant is not worth it each minute.
    "sweep": {"task": "operators.tasks.sweep", "schedule": Every(15 * settings.TICK_SECONDS)},
    # Whoever listens hears of it within seconds, and what failed is tried again at its time. Late only means later.
    "send webhooks": {"task": "tenants.tasks.send_webhooks", "schedule": Every(OFTEN_SECONDS)},
}
