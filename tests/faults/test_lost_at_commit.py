"""The line to the database breaks in the middle of a request: what the caller is told is what is known."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from conversations.states import State
from tenants import isolation
from tests.conftest import Api, Cast, assemble
from tests.contract import witness
from tests.conversations import invariants
from tests.faults.cut import Line, line

UNKNOWN = witness.refusal(
    503,
    "outcome_unknown",
    "The database went away while it was told to keep this: it may be done, or not. Look before you try again",
)
LATER = witness.refusal(503, "unavailable", "The service is busy or its database is away: try again")


@pytest.fixture
def cast(committed: None) -> Cast:
    """Committed, because the line has sessions of its own."""
    return assemble()


@pytest.fixture
def cable(cast: Cast) -> Iterator[Line]:
    """The line that the tests' own Django uses."""
    with line() as between:
        yield between


@pytest.mark.parametrize(("delivered", "state"), [(True, State.ALLOCATED), (False, State.QUEUED)])
def test_lost_at_its_commit_nobody_knows_and_the_answer_says_so(
    cast: Cast, api: type[Api], cable: Line, delivered: bool, state: State
) -> None:
    row = cast.conversation()
    cable.arm(b"COMMIT", delivered=delivered)

    answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk)

    assert witness.said(answer) == UNKNOWN
    assert "Retry-After" not in answer.headers
    assert cable.cuts == 1
    cable.await_the_server()
    assert cast.again(row).state == state
    again = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk)
    assert (again.status, cast.again(row).state) == (200, State.ALLOCATED)
    invariants.assert_all(cast)


def test_control_without_a_look_at_what_was_lost_a_done_act_is_told_as_not_done(
    cast: Cast, api: type[Api], cable: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "was_cut_off", lambda problem: False)
    row = cast.conversation()
    cable.arm(b"COMMIT", delivered=True)

    answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk)

    cable.await_the_server()
    assert (witness.said(answer), answer.headers["Retry-After"]) == (LATER, "1")
    assert cast.again(row).state == State.ALLOCATED


@pytest.mark.parametrize("delivered", [True, False])
def test_lost_before_its_commit_nothing_was_done_and_the_answer_says_try_again(
    cast: Cast, api: type[Api], cable: Line, delivered: bool
) -> None:
    row = cast.conversation()
    cable.arm(b"UPDATE", delivered=delivered)

    answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk)

    assert (witness.said(answer), answer.headers["Retry-After"]) == (LATER, "1")
    assert cable.cuts == 1
    cable.await_the_server()
    assert cast.again(row).state == State.QUEUED
    invariants.assert_all(cast)


def test_a_question_that_is_lost_at_its_commit_may_be_asked_again(cast: Cast, api: type[Api], cable: Line) -> None:
    cable.arm(b"COMMIT", delivered=True)

    answer = api(cast.olga).get("/conversations")

    assert (witness.said(answer), answer.headers["Retry-After"]) == (LATER, "1")
    assert api(cast.olga).get("/conversations").status == 200


def test_the_console_says_it_on_a_page(cast: Cast, cable: Line) -> None:
    row = cast.conversation()
    browser: Any = Client(raise_request_exception=False)
    with isolation.act_as(cast.tenant.pk):
        browser.force_login(cast.mia)
    cable.arm(b"COMMIT", delivered=True)

    response = browser.post("/admin/conversations/conversation/", {"action": "resolve", "_selected_action": [row.pk], "index": 0})

    assert (response.status_code, response["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "it may be done, or not" in response.content.decode()
    assert "Retry-After" not in response
    cable.await_the_server()
    assert cast.again(row).state == State.RESOLVED
