"""Acts on one or many conversations: each through its room, each for itself."""

import os
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from conversations import allocation, labelling, lifecycle
from conversations.admin import at_once
from conversations.models import Assignment, ConversationLabel
from operators import presence
from operators.models import Operator, Status
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.console.conftest import give_password, said, sign_in
from tests.races.crowd import Call, neighbour, until_waiting

LIST = "/admin/conversations/conversation/"


def held(cast: Cast, by: Operator) -> Any:
    """A conversation that somebody answers."""
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        return allocation.claim(by.pk, row.pk)


def do(browser: Any, act: str, rows: list[Any], **choice: Any) -> Any:
    """Select rows and do something; a choice is made on the page that asks for it."""
    form = {"action": act, "_selected_action": [row.pk for row in rows], **choice}
    return browser.post(LIST, form | ({"apply": 1} if choice else {"index": 0}), follow=True)


def test_deallocating_some_tells_of_each_that_could_not_be(cast: Cast, browse: Any, told: Any) -> None:
    taken = [held(cast, cast.olga), held(cast, cast.otto), held(cast, cast.olga)]
    waiting = cast.conversation()

    response = do(browse(cast.mia), "deallocate", [*taken, waiting])

    assert said(response) == f"3 deallocated; #{waiting.pk}: Conversation is QUEUED, not ALLOCATED"
    assert {cast.again(row).state for row in taken} == {"QUEUED"}
    events = told(cast, "conversation.deallocated")
    assert [(event.subject_id, event.actor_id) for event in events] == [(row.pk, cast.mia.pk) for row in taken]
    assert all(event.request_id for event in events)


def test_one_refusal_does_not_undo_the_others(cast: Cast, browse: Any) -> None:
    first, done, last = held(cast, cast.olga), cast.conversation(), held(cast, cast.olga)
    with isolation.act_as(cast.tenant.pk):
        lifecycle.resolve(done.pk, by=cast.ada)

    response = do(browse(cast.mia), "resolve", [first, done, last])

    assert said(response) == f"2 resolved; #{done.pk}: Conversation is already resolved"
    assert [cast.again(row).state for row in (first, last)] == ["RESOLVED", "RESOLVED"]


def test_a_conversation_that_somebody_else_is_changing_is_told_and_leaves_the_others_done(committed: None) -> None:
    cast = assemble()
    browser = Client()
    sign_in(browser, give_password(cast.mia))
    first, busy, last = held(cast, cast.olga), held(cast, cast.olga), held(cast, cast.olga)

    with psycopg.connect(os.environ["DATABASE_URL"]) as neighbour:
        neighbour.execute(f"SET LOCAL app.tenant_id = '{int(cast.tenant.pk)}'")
        neighbour.execute("SELECT id FROM conversations WHERE id = %s FOR UPDATE", [busy.pk])
        response = do(browser, "deallocate", [first, busy, last])

    assert said(response) == f"2 deallocated; #{busy.pk}: somebody else is changing it: try again"
    assert [cast.again(row).state for row in (first, busy, last)] == ["QUEUED", "ALLOCATED", "QUEUED"]


def test_where_many_are_busy_the_rest_is_left_after_a_few_instead_of_a_wait_for_each(committed: None) -> None:
    cast = assemble()
    browser = Client()
    sign_in(browser, give_password(cast.mia))
    rows = [held(cast, cast.olga) for _ in range(6)]

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT id FROM conversations WHERE id = ANY (%s) FOR UPDATE", [[row.pk for row in rows[1:]]])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        response = do(browser, "deallocate", rows)

    busy = "; ".join(f"#{row.pk}: somebody else is changing it: try again" for row in rows[1:4])
    assert said(response) == f"1 deallocated; {busy}; 2 more are left, because too many were busy"


def test_a_conversation_that_closes_a_circle_of_locks_is_told_and_leaves_the_others_done(committed: None) -> None:
    cast = assemble()
    browser = Client()
    sign_in(browser, give_password(cast.mia))
    first, circular = held(cast, cast.olga), held(cast, cast.olga)

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT id FROM conversations WHERE id = %s FOR UPDATE", [circular.pk])
        page = Call(lambda: do(browser, "deallocate", [first, circular]))
        until_waiting(page)
        session.execute("SELECT id FROM conversations WHERE id = %s FOR UPDATE", [first.pk])  # returns once the page is done
        response = page.done()

    assert said(response) == f"1 deallocated; #{circular.pk}: somebody else is changing it: try again"
    assert [cast.again(row).state for row in (first, circular)] == ["QUEUED", "ALLOCATED"]


def test_reassigning_asks_to_whom_and_shows_what(cast: Cast, browse: Any) -> None:
    row = held(cast, cast.olga)

    page = do(browse(cast.mia), "reassign", [row]).content.decode()

    assert "Otto (available)" in page
    assert f"#{row.pk} {row.external_conversation_id}: ALLOCATED, Support, with Olga" in page
    assert cast.again(row).assigned_operator_id == cast.olga.pk


def test_reassigning_hands_over(cast: Cast, browse: Any, told: Any) -> None:
    row = held(cast, cast.olga)

    response = do(browse(cast.mia), "reassign", [row], operator=cast.otto.pk)

    assert said(response) == "1 reassigned to Otto"
    assert cast.again(row).assigned_operator_id == cast.otto.pk
    assert told(cast, "conversation.reassigned")[0].actor_id == cast.mia.pk


def test_an_absent_operator_gets_work_by_force_and_with_a_reason_alone(cast: Cast, browse: Any, told: Any) -> None:
    row = held(cast, cast.olga)
    with isolation.act_as(cast.tenant.pk):
        presence.change(cast.otto.pk, Status.AWAY)
    browser = browse(cast.mia)

    refused = do(browser, "reassign", [row], operator=cast.otto.pk)
    asked = do(browser, "reassign", [row], operator=cast.otto.pk, force="on", reason=" ")
    forced = do(browser, "reassign", [row], operator=cast.otto.pk, force="on", reason="Olga is ill")

    assert said(refused) == f"0 reassigned to Otto; #{row.pk}: Operator is AWAY, and only an AVAILABLE operator gets work"
    assert "A reason is needed to force" in asked.content.decode()
    assert said(forced) == "1 reassigned to Otto"
    assert told(cast, "conversation.reassigned")[0].cause == "forced: Olga is ill"


def test_moving_asks_where_to_and_tells_which_labels_were_lost(cast: Cast, browse: Any) -> None:
    row, label = cast.conversation(), cast.label(name="Urgent")
    with isolation.act_as(cast.tenant.pk):
        labelling.attach(row.pk, label.pk)
    browser = browse(cast.mia)

    asked = do(browser, "move", [row])
    response = do(browser, "move", [row], inbox=cast.sales.pk)

    assert "Move to another inbox" in asked.content.decode()
    assert said(response) == f"1 moved to Sales; #{row.pk}: lost Urgent, which Sales does not have"
    assert cast.again(row).inbox_id == cast.sales.pk
    with isolation.act_as(cast.tenant.pk):
        assert not ConversationLabel.objects.exists()


def test_a_choice_that_nobody_offered_is_asked_again(cast: Cast, neighbours: Cast, browse: Any) -> None:
    row = held(cast, cast.olga)

    response = do(browse(cast.mia), "reassign", [row], operator=neighbours.otto.pk)

    assert "Select a valid choice" in response.content.decode()
    assert cast.again(row).assigned_operator_id == cast.olga.pk


def test_a_neighbours_conversation_among_the_chosen_is_as_if_it_were_not(cast: Cast, neighbours: Cast, browse: Any) -> None:
    own, theirs = held(cast, cast.olga), held(neighbours, neighbours.olga)

    response = do(browse(cast.mia), "deallocate", [own, theirs])

    assert said(response) == "1 deallocated"
    assert neighbours.again(theirs).state == "ALLOCATED"


def test_too_many_at_once_are_refused_as_a_whole(cast: Cast, browse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "MOST_AT_ONCE", 2)
    rows = [held(cast, cast.olga) for _ in range(3)]

    response = do(browse(cast.mia), "deallocate", rows)

    assert said(response).startswith("Nothing was done: at most 2 conversations at once")
    assert {cast.again(row).state for row in rows} == {"ALLOCATED"}


def test_the_platforms_staff_are_offered_no_act(cast: Cast, browse: Any) -> None:
    petra = Operator.objects.create_superuser("staff@platform.example")

    response = browse(petra).get(LIST)

    assert response.context["action_form"] is None


def test_no_conversation_is_made_changed_or_deleted_by_hand(cast: Cast, browse: Any) -> None:
    row = cast.conversation()
    browser = browse(cast.ada)

    answers = [
        browser.post(f"{LIST}add/", {"external_conversation_id": "x"}),
        browser.post(f"{LIST}{row.pk}/change/", {"state": "RESOLVED"}),
        browser.post(f"{LIST}{row.pk}/delete/", {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert cast.again(row).state == "QUEUED"
    with isolation.act_as(cast.tenant.pk):
        assert not Assignment.objects.exists()
