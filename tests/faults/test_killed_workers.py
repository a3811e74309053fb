"""Workers of the API are killed, one after the other: the server starts others, and the rest answers on."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException

import pytest

from convalloc.embedded.process import free_port
from convalloc.embedded.quickstart import ready
from convalloc.server import LOOP_SECONDS
from tests.conftest import assemble
from tests.faults.asking import ask
from tests.faults.stack import PATIENCE_SECONDS, Stack

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack


def kill(stack: Stack, victim: int) -> int:
    """Kill a worker; the pid of who took its place."""
    others = set(stack.api.children()) - {victim}
    os.kill(victim, signal.SIGKILL)
    stack.until(lambda: victim not in (now := stack.api.children()) and set(now) > others)
    (successor,) = set(stack.api.children()) - others
    return successor


def test_a_worker_that_is_killed_twice_takes_nobody_along(stack: Stack) -> None:
    stack.heal(stack.api)
    cast = assemble()
    time.sleep(LOOP_SECONDS)  # the other one is no beginner

    pid = stack.api.children()[0]
    for _ in range(2):
        pid = kill(stack, pid)

    assert ask(stack.port, cast.mia, "GET", "/conversations").status == 200
    assert len(stack.api.children()) == 2


# --- while the server lets the load balancer notice that it will stop -------------------------------

CLIENTS = 4


def told_while_one_dies(stack: Stack, module: str) -> list[int | type[Exception]]:
    """Statuses, and what went wrong, of those who ask a server of two workers all the while; one is killed after it was told to stop."""
    stack.heal()
    manager = assemble().mia
    port = free_port()
    api = stack.program(module, [sys.executable, "-m", module, "--port", str(port), "--workers", "2"])
    api.start(SHUTDOWN_DELAY_SECONDS="60")
    stack.until(lambda: ready(port) == "")
    api.tell(signal.SIGTERM)
    stack.until(lambda: "about to stop" in ready(port))
    with asked_all_the_while(lambda: ask(port, manager, "GET", "/conversations").status) as outcomes:
        stack.until(lambda: len(outcomes) > 50)
        os.kill(api.children()[0], signal.SIGKILL)
        stack.until(lambda: api.said().count("Started worker") == 3 or not api.runs)
        before = len(outcomes)
        stack.until(lambda: len(outcomes) > before + 50)
    return outcomes


@contextmanager
def asked_all_the_while(act: Callable[[], int]) -> Iterator[list[int | type[Exception]]]:
    """What comes of an act that some repeat without a pause."""
    outcomes: list[int | type[Exception]] = []
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            try:
                outcomes.append(act())
            except (OSError, HTTPException) as problem:
                outcomes.append(type(problem))

    threads = [threading.Thread(target=repeat, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)


def test_a_worker_that_dies_in_the_delay_fails_nobody_but_whom_it_served(stack: Stack) -> None:
    outcomes = told_while_one_dies(stack, "convalloc.server")

    assert {outcome for outcome in outcomes if isinstance(outcome, int)} == {200}
    assert ConnectionRefusedError not in outcomes
    assert set(outcomes[-50:]) == {200}


def test_control_without_a_successor_the_door_is_closed_to_all(stack: Stack) -> None:
    outcomes = told_while_one_dies(stack, "tests.faults.hasty_server")

    assert outcomes[-1] is ConnectionRefusedError
