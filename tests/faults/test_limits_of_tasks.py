"""What a worker takes, how long it may keep it, and what becomes of a task whose child is gone: all of it is left to the next tick.

To count time and messages is Celery's affair. Where the product's own numbers would take minutes, smaller ones stand in
their place, and the running worker is asked which it has.
"""

import os
import signal
import subprocess
import sys
from typing import Any

import orjson
import pytest

from tests import production
from tests.conversations import invariants
from tests.faults.program import Program
from tests.faults.stack import Stack
from tests.faults.test_acknowledging import WITHOUT, alone, an_expiry_in_hand, expect_that_it_works, ring, worker
from tests.faults.test_worker_and_beat import are_released, in_the_broker

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
ONE_CHILD = ("--concurrency", "1")
HANDING_ON = WITHOUT.format("task_reject_on_worker_lost=True")
GREEDY = WITHOUT.format("worker_disable_prefetch=False")
# As they travel with a message: whoever sends it gives it the limits of the settings, if they know the task.
A_SECOND = {"soft_time_limit": 1, "time_limit": 120}
TWO_SECONDS = {"soft_time_limit": 1, "time_limit": 2}


def started(stack: Stack, service: str, guards: str = "") -> Program:
    """A worker with one child, alone with an empty broker."""
    return alone(stack, worker(stack, service, *ONE_CHILD, guards=guards))


def told_by(stack: Stack, service: str) -> dict[str, Any]:
    """What the running worker says of itself; it has gone round its loop."""
    name = f"{service}@stack"
    ask = [sys.executable, "-m", "celery", "-A", "convalloc", "inspect", "stats", "--json", "--timeout", "10", "--destination", name]
    answer = subprocess.run(ask, cwd=production.BASE, env=stack.environment, check=True, capture_output=True)
    return orjson.loads(answer.stdout)[name]  # type: ignore[no-any-return]


@pytest.mark.parametrize(("guards", "waiting", "taken"), [("", 3, 1), (GREEDY, 0, 4)], ids=["the product", "control: as many as come"])
def test_a_busy_worker_leaves_what_comes_to_whoever_is_free_and_knows_its_limits(
    stack: Stack, guards: str, waiting: int, taken: int
) -> None:
    started(stack, "timekeeper", guards)

    with an_expiry_in_hand(stack):
        for _ in range(3):
            ring(stack)
        told = told_by(stack, "timekeeper")

        assert in_the_broker(stack) == (waiting, taken)
    assert [float(seconds) for seconds in told["pool"]["timeouts"]] == [90, 120]
    assert told["prefetch_count"] == 0  # no count


def kill_the_child(program: Program) -> None:
    """As a machine does that has no memory left."""
    (child,) = program.children()
    os.kill(child, signal.SIGKILL)


def test_what_was_too_big_for_one_child_is_not_given_to_the_next_but_left_to_the_tick(stack: Stack) -> None:
    program = started(stack, "worker")

    with an_expiry_in_hand(stack) as (cast, rows):
        kill_the_child(program)
        stack.until(lambda: "WorkerLostError" in program.said() and in_the_broker(stack) == (0, 0))

    assert program.said().count(" received") == 1
    expect_that_it_works(stack)
    assert are_released(cast, rows)
    invariants.assert_all(cast)


def test_control_where_the_message_of_a_lost_child_is_rejected_the_next_one_gets_it(stack: Stack) -> None:
    program = started(stack, "worker", HANDING_ON)

    with an_expiry_in_hand(stack):
        kill_the_child(program)

        stack.until(lambda: program.said().count(" received") == 2)


def test_a_task_that_takes_too_long_ends_in_the_middle_of_a_statement_and_the_log_says_where(stack: Stack) -> None:
    program = started(stack, "worker")

    with an_expiry_in_hand(stack, **A_SECOND) as (cast, rows):
        stack.until(lambda: "SoftTimeLimitExceeded" in program.said() and in_the_broker(stack) == (0, 0))
        children = program.children()

    assert not are_released(cast, rows)
    assert "expiry.py" in program.said()
    expect_that_it_works(stack)
    assert (are_released(cast, rows), program.children()) == (True, children)
    invariants.assert_all(cast)


def test_a_child_that_does_not_even_hear_of_it_is_killed_and_its_successor_does_the_work(stack: Stack) -> None:
    program = started(stack, "worker")

    with an_expiry_in_hand(stack, **TWO_SECONDS) as (cast, rows):
        (child,) = program.children()
        os.kill(child, signal.SIGSTOP)
        stack.until(lambda: "Hard time limit (2s) exceeded" in program.said() and child not in program.children())
        stack.until(lambda: in_the_broker(stack) == (0, 0))

    expect_that_it_works(stack)
    assert are_released(cast, rows)
    invariants.assert_all(cast)
