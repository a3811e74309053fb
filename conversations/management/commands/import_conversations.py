"""`manage.py import_conversations`: what another system knows of its conversations, message by message, out of a file."""

import json
import time
from argparse import RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError
from tqdm import tqdm

from convalloc.errors import OutcomeUnknown
from conversations import importing
from conversations.deliveries import COLUMNS
from conversations.importing import Line, UnfitColumns
from conversations.ingest import Outcome
from tenants import rounds

READERS = {".csv": importing.lines_of_csv, ".jsonl": importing.lines_of_json}
SOME_REFUSED, INTERRUPTED = 3, 130
ABOUT = f"""
columns of the first line of a .csv, names in each object of a .jsonl (UTF-8), as in POST /ingest/messages:
  {", ".join(COLUMNS)}
  provider may be left out or empty. A line is one message; the conversations follow from the messages.

Say it again after it was cut short, or with a mended file: what is counted is not counted twice.

exit codes: 0 every line is counted; 1 nothing was begun, or the database went away; {SOME_REFUSED} some lines were refused, and the file
of errors says why; {INTERRUPTED} interrupted
"""


class Command(BaseCommand):
    help = "Count the messages of a file, one a line, and open their conversations: a .csv or .jsonl, which may be read again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.epilog, parser.formatter_class = ABOUT, RawDescriptionHelpFormatter
        parser.add_argument("file", type=Path, metavar="FILE", help="ends in .csv or .jsonl")
        parser.add_argument("--tenant", type=int, required=True, help="id of the tenant whose conversations they are")
        parser.add_argument("--errors", type=Path, help="where refused lines go, as JSON lines; FILE.errors.jsonl without it")
        parser.add_argument("--json", action="store_true", help="the summary as JSON")

    def handle(self, *args: Any, file: Path, tenant: int, errors: Path | None, **options: Any) -> None:
        read = READERS.get(file.suffix.lower())
        if read is None:
            raise CommandError(f"{file} ends neither in .csv nor in .jsonl.")
        if not file.is_file():
            raise CommandError(f"There is no file {file}.")
        if tenant not in rounds.all_tenants():
            raise CommandError(f"There is no tenant {tenant}.")
        refusals = Refusals(errors or file.with_name(f"{file.name}.errors.jsonl"))
        if refusals.path.exists() and refusals.path.samefile(file):
            raise CommandError("--errors names the file that is to be read.")
        began = time.monotonic()
        with tqdm(total=file.stat().st_size, unit="B", unit_scale=True, disable=None, leave=False) as bar, refusals:
            found = self.count(tenant, read(text_of(file, bar)), refusals)
        self.tell(found, refusals.path, time.monotonic() - began, as_json=options["json"])

    def count(self, tenant: int, lines: Iterator[Line], refusals: "Refusals") -> Counter[str]:
        """All of it. Raises CommandError where it could not be begun or had to stop; what was counted stays counted."""
        goes_on = "What was counted stays counted: say it again, and it goes on."
        try:
            return importing.count(tenant, lines, refusals.add)
        except UnfitColumns as problem:
            raise CommandError(problem.message) from problem
        except KeyboardInterrupt as problem:
            raise CommandError(f"Interrupted. {goes_on}", returncode=INTERRUPTED) from problem
        except (OperationalError, InterfaceError, OutcomeUnknown) as problem:
            raise CommandError(f"The database went away or was busy. {goes_on}") from problem

    def tell(self, found: Counter[str], errors: Path, seconds: float, *, as_json: bool) -> None:
        """The summary. Raises CommandError where lines were refused."""
        if as_json:
            told = {**found, "seconds": round(seconds, 1), "errors": str(errors) if found["refused"] else None}
            self.stdout.write(json.dumps(told))
        else:
            new = found["created"] + found["counted"]
            self.stdout.write(
                f"{found['lines']} lines: {new} messages counted, {found['created']} conversations opened, {found['reopened']} reopened; "
                f"{found['duplicate']} counted before; {found['refused']} refused ({seconds:.0f} s)"
            )
        if found["refused"]:
            raise CommandError(f"{found['refused']} lines were refused: see {errors}", returncode=SOME_REFUSED)


class Refusals(ExitStack):
    """The file of errors, written anew: there is none where nothing was refused."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._file: Any = None

    def __enter__(self) -> "Refusals":
        self.path.unlink(missing_ok=True)
        return super().__enter__()

    def add(self, line: Line, outcome: Outcome) -> None:
        """A line that was refused: where, why, and as far as it could be read what."""
        if self._file is None:
            self._file = self.enter_context(self.path.open("w", encoding="utf-8"))
        refusal = outcome.refusal
        assert refusal is not None, "it was refused"
        row = line.row if isinstance(line.row, dict) else None
        told = {"line": line.number, "code": refusal.code, "message": refusal.message, "errors": refusal.fields, "row": row}
        self._file.write(f"{json.dumps(told)}\n")


def text_of(file: Path, bar: Any) -> Iterator[str]:
    """Its lines. What is no UTF-8 becomes half a character, which no field takes."""
    with file.open("rb") as raw:
        for number, line in enumerate(raw):
            bar.update(len(line))
            yield line.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape")
