"""Workers of the API are killed, one after the other: the server starts others, and the rest answers on."""

import os
import signal
import time

import pytest

from convalloc.server import LOOP_SECONDS
from tests.conftest import assemble
from tests.faults.asking import ask
from tests.faults.stack import Stack

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
