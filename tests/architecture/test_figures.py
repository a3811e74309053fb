"""A figure that stands in two places is the same in both."""

import re

import pytest

from tests.architecture.sources import ROOT
from tests.faults.evidence import PROOFS
from tests.faults.test_checker import CONTRADICTED, DOUBLED, LOST

RELIABILITY, BENCHMARKS = ((ROOT / "docs" / name).read_text() for name in ("reliability.md", "benchmarks.md"))
# What a benchmark's ratio is called in the table of its last run.
RATIO_OF = {"expire": "10,000 expiries / bare UPDATE of these rows"}
QUOTES = re.findall(r'`make bench ARGS="--only (\w+)"`[^|]*\|([^|]*)\|', RELIABILITY)


def median_of(ratio: str) -> str:
    """The median of a ratio in the last run."""
    (median,) = re.findall(rf"^\| {re.escape(ratio)} \| ([\d.]+) \|", BENCHMARKS, re.MULTILINE)
    return str(median)


@pytest.mark.parametrize(("benchmark", "found"), QUOTES, ids=[benchmark for benchmark, _ in QUOTES])
def test_what_reliability_quotes_of_a_benchmark_is_its_last_run(benchmark: str, found: str) -> None:
    assert benchmark in RATIO_OF, "Say here which ratio of docs/benchmarks.md docs/reliability.md quotes"
    assert re.findall(r"\d+\.\d+", found) == [median_of(RATIO_OF[benchmark])]


def test_reliability_quotes_the_benchmarks_that_are_known_here() -> None:
    assert {benchmark for benchmark, _ in QUOTES} == RATIO_OF.keys()


def test_reliability_counts_the_lies_that_the_checker_finds_out_and_the_kinds_of_faults() -> None:
    (lies,) = re.findall(r"(\d+) made-up histories", RELIABILITY)
    (kinds,) = re.findall(r"(\d+) kinds of fault", RELIABILITY)

    assert int(lies) == len(LOST) + len(DOUBLED) + len(CONTRADICTED)
    assert int(kinds) == len(PROOFS)


def test_reliability_tells_of_every_blow_of_its_run_how_long_it_was_felt() -> None:
    (faults,) = re.findall(r"make chaos`, (\d+) faults, all of which hit", RELIABILITY)
    (table,) = re.findall(r"^\| blow \| times .*\n\| --- .*\n((?:\|.*\n)+)", RELIABILITY, re.MULTILINE)

    times = [int(row.split("|")[2]) for row in table.splitlines()]

    assert (len(times), sum(times)) == (len(PROOFS), int(faults))
