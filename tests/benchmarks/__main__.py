"""`make bench`: start the servers, measure, write the report. See docs/benchmarks.md."""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import django
from django.utils.module_loading import import_string

from tests.benchmarks.ground import Ground
from tests.benchmarks.size import Size
from tests.production import BASE

NAMES = ("allocate", "pick", "wear", "list", "expire", "heartbeat", "ingest", "filters", "memory")
FULL = "full"


def main() -> None:
    """From nothing to a report; the servers and their data are gone afterwards."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convalloc.settings")
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], help="some of the benchmarks; all unless named")
    parser.add_argument("--size", type=int, default=1_000_000, help="conversations that wait")
    parser.add_argument("--clients", type=int, default=16, help="connections, each with an operator of its own")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=5.0, help="the longest turn")
    parser.add_argument("--allocations", type=int, help="how many wear the table out; 100,000, or a fifth of the queue")
    parser.add_argument("--output", type=Path, default=BASE / "var" / "benchmarks", help="folder of the report, and of the data meanwhile")
    asked = parser.parse_args()

    asked.output.mkdir(parents=True, exist_ok=True)
    # Beside the report and not in /tmp, which may be memory, where a commit costs nothing.
    folder = Path(tempfile.mkdtemp(prefix="servers-", dir=asked.output))
    ground = Ground(folder)
    try:
        ground.postgres.start()
        os.environ |= ground.environment(FULL)
        ground.create(FULL)
        ground.migrate(FULL)
        django.setup()
        size = Size(asked.size, asked.clients, asked.rounds, asked.seconds, asked.allocations or min(100_000, asked.size // 5))
        arguments = {name: value for name, value in vars(asked).items() if name != "output"}
        import_string("tests.benchmarks.suite.run")(ground, FULL, size, asked.only, asked.output, arguments)
    finally:
        ground.postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
