"""`manage.py expire_grace_periods`: what the beat does each minute, by hand or from cron."""

from typing import Any

from django.core.management.base import BaseCommand

from conversations import expiry


class Command(BaseCommand):
    help = "Return to the queue what offline operators have kept beyond their grace period, over all tenants."

    def handle(self, *args: Any, **options: Any) -> None:
        counts = expiry.expire_due()
        self.stdout.write(f"{counts.released} conversations returned to the queue, {counts.closed} grace periods closed without need")
