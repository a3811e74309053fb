"""`manage.py erase_contact`: a customer forgotten, for good."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from convalloc import phones
from conversations import erasure
from conversations.erasure import Counts
from conversations.errors import NumberOfAnInbox
from tenants import rounds

EXIT = """
exit codes: 0 forgotten, or nothing was left of them; 1 refused or cancelled, for all tenants or for those that are named
"""


class Command(BaseCommand):
    help = "Forget a customer, for good: a stand-in takes the place of their number, in every conversation, text and event."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.epilog = EXIT
        parser.add_argument("--phone", required=True, help="their number with its country's code; - reads it from the standard input")
        parser.add_argument("--tenant", type=int, help="id of one tenant; all of them without it")
        parser.add_argument("--dry-run", action="store_true", help="say what would give way, and change nothing")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, phone: str, tenant: int | None, dry_run: bool, yes: bool, **options: Any) -> None:
        number = (sys.stdin.readline() if phone == "-" else phone).strip()
        if not number.lstrip("+"):
            raise CommandError("--phone takes a phone number.")
        tenants = rounds.all_tenants()
        if tenant is not None:
            if tenant not in tenants:
                raise CommandError(f"There is no tenant {tenant}.")
            tenants = [tenant]
        if not (dry_run or yes):
            found = self.erase(tenants, number, dry_run=True)
            if not found:
                return
            self.confirm(number)
        self.erase(tenants, number, dry_run=dry_run)

    def erase(self, tenants: list[int], number: str, *, dry_run: bool) -> bool:
        """Do it, or rehearse it, tenant by tenant; whether anything was there. Raises CommandError at the end, for those that refused."""
        total, refused = Counts(), list[int]()
        with tqdm(total=sum(map(erasure.size, tenants)), unit=" rows", disable=None, leave=False) as bar:
            for tenant_id in tenants:
                try:
                    contact, counts = erasure.erase_contact(tenant_id, number, dry_run=dry_run, progress=bar.update)
                except NumberOfAnInbox:
                    refused.append(tenant_id)
                    continue
                total = total.and_(counts)
                if counts.found or counts.before:
                    self.stdout.write(
                        f"tenant {tenant_id}: {told(counts, dry_run=dry_run)}; contact {contact.fingerprint}, {contact.stand_in}"
                    )
        if refused:
            masked = phones.masked(phones.canonical(number))
            raise CommandError(f"{masked} is the number of an inbox, and no customer's. Left as they were: tenants {refused}")
        if not total.found:
            self.stdout.write("Nothing is left to erase")
        return total.found

    def confirm(self, number: str) -> None:
        """Ask on the terminal. Raises CommandError when the answer is no, or nobody is there."""
        if not sys.stdin.isatty():
            raise CommandError("There is no terminal to ask on: say --yes. Nothing was changed.")
        if input(f"Forget {phones.masked(phones.canonical(number))}, for good? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Cancelled. Nothing was changed.")


def told(counts: Counts, *, dry_run: bool) -> str:
    """The counts in words."""
    did = "to erase" if dry_run else "erased"
    before = f"; forgotten before in {counts.before} conversations" if counts.before else ""
    return f"{counts.conversations} conversations and {counts.texts} texts {did}{before}"
