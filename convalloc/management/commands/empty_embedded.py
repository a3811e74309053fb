"""`manage.py empty_embedded`: delete the embedded servers' data; what `make reset` calls."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from convalloc.embedded import folder
from convalloc.embedded.process import DidNotStart


class Command(BaseCommand):
    """Refused while `up` runs. A server that DATABASE_URL names is not touched."""

    help = "Delete the data and the logs of the embedded PostgreSQL and Valkey."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            deleted = folder.empty(settings.EMBEDDED_DIR)
        except DidNotStart as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{settings.EMBEDDED_DIR}: " + (f"deleted {', '.join(deleted)}." if deleted else "nothing to delete."))
