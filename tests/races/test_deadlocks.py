"""No deadlock reaches a client. `make hunt` looks for a minute."""

import sys
from pathlib import Path

import pytest

from tests.conversations import invariants
from tests.races.hunting import SECONDS, Hunt
from tests.races.over_http import LOCKS_TURNED, PRODUCT

pytestmark = pytest.mark.xdist_group("over http")


def test_whatever_is_written_at_once_nobody_meets_a_deadlock_or_an_answer_of_five_hundred_and_more(committed: None, tmp_path: Path) -> None:
    hunt = Hunt(PRODUCT, tmp_path, lambda hunt: hunt.seconds > SECONDS and not hunt.unwritten)
    sys.stdout.write(hunt.report())

    assert hunt.faults == {}
    assert hunt.problems == []
    assert hunt.deadlocks == 0
    assert hunt.unwritten == set(), "never seen to succeed"
    invariants.assert_all(hunt.cast)


def test_control_a_room_that_locks_against_the_order_meets_deadlocks(committed: None, tmp_path: Path) -> None:
    hunt = Hunt(LOCKS_TURNED, tmp_path, lambda hunt: bool(hunt.faults or hunt.problems), rows=3)

    assert hunt.deadlocks > 0
    assert {said.partition(": ")[2] for said in hunt.faults} <= {"503 unavailable"}
