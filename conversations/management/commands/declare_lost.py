"""`manage.py declare_lost`: what the beat does each minute, by hand or from cron. It counts as a tick: cron is as good as the beat."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from conversations import silence
from tenants import ticks


class Command(BaseCommand):
    help = "Set OFFLINE, over all tenants, whoever has given no sign of life for the whole lease."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = silence.Counts(**ticks.by_hand(silence.TASK, lambda: silence.declare_lost()._asdict()))
        late = f", the first of them {counts.late_seconds} s ago" if counts.late_seconds else ""
        self.stdout.write(f"{counts.lost} operators lost{late}")
        if counts.left:
            raise CommandError(f"{counts.left} were left for the next round: see above why, and say it again.")
