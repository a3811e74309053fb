"""`manage.py declare_lost`: what the beat does each minute, by hand or from cron. It counts as a tick: cron is as good as the beat."""

from typing import Any

from django.core.management.base import BaseCommand

from conversations import silence
from tenants import ticks


class Command(BaseCommand):
    help = "Set OFFLINE, over all tenants, whoever has given no sign of life for the whole lease."

    def handle(self, *args: Any, **options: Any) -> None:
        # Where a tick began a moment ago this one is not written down; but who asks for it, gets it.
        counts = ticks.once(silence.TASK, lambda: silence.declare_lost()._asdict()) or silence.declare_lost()._asdict()
        self.stdout.write(f"{counts['lost']} operators lost")
