"""The benchmarks run: each at a tiny size, so that they do not rot between the days on which somebody measures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import NAMES
from tests.benchmarks.suite import BENCHMARKS
from tests.production import BASE

TINY = ("--size", "400", "--clients", "2", "--rounds", "1", "--seconds", "0.2", "--allocations", "20")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """What a run of all benchmarks found."""
    folder: Path = tmp_path_factory.mktemp("benchmarks")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.benchmarks", *TINY, "--output", str(folder)],
        cwd=BASE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [left.name for left in folder.iterdir() if left.is_dir()] == [], "the servers' data stays behind"
    found: dict[str, list[dict[str, str]]] = json.loads((folder / "last.json").read_text())
    return found


def test_every_contender_was_measured_and_answered_without_trouble(report: dict[str, list[dict[str, str]]]) -> None:
    assert len(report["measures"]) >= 2 * (len(NAMES) - 1)
    assert [(each["name"], each["trouble"]) for each in report["measures"] if each["trouble"] or not each["count"]] == []


def test_every_goal_of_the_documentation_has_its_ratio(report: dict[str, list[dict[str, str]]]) -> None:
    goals = {each["name"].split(":")[0].split(" /")[0] for each in report["ratios"]}

    assert goals == {
        "allocate",
        "pick's message",
        "pick by the room (Python)",
        "pick",
        "list",
        "expiry",
        "heartbeat",
        "ingest in batches",
        "ingest alone",
    }
    assert sum("memory" in note for note in report["notes"]) == 1
    assert sum("0 read the table whole" in note for note in report["notes"]) == 1


def test_the_command_line_offers_every_benchmark() -> None:
    assert tuple(BENCHMARKS) == NAMES
