"""The API is told to stop while it is at work: nobody who was let in goes away without an answer. Or it is killed."""

import os
import threading
import time
from contextlib import suppress
from http.client import HTTPException
from signal import SIGKILL, SIGTERM, Signals

import pytest

from convalloc.embedded.quickstart import ready
from conversations.states import State
from operators.models import Operator
from tests.conftest import Answer, Cast, assemble
from tests.faults.asking import SESSIONS, ask
from tests.faults.program import Program
from tests.faults.stack import PATIENCE_SECONDS, Stack
from tests.races.crowd import Call
from tests.races.over_http import Caller

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
PROBE_SECONDS = 0.5  # clients are much faster than it is

HELD_UP_SECONDS = 3  # by a neighbour's lock, while granian is told to stop again and again
ATTEMPTS = 10  # of a control: everybody may be lucky once


class Balancer:
    """Keep-alive clients of one API as a load balancer has them: it asks for readiness, and opens no line to who is not ready."""

    def __init__(self, port: int, operator: Operator, clients: int = 2 * SESSIONS) -> None:
        self.port, self.operator = port, operator
        self.answers: list[int] = []
        self.failures: list[str] = []
        self.red = threading.Event()
        self._threads = [threading.Thread(target=act, daemon=True) for act in [self._probe, *[self._work] * clients]]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Return once every client has left."""
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive(), "a client is still there"

    def _probe(self) -> None:
        while (said := ready(self.port)) == "":
            time.sleep(PROBE_SECONDS)
        self.last_probe = said
        self.red.set()

    def _work(self) -> None:
        while not self.red.is_set():
            try:
                self._use_a_line()
            except (OSError, HTTPException) as problem:
                self.failures.append(repr(problem))
                time.sleep(0.01)

    def _use_a_line(self) -> None:
        """Ask, until the server asks to hang up."""
        caller = Caller(self.port, self.operator)
        try:
            while True:
                answer = caller.call("GET", "/conversations")
                self.answers.append(answer.status)
                if answer.headers["Connection"] == "close":
                    return
        finally:
            caller.close()


@pytest.fixture
def cast(stack: Stack) -> Cast:
    """Somebody to ask for."""
    stack.heal()
    return assemble()


def start(stack: Stack, seconds: int) -> tuple[Program, int]:
    """An API that waits so long between red and closed."""
    port = stack.start_api("leaving api", SHUTDOWN_DELAY_SECONDS=str(seconds))
    return stack.programs[-1], port


def at_work(stack: Stack, cast: Cast, port: int) -> Balancer:
    """Clients who have been answered for a while."""
    balancer = Balancer(port, cast.mia)
    stack.until(lambda: len(balancer.answers) > 50)
    return balancer


def test_told_to_stop_under_load_it_turns_red_first_and_fails_nobody(stack: Stack, cast: Cast) -> None:
    api, port = start(stack, 60)
    balancer = at_work(stack, cast, port)
    row = cast.conversation()
    claim = {"operator_id": cast.olga.pk, "conversation_id": row.pk}
    late: list[Answer] = []
    claiming = threading.Thread(target=lambda: late.append(ask(port, cast.olga, "POST", "/conversations/claim", claim)))

    api.tell(SIGTERM)
    balancer.join()
    assert "about to stop" in balancer.last_probe
    assert ask(port, cast.mia, "GET", "/conversations").headers["Connection"] == "close"  # red, and still answering
    with stack.locked("SELECT FROM conversations WHERE id = %s FOR UPDATE", row.pk):
        claiming.start()
        stack.await_waiting("conversations")
        api.tell(SIGTERM)  # a second one ends the wait: the door closes, over a claim that is not answered yet
        stack.until(lambda: not is_open(port))
        time.sleep(HELD_UP_SECONDS)
    claiming.join(PATIENCE_SECONDS)

    assert api.await_end(PATIENCE_SECONDS) == 0
    assert (balancer.failures, set(balancer.answers)) == ([], {200})
    assert [answer.status for answer in late] == [200]
    assert cast.again(row).state == State.ALLOCATED


def test_the_door_closes_by_itself_after_the_delay(stack: Stack, cast: Cast) -> None:
    api, port = start(stack, 1)

    api.tell(SIGTERM)

    assert api.await_end(PATIENCE_SECONDS) == 0
    assert not is_open(port)


@pytest.mark.parametrize(("seconds", "fault"), [(0, SIGTERM), (60, SIGKILL)], ids=["no delay", "no goodbye"])
def test_control_somebody_goes_away_without_an_answer(stack: Stack, cast: Cast, seconds: int, fault: Signals) -> None:
    for _ in range(ATTEMPTS):
        api, port = start(stack, seconds)
        balancer = at_work(stack, cast, port)
        api.kill() if fault == SIGKILL else api.tell(fault)
        balancer.join()
        if balancer.failures:
            return

    pytest.fail(f"nobody went away without an answer in {ATTEMPTS} stops")


def test_a_worker_of_the_api_that_was_killed_is_replaced_and_its_act_was_not_done(stack: Stack, cast: Cast) -> None:
    stack.heal(stack.api)
    row = cast.conversation()
    claim = {"operator_id": cast.olga.pk, "conversation_id": row.pk}
    before = stack.api.children()

    with stack.locked("SELECT FROM conversations WHERE id = %s FOR UPDATE", row.pk):
        claiming = Call(lambda: ask(stack.port, cast.olga, "POST", "/conversations/claim", claim))
        stack.await_waiting("conversations")
        for worker in before:
            os.kill(worker, SIGKILL)
        lost = claiming.done()
    stack.until(lambda: len(set(stack.api.children()) - set(before)) == len(before) and ready(stack.port) == "")

    assert isinstance(lost, OSError | HTTPException), lost
    assert cast.again(row).state == State.QUEUED
    assert ask(stack.port, cast.olga, "POST", "/conversations/claim", claim).status == 200


def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with suppress(OSError):
        Caller(port, Operator()).close()
        return True
    return False
