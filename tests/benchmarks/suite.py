"""The benchmarks by name, and a run of some of them."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import crowd, in_expiry, in_ingest, in_lists, in_sql, over_http
from tests.benchmarks.ground import Ground
from tests.benchmarks.report import Report, facts
from tests.benchmarks.size import Size

BENCHMARKS: dict[str, Callable[[Ground, str, Size, Report], None]] = {
    "allocate": over_http.allocate,
    "pick": in_sql.pick,
    "wear": in_sql.wear,
    "list": over_http.lists,
    "expire": in_expiry.expire,
    "heartbeat": over_http.heartbeats,
    "ingest": in_ingest.receive,
    "filters": in_lists.filters,
    "memory": over_http.memory,
}


def run(ground: Ground, full: str, size: Size, only: Sequence[str], output: Path, arguments: dict[str, Any]) -> None:
    """Fill the database, run the benchmarks, each on a copy or without writing; the report is written after each of them."""
    began = time.monotonic()
    crowd.fill(ground, full, size.queued, size.clients)
    _say(f"{size.queued:,} conversations wait ({time.monotonic() - began:.0f} s)")
    report = Report()
    for name in only or BENCHMARKS:
        began = time.monotonic()
        BENCHMARKS[name](ground, full, size, report)
        _say(f"{name} ({time.monotonic() - began:.0f} s)")
        report.facts = facts(ground, full, arguments)
        report.write(output)
    _say(f"\n{report.text()}\nwritten to {output}/last.txt and last.json")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
