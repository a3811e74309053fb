"""The database goes away under the API's processes, in every way it can, and comes back."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.db import close_old_connections, connection

from conversations.states import State
from tests.conftest import Answer, Api, Cast, assemble
from tests.contract.routes import KINDS, OPEN, ROUTES, call
from tests.conversations import invariants
from tests.faults.asking import LATER, SESSIONS, ask, everywhere, page, told
from tests.faults.stack import Stack
from tests.races.over_http import Caller

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
ANY_ID = dict.fromkeys(KINDS, 1)


@pytest.fixture
def stack(stack: Stack) -> Stack:
    """With the API, and without Celery: nothing here waits for it."""
    stack.heal(stack.api)
    return stack


@contextmanager
def crashed(stack: Stack) -> Iterator[None]:
    """No server: connections are refused."""
    stack.crash_database()
    try:
        yield
    finally:
        stack.start_database()


@contextmanager
def full(stack: Stack) -> Iterator[None]:
    """Too many connections: each new one is turned away."""
    with stack.role_limited("CONNECTION LIMIT 0", "CONNECTION LIMIT -1"):
        yield


@contextmanager
def slow(stack: Stack) -> Iterator[None]:
    """Every statement on a conversation takes longer than it may."""
    with (
        stack.role_limited("SET statement_timeout = '300ms'", "SET statement_timeout = '30s'"),
        stack.locked("LOCK TABLE conversations, operators IN ACCESS EXCLUSIVE MODE"),
    ):
        yield


@contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    """It takes every call and says nothing, in old sessions and in new ones."""
    with stack.database_frozen():
        yield


@pytest.mark.parametrize("away", [crashed, full, slow, frozen])
def test_it_is_503_with_retry_after_and_when_it_is_back_every_session_recovers_at_once(stack: Stack, away: Any) -> None:
    cast = assemble()
    cast.conversation()
    assert everywhere(stack.port, [cast.mia, cast.olga], "GET", "/conversations") == {200: 3 * SESSIONS}

    with away(stack):
        answers = [ask(stack.port, cast.mia, "GET", "/conversations"), allocate(stack, cast)]

    assert [told(answer) for answer in answers] == [LATER, LATER]
    assert everywhere(stack.port, [cast.mia, cast.olga], "GET", "/conversations") == {200: 3 * SESSIONS}
    assert allocate(stack, cast).data["state"] == State.ALLOCATED
    invariants.assert_all(cast)


def test_with_the_database_away_every_route_says_so_and_none_falls_over(stack: Stack) -> None:
    cast = assemble()

    with crashed(stack):
        answers = {str(route): told(ask(stack.port, cast.mia, *call(route, ANY_ID))) for route in ROUTES}
        pages = [page(stack.port, path) for path in ("/admin/", "/admin/login/", "/admin/conversations/conversation/")]
        probes = {name: ask(stack.port, cast.mia, "GET", path).status for name, path in OPEN.items() if name != "docs"}

    assert answers == dict.fromkeys(answers, LATER)
    assert {(told.status, told.type, told.retry_after) for told in pages[::2]} == {(503, "text/html; charset=utf-8", "1")}
    assert "its database is away" in pages[0].text
    assert probes == {"health": 200, "health-live": 200, "health-ready": 503, "schema": 200}


def test_sessions_that_were_ended_while_they_idled_cost_nobody_an_answer(stack: Stack) -> None:
    cast = assemble()
    for _ in range(3):
        cast.conversation()
    everywhere(stack.port, [cast.olga, cast.mia], "GET", "/conversations")

    assert stack.cut_sessions() >= SESSIONS

    assert allocate(stack, cast).data["state"] == State.ALLOCATED  # by statements that the sessions of before had prepared
    assert everywhere(stack.port, [cast.olga, cast.mia], "GET", "/conversations") == {200: 3 * SESSIONS}


@pytest.mark.parametrize(("looks", "status"), [(True, 200), (False, 503)], ids=["as it is", "control: without a look at the session"])
def test_who_comes_first_after_that_gets_an_answer(
    stack: Stack, api: type[Api], monkeypatch: pytest.MonkeyPatch, looks: bool, status: int
) -> None:
    cast = assemble()
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", looks)
    connection.close()  # the next one reads it
    api(cast.mia).get("/conversations")
    stack.command("SELECT pg_terminate_backend(%s, 10000)", connection.connection.info.backend_pid)
    close_old_connections()  # as Django does when a request comes in; its test client leaves it out

    assert api(cast.mia).get("/conversations").status == status


def test_who_is_at_work_when_the_server_freezes_is_given_up_and_the_control_with_more_patience_waits(stack: Stack) -> None:
    cast = assemble()
    claims = [{"operator_id": operator.pk, "conversation_id": cast.conversation().pk} for operator in (cast.olga, cast.otto)]
    hasty = stack.start_api("hasty api", DATABASE_ANSWER_SECONDS="3")

    with (
        stack.locked("SELECT FROM conversations WHERE tenant_id = %s FOR UPDATE", cast.tenant.pk),
        closing(Caller(hasty, cast.olga)) as caller,
        closing(Caller(stack.port, cast.otto, patience=1)) as control,
    ):
        caller.send("POST", "/conversations/claim", claims[0])
        control.send("POST", "/conversations/claim", claims[1])
        stack.await_waiting("conversations", sessions=2)
        with stack.database_frozen():
            answer = caller.receive("POST")
            alive = ask(stack.port, cast.mia, "GET", "/health/live").status
            with pytest.raises(TimeoutError):
                control.receive("POST")

    assert (told(answer), alive) == (LATER, 200)
    assert ask(hasty, cast.olga, "POST", "/conversations/claim", claims[0]).status == 200
    assert everywhere(stack.port, [cast.mia, cast.olga], "GET", "/conversations") == {200: 3 * SESSIONS}
    invariants.assert_all(cast)


def test_a_session_that_is_ended_in_the_middle_of_an_act_leaves_nothing_of_it(stack: Stack) -> None:
    cast = assemble()
    row = cast.conversation()
    claim = {"operator_id": cast.olga.pk, "conversation_id": row.pk}
    answers: list[Answer] = []
    claiming = threading.Thread(target=lambda: answers.append(ask(stack.port, cast.olga, "POST", "/conversations/claim", claim)))

    with stack.locked("SELECT FROM conversations WHERE id = %s FOR UPDATE", row.pk):
        claiming.start()
        stack.await_waiting("conversations")
        stack.cut_sessions()
        claiming.join(30)

    assert [told(answer) for answer in answers] == [LATER]
    assert cast.again(row).state == State.QUEUED
    assert ask(stack.port, cast.olga, "POST", "/conversations/claim", claim).status == 200
    invariants.assert_all(cast)


def test_what_was_answered_before_a_crash_is_there_after_it(stack: Stack) -> None:
    cast = assemble()
    rows = [cast.conversation() for _ in range(60)]
    answered: list[tuple[int, Answer]] = []

    def claim_all(number: int) -> None:
        for row in rows[number::4]:
            body = {"operator_id": cast.olga.pk, "conversation_id": row.pk}
            answered.append((row.pk, ask(stack.port, cast.olga, "POST", "/conversations/claim", body)))

    claiming = [threading.Thread(target=claim_all, args=(number,)) for number in range(4)]
    for thread in claiming:
        thread.start()
    stack.until(lambda: len(answered) >= 10)
    with crashed(stack):
        for thread in claiming:
            thread.join(60)

    taken = {pk for pk, answer in answered if answer.status == 200}
    unknown = {pk for pk, answer in answered if answer.body.get("code") == "outcome_unknown"}
    held = {row.pk for row in rows if cast.again(row).state == State.ALLOCATED}
    assert Counter(answer.status for _, answer in answered).keys() == {200, 503}
    assert taken <= held <= taken | unknown
    invariants.assert_all(cast)


def allocate(stack: Stack, cast: Cast) -> Answer:
    """The best one for Olga."""
    return ask(stack.port, cast.olga, "POST", "/conversations/allocate", {"operator_id": cast.olga.pk})
