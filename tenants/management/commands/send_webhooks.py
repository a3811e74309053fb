"""`manage.py send_webhooks`: what the beat does every few seconds, by hand or from cron. It counts as a tick."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import sending, ticks


class Command(BaseCommand):
    help = "Send to the webhooks of all tenants what is due: what is new in the log, and what is to be tried again."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = ticks.by_hand(sending.TASK, sending.send)
        self.stdout.write(f"{counts['delivered']} events delivered, {counts['failed']} tries failed")
        if counts["left"]:
            raise CommandError(f"{counts['left']} tenants were left for the next round: see above why, and say it again.")
