"""The broker dies or freezes while a worker has a message in hand or acknowledges it. No worker is lost or made deaf by that."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from convalloc.celery import app
from conversations.models import Conversation
from tests import production
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.faults.program import Program
from tests.faults.stack import PATIENCE_SECONDS, Stack
from tests.faults.test_worker_and_beat import are_released, assert_released_once, in_the_broker, overdue

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
EXPIRE = "conversations.tasks.expire_grace_periods"
# The product's worker without one of its guards; the words of its command follow.
WITHOUT = "import sys; from celery.__main__ import main; from convalloc.celery import app; app.conf.update({}); sys.exit(main())"
COUNTING = WITHOUT.format("worker_disable_prefetch=False, worker_prefetch_multiplier=1")
CELERYS_OWN = WITHOUT.format("worker_consumer='celery.worker.consumer:Consumer'")
QUIET = {"--without-heartbeat", "--without-gossip", "--without-mingle"}
ROUNDS = int(os.environ.get("BROKER_ROUNDS", "3"))


def worker(stack: Stack, service: str, *more: str, guards: str = "") -> Program:
    """A worker as docker-compose.yml has it, or prepared by this code, which does not run yet."""
    words = production.COMMANDS[service]
    run = [sys.executable, "-c", guards, *words[1:]] if guards else [sys.executable, "-m", *words]
    return stack.program(service, [*run, *more, "--hostname", f"{service}@stack"])


def alone(stack: Stack, program: Program) -> Program:
    """It takes tasks, and nothing else runs; the broker is empty."""
    stack.heal()
    with stack.broker() as broker:
        broker.flushall()
    start(stack, program)
    return program


def start(stack: Stack, program: Program) -> None:
    """Start it; it takes tasks when this returns."""
    program.start()
    stack.until(lambda: " ready." in program.said())


def ring(stack: Stack, task: str = EXPIRE, **limits: Any) -> None:
    """What the beat does."""
    with app.connection_for_write(url=stack.valkey.url()) as line:
        app.send_task(task, connection=line, **limits)


@contextmanager
def an_expiry_in_hand(stack: Stack, **limits: Any) -> Iterator[tuple[Cast, list[Conversation]]]:
    """A worker is in the middle of an expiry, and held up as long as this lasts."""
    cast = assemble()
    rows = overdue(cast)
    with stack.locked("SELECT FROM conversations WHERE tenant_id = %s FOR NO KEY UPDATE", cast.tenant.pk):
        ring(stack, **limits)
        stack.await_waiting("conversations")
        yield cast, rows


def expect_that_it_works(stack: Stack) -> None:
    """What falls due from here on is done when the bell rings."""
    cast = assemble()
    rows = overdue(cast)

    def done() -> bool:
        ring(stack)
        time.sleep(0.2)
        return are_released(cast, rows)

    stack.until(done)
    assert_released_once(cast, rows)


# --- frozen ---------------------------------------------------------------------------------------


def freeze_the_acknowledgement(stack: Stack, program: Program) -> None:
    """The task is done, and the broker does not hear of it. Afterwards it goes on as if nothing had been."""
    with an_expiry_in_hand(stack) as (cast, rows):
        stack.freeze_broker()
    stack.until(lambda: "Couldn't ack" in program.said())
    stack.thaw_broker()
    assert are_released(cast, rows)


def is_healthy(stack: Stack) -> bool:
    """Whether a worker answers what the health check of docker-compose.yml asks it."""
    ask = [sys.executable, "-m", "celery", "-A", "convalloc", "inspect", "ping", "--timeout", "5"]
    return subprocess.run(ask, cwd=production.BASE, env=stack.environment, check=False, capture_output=True).returncode == 0


def test_a_broker_that_froze_at_an_acknowledgement_leaves_no_worker_deaf(stack: Stack) -> None:
    program = alone(stack, worker(stack, "timekeeper"))

    freeze_the_acknowledgement(stack, program)

    expect_that_it_works(stack)
    assert "onnection to broker lost" not in program.said()


def test_control_a_worker_that_counts_its_messages_is_deaf_and_looks_healthy(stack: Stack) -> None:
    program = alone(stack, worker(stack, "timekeeper", guards=COUNTING))

    freeze_the_acknowledgement(stack, program)

    ring(stack)
    stack.until(lambda: is_healthy(stack))  # it goes round its loop, past the bell
    assert in_the_broker(stack) == (1, 0)


# --- killed ---------------------------------------------------------------------------------------


def test_a_worker_outlives_a_broker_that_dies_while_it_has_a_task_in_hand(stack: Stack) -> None:
    program = alone(stack, worker(stack, "worker", "--concurrency", "2"))

    with an_expiry_in_hand(stack) as (cast, rows):
        stack.kill_broker()
        stack.until(lambda: "Trying again" in program.said())
    stack.until(lambda: are_released(cast, rows))
    stack.valkey.start()

    expect_that_it_works(stack)
    assert program.runs
    invariants.assert_all(cast)


def test_control_celerys_own_consumer_ends_of_it(stack: Stack) -> None:
    program = alone(stack, worker(stack, "worker", "--concurrency", "2", guards=CELERYS_OWN))

    with an_expiry_in_hand(stack):
        stack.kill_broker()
        stack.until(lambda: "Unrecoverable error: AttributeError" in program.said())

    assert program.await_end(PATIENCE_SECONDS) == 1


# --- at any instant -------------------------------------------------------------------------------


def killed(stack: Stack, luck: Random) -> None:
    """It is away for a moment, or for some seconds."""
    stack.kill_broker()
    time.sleep(luck.choice([0, 0.5, 3]))
    stack.valkey.start()


def frozen(stack: Stack, luck: Random) -> None:
    """For less than the workers wait for an answer, or for longer."""
    stack.freeze_broker()
    time.sleep(luck.choice([0.5, 2.5]))
    stack.thaw_broker()


def cut(stack: Stack, luck: Random) -> None:
    """It ends every line."""
    with stack.broker() as broker:
        for kind in luck.sample(["normal", "pubsub"], 2):
            broker.client_kill_filter(_type=kind)


def test_whenever_the_broker_dies_or_freezes_both_workers_take_tasks_again(stack: Stack) -> None:
    """BROKER_ROUNDS=30: longer."""
    luck, both = Random(7), [alone(stack, worker(stack, "worker")), worker(stack, "timekeeper")]
    start(stack, both[1])

    for number in range(ROUNDS):
        for _ in range(60):
            ring(stack, "conversations.tasks.declare_lost")
        time.sleep(luck.uniform(0, 0.5))  # they take and acknowledge
        fault: Callable[[Stack, Random], None] = [killed, frozen, cut][number % 3]
        fault(stack, luck)
        expect_that_both_take(stack, both)

    assert all(program.runs for program in both)


def expect_that_both_take(stack: Stack, both: list[Program]) -> None:
    """Each of them, while the bell rings again and again."""
    with stack.broker() as broker:
        broker.delete("deadlines")
    before = [program.said().count(" received") for program in both]

    def taken() -> bool:
        for _ in range(3):
            ring(stack)
        time.sleep(0.2)
        return all(program.said().count(" received") > number for program, number in zip(both, before, strict=True))

    stack.until(taken)


# --- told to stop ---------------------------------------------------------------------------------


def test_a_worker_whose_broker_dies_ends_its_task_and_then_itself_when_it_is_told_to(stack: Stack) -> None:
    program = alone(stack, worker(stack, "worker"))

    with an_expiry_in_hand(stack) as (cast, rows):
        stack.kill_broker()
        program.tell(signal.SIGTERM)
    code = program.await_end(PATIENCE_SECONDS)

    assert (code, are_released(cast, rows)) == (0, True)


def test_a_worker_that_tries_to_reach_its_broker_can_be_told_to_stop(stack: Stack) -> None:
    program = alone(stack, worker(stack, "timekeeper"))
    stack.kill_broker()
    stack.until(lambda: "Trying again" in program.said())

    program.tell(signal.SIGTERM)

    assert program.await_end(PATIENCE_SECONDS) == 0


def test_a_frozen_broker_keeps_no_worker_from_stopping_and_the_control_with_a_heartbeat_hears_nothing(stack: Stack) -> None:
    product = worker(stack, "timekeeper")
    words = [word for word in production.COMMANDS["timekeeper"] if word not in QUIET]
    control = stack.program("with a heartbeat", [sys.executable, "-m", *words, "--hostname", "control@stack"])
    stack.heal()
    for program in (product, control):
        program.start()
    stack.until(lambda: all(" ready." in program.said() for program in (product, control)))

    stack.freeze_broker()
    stack.until(lambda: stands_in_its_heartbeat(control))
    for program in (product, control):
        program.tell(signal.SIGTERM)

    assert product.await_end(PATIENCE_SECONDS) == 0
    assert control.runs
    stack.thaw_broker()
    assert control.await_end(PATIENCE_SECONDS) == 0


def stands_in_its_heartbeat(program: Program) -> bool:
    """Whether it waits there for a broker. Celery prints where it stands when it is sent SIGUSR1."""
    program.tell(signal.SIGUSR1)
    time.sleep(0.2)
    return bool(re.search(r"heartbeat\.py.*retry_over_time", program.said(), re.DOTALL))
