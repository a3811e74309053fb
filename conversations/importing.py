"""Messages out of a file: each line one, counted as those that are delivered are, in batches that are kept or lost as a whole.

A line is known again by its message's id. So a file can be read again after it was cut short, or mended: what is counted is not
counted twice, and nobody has to remember how far it was read.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from convalloc.errors import Invalid
from conversations import deliveries, ingest
from conversations.deliveries import COLUMNS, OPTIONAL
from conversations.ingest import Outcome, Status
from tenants import isolation
from tenants.models import Tenant


class UnreadableLine(Invalid):
    """The line cannot be read: {reason}"""

    code = "unreadable_line"


class UnfitColumns(Invalid):
    """The first line must name the columns: {reason}"""

    code = "unfit_columns"


class Line(NamedTuple):
    """A line of a file, counted from 1, and what stands in it; or why that cannot be read."""

    number: int
    row: dict[str, Any] | Invalid


def lines_of_csv(text: Iterable[str]) -> Iterator[Line]:
    """Lines of comma separated values under the names of the columns. An empty `provider` is none. Raises UnfitColumns."""
    reader = csv.reader(text, strict=True)
    names = next(reader, [])
    known = set(names) <= set(COLUMNS)
    if not known or len(set(names)) < len(names) or set(COLUMNS) - OPTIONAL - set(names):
        raise UnfitColumns(reason=f"{', '.join(COLUMNS)}; provider may be left out")
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as problem:
            yield Line(reader.line_num, UnreadableLine(reason=str(problem)))
            continue
        if not values:
            continue
        row = {name: value for name, value in zip(names, values, strict=False) if value or name not in OPTIONAL}
        fits = len(values) == len(names)
        yield Line(reader.line_num, row if fits else UnreadableLine(reason=f"it has {len(values)} values for {len(names)} columns"))


def lines_of_json(text: Iterable[str]) -> Iterator[Line]:
    """Lines that are JSON objects of the same names; empty ones are passed over."""
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as problem:
            yield Line(number, UnreadableLine(reason=str(problem)))
        else:
            yield Line(number, row)


def count(tenant_id: int, lines: Iterable[Line], refused: Callable[[Line, Outcome], object]) -> Counter[str]:
    """Count the messages of these lines, in transactions of their own; how many lines became what. `refused` hears of each that did not."""
    found = Counter({status.value: 0 for status in Status} | {"lines": 0, "reopened": 0})
    coming = iter(lines)
    while batch := list(islice(coming, ingest.MOST)):
        for line, outcome in zip(batch, _outcomes(tenant_id, batch), strict=True):
            found.update(["lines", outcome.status.value, *(["reopened"] if outcome.reopened else [])])
            if outcome.status is Status.REFUSED:
                refused(line, outcome)
    return found


def _outcomes(tenant_id: int, batch: list[Line]) -> list[Outcome]:
    with isolation.act_as(tenant_id):
        read = [line.row for line in batch if not isinstance(line.row, Invalid)]
        outcomes = iter(deliveries.receive(Tenant.objects.get(pk=tenant_id), read))
        return [Outcome(Status.REFUSED, refusal=line.row) if isinstance(line.row, Invalid) else next(outcomes) for line in batch]
