"""POST /conversations/allocate: the best waiting conversation of the operator's inboxes."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations.models import Assignment
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST

NOTHING_WAITS = (200, {"status": "success", "message": "No conversations available for allocation", "data": None})


def test_gives_the_conversation_with_the_highest_score(cast: Cast, api: type[Api]) -> None:
    cast.conversation(message_count=1, minutes_ago=10)
    best = cast.conversation(message_count=50, minutes_ago=20 * 60)
    cast.conversation(message_count=3, minutes_ago=30)

    answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert answer.status == 200, answer.body
    assert answer.body["message"] == "Conversation allocated successfully"
    assert answer.data["id"] == best.pk
    assert answer.data["state"] == "ALLOCATED"
    assert answer.data["assigned_operator_id"] == cast.olga.pk
    assert answer.data["operator_name"] == "Olga"
    assert answer.data["version"] == 2


def test_says_that_nothing_waits(cast: Cast, api: type[Api]) -> None:
    cast.conversation(inbox=cast.sales)

    with witness.untouched(cast):
        answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert witness.said(answer) == NOTHING_WAITS


def test_asks_no_more_often_for_what_nobody_waits_for_than_for_what_somebody_does(cast: Cast, api: type[Api]) -> None:
    cast.conversation()
    asked = []

    for found in (True, False):
        with CaptureQueriesContext(connection) as queries:
            answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk)
        assert (answer.data is not None) is found
        asked.append(len(queries))

    assert asked[1] <= asked[0]


def test_the_old_system_locked_a_hundred_rows_and_told_the_second_caller_that_nothing_waits(cast: Cast, api: type[Api]) -> None:
    waiting = {cast.conversation().pk for _ in range(5)}
    callers = [cast.olga, cast.otto, cast.olga, cast.otto, cast.olga]

    given = [api(caller).post("/conversations/allocate", operator_id=caller.pk).data["id"] for caller in callers]

    assert sorted(given) == sorted(waiting)
    assert witness.said(api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk)) == NOTHING_WAITS


def test_the_old_system_sorted_a_long_wait_with_a_stale_score_last(cast: Cast, api: type[Api]) -> None:
    old = cast.conversation(message_count=50, minutes_ago=20 * 60)
    cast.conversation(message_count=1, minutes_ago=1)
    witness.change(cast, old, priority_score=0)

    answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert answer.data["id"] == old.pk
    assert answer.data["priority_score"] == pytest.approx(0.4 * 0.5 + 0.6 * 20 / 24, abs=1e-4)


def test_the_old_system_gave_the_newest_first_past_24_hours(cast: Cast, api: type[Api]) -> None:
    three_days = cast.conversation(minutes_ago=72 * 60)
    two_days = cast.conversation(minutes_ago=48 * 60)

    given = [api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk).data for _ in range(2)]

    assert [row["id"] for row in given] == [three_days.pk, two_days.pk]
    assert given[0]["priority_score"] == given[1]["priority_score"]


def test_among_equals_the_oldest_goes_first_then_the_lowest_id(cast: Cast, api: type[Api]) -> None:
    rows = [cast.conversation(minutes_ago=60) for _ in range(3)]
    for row in rows:
        witness.change(cast, row, last_message_at=rows[0].last_message_at, waits_from=rows[0].waits_from, rank=rows[0].rank)

    given = [api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk).data["id"] for _ in range(3)]

    assert given == [row.pk for row in rows]


def test_appends_one_event_and_opens_one_assignment(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()

    with witness.appended(cast) as events:
        answer = api(cast.mia).call("POST", "/conversations/allocate", {"operator_id": cast.olga.pk}, **REQUEST)

    before = {"state": "QUEUED", "assigned_operator_id": None, "version": 1}
    after = {"state": "ALLOCATED", "assigned_operator_id": cast.olga.pk, "version": 2}
    assert events == [witness.event("conversation.allocated", conversation, cast.mia, before, after)]
    with isolation.act_as(cast.tenant.pk):
        assignment = Assignment.objects.get(conversation_id=conversation.pk)
    assert (assignment.operator_id, assignment.source, assignment.ended_at) == (cast.olga.pk, "auto", None)
    assert answer.data["assignment"]["id"] == assignment.pk
    assert assignment.waited_seconds_at_start == pytest.approx(600, abs=60)


@pytest.mark.parametrize("status", ["AWAY", "OFFLINE"])
def test_refuses_an_operator_who_is_not_available(cast: Cast, api: type[Api], status: str) -> None:
    cast.conversation()
    witness.set_status(cast, cast.olga, status)

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert witness.said(answer) == witness.not_available(status)


def test_refuses_an_operator_whose_account_is_disabled(cast: Cast, api: type[Api]) -> None:
    cast.conversation()
    witness.change(cast, cast.otto, is_active=False)

    with witness.untouched(cast):
        answer = api(cast.mia).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert witness.said(answer) == witness.OPERATOR_DISABLED


def test_the_old_system_believed_the_operator_id_in_the_body(cast: Cast, api: type[Api]) -> None:
    cast.conversation()

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert witness.said(answer) == witness.OTHERS_WORK


def test_a_manager_allocates_for_others(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()

    answer = api(cast.mia).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert (answer.status, answer.data["id"], answer.data["operator_name"]) == (200, conversation.pk, "Otto")


def test_an_operator_of_nobodys_knowledge_is_missing(cast: Cast, api: type[Api]) -> None:
    cast.conversation()

    answer = api(cast.olga).post("/conversations/allocate", operator_id=987654321)

    assert witness.said(answer) == witness.missing("Operator")


def test_another_tenants_conversation_does_not_wait_here(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    neighbours.conversation()

    with witness.untouched(cast, neighbours):
        answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert witness.said(answer) == NOTHING_WAITS


def test_needs_the_operator(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/conversations/allocate")

    assert witness.said(answer) == witness.required("operator_id")
