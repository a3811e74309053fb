"""`manage.py seed_demo`: the demo tenant of the README."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from conversations import demo


class Command(BaseCommand):
    help = "Create the demo tenant (id 1) with its inboxes, accounts, labels and conversations. Runs twice without harm."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError(
                "The demo's accounts have a password that everybody knows: it is for a developer's machine (DEVELOPMENT=true)."
            )
        try:
            created = demo.seed()
        except demo.NotADemo as refusal:
            raise CommandError(refusal.message) from refusal
        self.stdout.write(f"{demo.TENANT_NAME}: created" if created else f"{demo.TENANT_NAME}: already there, left as it is")
