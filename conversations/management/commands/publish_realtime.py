"""`manage.py publish_realtime`: what a live client may follow in the database itself, as Supabase's Realtime does."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from conversations import realtime


class Command(BaseCommand):
    help = (
        "Put what a live client may follow, tables and columns, into the publication supabase_realtime, which is made where it is missing, "
        "and let a role read its own tenant's rows of them by the claim tenant_id of its JWT, and nothing else (docs/supabase.md). "
        "As the owner of the tables; harmless to repeat. Exit codes: 0 done, 1 refused, and nothing was changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", default=realtime.READER, metavar="NAME", help="who may follow (default: %(default)s)")
        parser.add_argument("--remove", action="store_true", help="take all of it back")
        parser.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")

    def handle(self, *args: Any, role: str, remove: bool, dry_run: bool, **options: Any) -> None:
        act = realtime.withdraw if remove else realtime.publish
        try:
            outcome = act(role, dry_run=dry_run)
        except realtime.NotPublished as refusal:
            raise CommandError(str(refusal)) from refusal
        except (ProgrammingError, OperationalError) as problem:  # not the owner, or somebody keeps a table locked
            raise CommandError(f"PostgreSQL refuses: {str(problem).strip()}") from problem
        for step in outcome.steps:
            self.stdout.write(f"{' '.join(step.split())};")
        said = "would be run" if dry_run else "run"
        self.stdout.write(f"{len(outcome.steps)} statements {said}." if outcome.steps else "Nothing to change.")
        for warning in outcome.warnings:
            self.stderr.write(f"Warning: {warning}")
