"""`manage.py declare_lost`: what the beat does each minute, by hand or from cron."""

from typing import Any

from django.core.management.base import BaseCommand

from conversations import silence


class Command(BaseCommand):
    help = "Set OFFLINE, over all tenants, whoever has given no sign of life for the whole lease."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{silence.declare_lost().lost} operators lost")
