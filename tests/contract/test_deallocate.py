"""POST /conversations/deallocate: a manager puts a conversation back into the queue."""

import pytest

from conversations.models import Assignment, GracePeriod
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST


@pytest.mark.parametrize("by", ["mia", "ada"])
def test_puts_it_back_with_its_whole_waiting_time(cast: Cast, api: type[Api], by: str) -> None:
    conversation = witness.held(cast, cast.olga, minutes_ago=12 * 60)

    answer = api(getattr(cast, by)).post("/conversations/deallocate", conversation_id=conversation.pk)

    assert answer.status == 200, answer.body
    assert answer.body["message"] == "Conversation deallocated successfully"
    assert (answer.data["state"], answer.data["assigned_operator_id"], answer.data["assignment"]) == ("QUEUED", None, None)
    assert answer.data["priority_score"] == pytest.approx(0.4 * 0.01 + 0.6 * 0.5, abs=1e-3)


def test_it_can_be_allocated_again(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.mia).post("/conversations/deallocate", conversation_id=conversation.pk)

    answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert answer.data["id"] == conversation.pk


def test_appends_one_event_and_ends_the_assignment(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.appended(cast) as events:
        api(cast.mia).call("POST", "/conversations/deallocate", {"conversation_id": conversation.pk}, **REQUEST)

    before = {"state": "ALLOCATED", "assigned_operator_id": cast.olga.pk, "version": 2}
    after = {"state": "QUEUED", "assigned_operator_id": None, "version": 3}
    assert events == [witness.event("conversation.deallocated", conversation, cast.mia, before, after)]
    with isolation.act_as(cast.tenant.pk):
        assert Assignment.objects.get(conversation_id=conversation.pk).end_reason == "deallocated"


def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.mia).post("/conversations/deallocate", conversation_id=conversation.pk)

    with witness.untouched(cast):
        answer = api(cast.mia).post("/conversations/deallocate", conversation_id=conversation.pk)

    assert (answer.status, answer.data["version"]) == (200, conversation.version + 1)


def test_what_somebody_else_deallocated_is_a_conflict(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.mia).post("/conversations/deallocate", conversation_id=conversation.pk)

    with witness.untouched(cast):
        answer = api(cast.ada).post("/conversations/deallocate", conversation_id=conversation.pk)

    assert witness.said(answer) == witness.refusal(409, "not_allocated", "Conversation is QUEUED, not ALLOCATED", state="QUEUED")


def test_what_waits_or_is_resolved_is_a_conflict(cast: Cast, api: type[Api]) -> None:
    waiting, done = cast.conversation(), witness.resolved(cast, cast.olga)

    with witness.untouched(cast):
        answers = [api(cast.mia).post("/conversations/deallocate", conversation_id=row.pk) for row in (waiting, done)]

    assert witness.said(answers[0]) == witness.refusal(409, "not_allocated", "Conversation is QUEUED, not ALLOCATED", state="QUEUED")
    assert witness.said(answers[1]) == witness.ALREADY_RESOLVED


def test_an_operator_may_not_even_what_they_hold(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/deallocate", conversation_id=conversation.pk)

    assert witness.said(answer) == witness.role_too_low("MANAGER")
    assert "permission" in answer.body["message"]


def test_deallocating_in_grace_ends_the_grace_period(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE")

    api(cast.mia).post("/conversations/deallocate", conversation_id=conversation.pk)

    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.get(conversation_id=conversation.pk).end_reason == "assignment_ended"


def test_what_does_not_exist_is_missing(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.mia).post("/conversations/deallocate", conversation_id=987654321)

    assert witness.said(answer) == witness.missing("Conversation")


def test_needs_the_conversation(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.mia).post("/conversations/deallocate")

    assert witness.said(answer) == witness.required("conversation_id")
