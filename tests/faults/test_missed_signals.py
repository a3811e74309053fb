"""A worker of the API that misses the signal to end is told again, and ends by itself; the control's is killed with what it has begun."""

import signal
import sys

import pytest

from convalloc.embedded.process import free_port
from convalloc.embedded.quickstart import ready
from tests.faults.stack import PATIENCE_SECONDS, Stack

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack


def ended(stack: Stack, *words: str) -> str:
    """What a server has printed that was told to stop, and whose workers have missed it; it has ended."""
    port = free_port()
    command = [sys.executable, "-m", "tests.faults.hard_of_hearing", *words, "--port", str(port), "--workers", "2"]
    api = stack.program("hard of hearing", command)
    api.start(SHUTDOWN_DELAY_SECONDS="0")
    stack.until(lambda: ready(port) == "")
    api.tell(signal.SIGTERM)
    api.await_end(PATIENCE_SECONDS)
    assert "a worker has missed SIGTERM" in api.said()  # one at least: on a busy machine the other may miss it by itself
    return api.said()


@pytest.mark.parametrize(("words", "killed"), [((), False), (("once",), True)], ids=["the product", "control: told once"])
def test_who_missed_the_signal_hears_the_next_one(stack: Stack, words: tuple[str, ...], killed: bool) -> None:
    stack.heal()

    said = ended(stack, *words)

    assert ("refused to gracefully stop" in said) == killed
    assert "shutdown completed" in said
