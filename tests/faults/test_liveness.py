"""/health/live of the API's processes: it is answered whatever the threads that answer requests wait for."""

import pytest

from tests.conftest import Answer, Api, Cast, assemble
from tests.faults.asking import SESSIONS, ask
from tests.faults.stack import Stack
from tests.races.crowd import Call
from tests.races.over_http import callers

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
PATH = "/health/live"
MANY = 8 * SESSIONS  # lines: the kernel deals them out to the workers, and none may be left with a free thread


@pytest.fixture
def cast(stack: Stack) -> Cast:
    """Somebody to ask for."""
    stack.heal(stack.api)
    return assemble()


def probe(stack: Stack, cast: Cast, path: str = PATH) -> Answer:
    """Somebody asks whether it lives."""
    return ask(stack.port, cast.mia, "GET", path)


def all_wait(stack: Stack) -> bool:
    """Whether every thread of every worker waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'convalloc_app' AND wait_event_type = 'Lock'"
    return stack.command(waiting) == [(SESSIONS,)]


def test_a_probe_is_answered_while_every_thread_waits_for_the_database_and_the_control_waits_with_them(stack: Stack, cast: Cast) -> None:
    with (
        stack.role_limited("SET lock_timeout = '30s'", "SET lock_timeout = '5s'"),
        stack.locked("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE"),
        callers(stack.port, [cast.mia] * MANY) as lines,
    ):
        for line in lines:
            line.send("GET", "/conversations")
        stack.until(lambda: all_wait(stack))
        control = Call(lambda: probe(stack, cast, "/health"))
        probes = [probe(stack, cast) for _ in range(2 * SESSIONS)]
        waited = not control.is_done and all_wait(stack)

    assert [answer.status for answer in probes] == [200] * len(probes)
    assert waited
    assert control.done().status == 200


def test_it_says_what_the_view_says(stack: Stack, cast: Cast, api: type[Api]) -> None:
    served, viewed = probe(stack, cast), api(None).get(PATH)

    assert served.body | {"timestamp": ""} == viewed.body | {"timestamp": ""}
    assert len(served.body["timestamp"]) == len(viewed.body["timestamp"])
    assert served.headers["Content-Type"] == viewed.headers["Content-Type"]
    assert probe(stack, cast, f"{PATH}/").body.keys() == served.body.keys()


def test_its_time_goes_on_while_the_main_process_does(stack: Stack, cast: Cast) -> None:
    first = probe(stack, cast).body["timestamp"]

    stack.until(lambda: probe(stack, cast).body["timestamp"] > first)
