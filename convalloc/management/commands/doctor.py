"""`manage.py doctor`: is the house well? The machine first, then every tenant's data; --fix mends what is safe to mend."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from convalloc.celery import app
from conversations.doctor import examination, machine, remedies
from conversations.doctor.findings import Finding, Verdict, worst
from tenants import rounds

EXIT = """
exit codes: 0 it is well, or has warnings; 1 it has warnings, and --strict was said; 2 it has failures, or could not be examined to the
end, or --fix had to leave something
"""
LOST = "Everything waits for it, and nothing is lost. See its log; say this again once it answers."
LEFT = "Somebody else held these rows, or was at the same work. Say --fix again."


class Command(BaseCommand):
    help = "Examine the machine and every invariant of the data, say what to do, and with --fix mend what is safe to mend."
    requires_system_checks = ()  # they ask the database, and whether it answers is the first question here

    def add_arguments(self, parser: CommandParser) -> None:
        parser.epilog = EXIT
        parser.add_argument("--tenant", type=int, help="id of one tenant; all of them without it")
        parser.add_argument("--fix", action="store_true", help="mend what is safe to mend, through the product, with events")
        parser.add_argument("--quick", action="store_true", help="leave out what reads the whole event log")
        parser.add_argument("--strict", action="store_true", help="exit with 1 when there are warnings and no failures")
        parser.add_argument("--json", action="store_true", dest="as_json", help="for machines")

    def handle(self, *args: Any, tenant: int | None, fix: bool, quick: bool, strict: bool, as_json: bool, **options: Any) -> None:
        ground, data, mended = list[Finding](), list[Finding](), list[str]()
        try:
            with examination.stays():
                for finding in machine.examine(app):
                    ground.append(finding)
            if all(finding.is_fine for finding in ground if finding.name in ("database", "migrations")):
                tenants = chosen(tenant)
                data = examine(tenants, quick=quick)
                if fix:
                    mended, left = remedies.mend(data)
                    data = examine(tenants, quick=quick) if mended or left else data
                    data += [Finding("fix", Verdict.FAIL, f"was left: {line}", LEFT) for line in left]
        except examination.Lost as problem:
            ground.append(Finding("database", Verdict.FAIL, f"was lost in the middle of the examination: {problem}", LOST))
        verdict = worst([*ground, *data])
        self.tell_machines(verdict, ground, data, mended) if as_json else self.tell_people(verdict, ground, data, mended)
        if verdict == Verdict.FAIL or (strict and verdict == Verdict.WARN):
            sys.exit(2 if verdict == Verdict.FAIL else 1)

    def tell_machines(self, verdict: Verdict, ground: list[Finding], data: list[Finding], mended: list[str]) -> None:
        """One JSON object."""
        parts = {"machine": [finding.as_json() for finding in ground], "data": [finding.as_json() for finding in data]}
        self.stdout.write(json.dumps({"verdict": verdict.value, **parts, "mended": mended}, indent=2))

    def tell_people(self, verdict: Verdict, ground: list[Finding], data: list[Finding], mended: list[str]) -> None:
        """A line for each finding, and what to do below it."""
        self.stdout.write("The machine")
        self.stdout.write("\n".join(line for finding in ground for line in finding.as_lines()))
        self.stdout.write("The data" if data else "The data was not looked at, or not to the end: mend the machine first.")
        self.stdout.write("\n".join(line for finding in data for line in finding.as_lines()))
        for line in mended:
            self.stdout.write(f"mended: {line}")
        found = [finding.verdict for finding in (*ground, *data)]
        self.stdout.write(f"{verdict.value}: {found.count(Verdict.FAIL)} failures, {found.count(Verdict.WARN)} warnings")


def chosen(tenant: int | None) -> list[int]:
    """Ids of the tenants to examine. Raises CommandError, Lost."""
    with examination.stays():
        tenants = rounds.all_tenants()
    if tenant is None:
        return tenants
    if tenant not in tenants:
        raise CommandError(f"There is no tenant {tenant}.", returncode=2)
    return [tenant]


def examine(tenants: list[int], *, quick: bool) -> list[Finding]:
    """The data's findings, with a bar on a terminal while they are made. Raises Lost."""
    with examination.stays():
        total = 0 if quick else examination.conversations_of(tenants)
    with tqdm(total=total, unit=" conversations", disable=True if quick else None, leave=False) as bar:
        return examination.examine(tenants, progress=bar.update, quick=quick)
