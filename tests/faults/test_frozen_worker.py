"""Celery's worker stands still in the middle of a task, for longer than a task may take, while its message goes to another one.

Then it goes on, as after a pause of its machine.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kombu import Connection

from conversations.models import Conversation
from tests import production
from tests.conftest import Cast, assemble
from tests.faults.program import Program
from tests.faults.stack import Stack
from tests.faults.test_worker_and_beat import (
    PRODUCT,
    an_hour_passes,
    are_released,
    assert_released_once,
    held_by_otto,
    in_the_broker,
    otto_leaves,
    overdue,
)

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
# In the place of 90 and 120 s: both are over when it goes on.
LIMITS = ["--soft-time-limit", "1", "--time-limit", "2", "--concurrency", "2", "--without-mingle", "--without-gossip"]


def worker(stack: Stack, name: str) -> Program:
    """One that runs."""
    program = stack.program(
        name, [sys.executable, "-m", *production.COMMANDS["worker"], *LIMITS, "--hostname", f"{name.replace(' ', '-')}@stack"]
    )
    program.start()
    return program


@contextmanager
def frozen_in_an_expiry(stack: Stack) -> Iterator[tuple[Cast, list[Conversation], Program]]:
    """In here a worker stands still with locks in its hands, and so does the beat. It goes on afterwards."""
    stack.heal(stack.beat)
    with stack.broker() as broker:
        broker.flushall()
    cast, first = assemble(), worker(stack, "frozen worker")
    rows = held_by_otto(cast)
    otto_leaves(cast)
    with stack.locked("SELECT FROM conversations WHERE tenant_id = %s FOR NO KEY UPDATE", cast.tenant.pk):
        an_hour_passes(cast)
        stack.await_waiting("conversations")
        for program in (first, stack.beat):
            program.freeze()
    try:
        yield cast, rows, first
    finally:
        for program in (first, stack.beat):
            program.thaw()


def the_visibility_timeout_passes(stack: Stack) -> None:
    """What a worker took and has not done goes to whoever asks next; the frozen one, which had asked before, waits for nothing any more."""
    with stack.broker() as broker:
        stack.until(lambda: broker.info("clients")["blocked_clients"] == 0)
    with Connection(stack.valkey.url(), transport_options=PRODUCT | {"visibility_timeout": 0}) as later:
        channel: Any = later.default_channel
        channel.qos.restore_visible()  # as each worker does now and then


def test_another_one_does_its_work_and_when_it_goes_on_nothing_is_done_twice_and_it_works_on(stack: Stack) -> None:
    with frozen_in_an_expiry(stack) as (cast, rows, first):
        the_visibility_timeout_passes(stack)
        assert in_the_broker(stack)[0] > 0

        second = worker(stack, "second worker")
        stack.until(lambda: are_released(cast, rows))
        second.kill()

    later = assemble()
    more = overdue(later)
    stack.until(lambda: are_released(later, more))
    assert first.runs
    assert_released_once(cast, rows)


def test_control_where_a_session_may_idle_for_ever_its_rows_are_nobodys_until_it_goes_on(stack: Stack) -> None:
    with (
        stack.role_limited("SET idle_in_transaction_session_timeout = 0", "SET idle_in_transaction_session_timeout = '4s'"),
        stack.role_limited("SET lock_timeout = '500ms'", "SET lock_timeout = '5s'"),
    ):
        with frozen_in_an_expiry(stack) as (cast, rows, _):
            the_visibility_timeout_passes(stack)
            second = worker(stack, "second worker")

            stack.until(lambda: "is left for the next round" in second.said())

            assert not are_released(cast, rows)
        stack.until(lambda: are_released(cast, rows))
    assert_released_once(cast, rows)
