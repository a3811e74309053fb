"""POST /conversations/move-inbox: another inbox of the tenant answers."""

from typing import Any

import pytest

from conversations.models import Assignment
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST


def move(api: type[Api], by: Any, conversation: Any, to: Any) -> Answer:
    """The call."""
    return api(by).call("POST", "/conversations/move-inbox", {"conversation_id": conversation.pk, "inbox_id": to.pk}, **REQUEST)


def wear(cast: Cast, api: type[Api], conversation: Any, *labels: Any) -> None:
    """Put labels on, as Mia."""
    for label in labels:
        assert api(cast.mia).post("/labels/attach", conversation_id=conversation.pk, label_id=label.pk).status == 200


@pytest.mark.parametrize("by", ["mia", "ada"])
def test_waits_in_the_other_inbox_with_its_whole_waiting_time(cast: Cast, api: type[Api], by: str) -> None:
    conversation = cast.conversation(minutes_ago=12 * 60)

    answer = move(api, getattr(cast, by), conversation, cast.sales)

    assert answer.status == 200, answer.body
    assert answer.body["message"] == "Conversation moved successfully"
    assert (answer.data["inbox_id"], answer.data["inbox_name"], answer.data["state"]) == (cast.sales.pk, "Sales", "QUEUED")
    assert answer.data["priority_score"] == pytest.approx(0.4 * 0.01 + 0.6 * 0.5, abs=1e-3)
    assert answer.body["meta"]["dropped_labels"] == []


def test_whoever_holds_it_gives_it_up(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.appended(cast) as events:
        answer = move(api, cast.mia, conversation, cast.sales)

    before = {"inbox_id": cast.support.pk, "state": "ALLOCATED", "assigned_operator_id": cast.olga.pk, "version": 2}
    after = {"inbox_id": cast.sales.pk, "state": "QUEUED", "assigned_operator_id": None, "version": 3}
    assert events == [witness.event("conversation.moved", conversation, cast.mia, before, after)]
    assert answer.data["assignment"] is None
    with isolation.act_as(cast.tenant.pk):
        assert Assignment.objects.get(conversation_id=conversation.pk).end_reason == "moved"


def test_labels_that_the_other_inbox_lacks_are_dropped_and_named_others_are_kept_by_name(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()
    urgent, bug, angry = cast.label(name="Urgent"), cast.label(name="Bug"), cast.label(name="Angry")
    urgent_there = cast.label(name="Urgent", inbox=cast.sales, color="#FF0000")
    wear(cast, api, conversation, urgent, bug, angry)

    with witness.appended(cast) as events:
        answer = move(api, cast.mia, conversation, cast.sales)

    assert answer.body["message"] == "Conversation moved successfully; labels dropped: Angry, Bug"
    assert answer.body["meta"]["dropped_labels"] == ["Angry", "Bug"]
    assert answer.data["labels"] == [{"id": urgent_there.pk, "name": "Urgent", "color": "#FF0000"}]
    before = {"inbox_id": cast.support.pk, "version": 4, "label_ids": [urgent.pk, bug.pk, angry.pk]}
    after = {"inbox_id": cast.sales.pk, "version": 5, "label_ids": [urgent_there.pk]}
    assert events == [witness.event("conversation.moved", conversation, cast.mia, before, after)]


def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()
    move(api, cast.mia, conversation, cast.sales)

    with witness.untouched(cast):
        answer = move(api, cast.mia, conversation, cast.sales)

    assert (answer.status, answer.data["version"]) == (200, 2)


def test_moving_where_it_already_is_takes_it_from_nobody(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.untouched(cast):
        answer = move(api, cast.mia, conversation, cast.support)

    assert (answer.status, answer.data["state"]) == (200, "ALLOCATED")


def test_what_is_resolved_stays(cast: Cast, api: type[Api]) -> None:
    done = witness.resolved(cast, cast.olga)

    with witness.untouched(cast):
        answer = move(api, cast.mia, done, cast.sales)

    assert witness.said(answer) == witness.ALREADY_RESOLVED


def test_an_operator_may_not(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()

    with witness.untouched(cast):
        answer = move(api, cast.olga, conversation, cast.sales)

    assert witness.said(answer) == witness.role_too_low("MANAGER")


def test_another_tenants_inbox_is_missing(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()

    with witness.untouched(cast, neighbours):
        answer = move(api, cast.mia, conversation, neighbours.support)

    assert witness.said(answer) == witness.missing("Inbox")


def test_what_does_not_exist_is_missing(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.mia).post("/conversations/move-inbox", conversation_id=987654321, inbox_id=cast.sales.pk)

    assert witness.said(answer) == witness.missing("Conversation")


def test_needs_both_ids(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.mia).post("/conversations/move-inbox")

    assert answer.status == 400
    assert answer.fields == {"conversation_id": '"conversation_id" is required', "inbox_id": '"inbox_id" is required'}
