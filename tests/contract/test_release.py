"""POST /conversations/release: the holder gives a conversation back, and is not handed it again at once."""

from datetime import timedelta

import pytest
from django.utils import timezone

from conversations.models import Assignment
from tenants import isolation
from tenants.models import Tenant
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST

NOT_THE_HOLDER = witness.refusal(403, "not_the_holder", "You do not have permission to do this to a conversation that you do not hold")


def release(api: Api, conversation_id: int) -> Answer:
    """Give it back, with a reason."""
    return api.call("POST", "/conversations/release", {"conversation_id": conversation_id, "reason": "lunch"}, **REQUEST)


def test_puts_it_back_with_its_whole_waiting_time(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga, minutes_ago=12 * 60)

    answer = release(api(cast.olga), conversation.pk)

    assert (answer.status, answer.body["message"]) == (200, "Conversation released successfully")
    assert (answer.data["state"], answer.data["assigned_operator_id"], answer.data["assignment"]) == ("QUEUED", None, None)
    assert answer.data["priority_score"] == pytest.approx(0.4 * 0.01 + 0.6 * 0.5, abs=1e-3)


def test_appends_one_event_with_the_reason_and_ends_the_assignment(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.appended(cast) as events:
        release(api(cast.olga), conversation.pk)

    before = {"state": "ALLOCATED", "assigned_operator_id": cast.olga.pk, "version": 2}
    after = {"state": "QUEUED", "assigned_operator_id": None, "version": 3}
    assert events == [witness.event("conversation.released", conversation, cast.olga, before, after, cause="lunch")]
    with isolation.act_as(cast.tenant.pk):
        assert Assignment.objects.get(conversation_id=conversation.pk).end_reason == "released"


def test_anything_else_that_waits_comes_before_what_was_given_back(cast: Cast, api: type[Api]) -> None:
    best = witness.held(cast, cast.olga, message_count=90, minutes_ago=600)
    other = cast.conversation(message_count=1, minutes_ago=1)
    release(api(cast.olga), best.pk)

    first, second = (api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk) for _ in range(2))

    assert first.data["id"] == other.pk
    assert second.data["id"] == best.pk, "nothing else waited any more"


def test_somebody_else_gets_it_at_once(cast: Cast, api: type[Api]) -> None:
    best = witness.held(cast, cast.olga, message_count=90)
    cast.conversation()
    release(api(cast.olga), best.pk)

    answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert answer.data["id"] == best.pk


@pytest.mark.parametrize(("cooldown", "minutes_ago", "comes_first"), [(5, 6, True), (5, 4, False), (0, 0, True)])
def test_the_cool_down_is_the_tenants(cast: Cast, api: type[Api], cooldown: int, minutes_ago: int, comes_first: bool) -> None:
    best = witness.held(cast, cast.olga, message_count=90)
    cast.conversation()
    release(api(cast.olga), best.pk)
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(cooldown_minutes=cooldown)
        Assignment.objects.filter(conversation_id=best.pk).update(ended_at=timezone.now() - timedelta(minutes=minutes_ago))

    answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert (answer.data["id"] == best.pk) is comes_first


def test_claiming_it_again_is_ones_own_choice(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    release(api(cast.olga), conversation.pk)

    answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=conversation.pk)

    assert answer.status == 200


def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    release(api(cast.olga), conversation.pk)

    with witness.untouched(cast):
        answer = release(api(cast.olga), conversation.pk)

    assert (answer.status, answer.data["version"]) == (200, conversation.version + 1)


@pytest.mark.parametrize("by", ["otto", "mia", "ada"])
def test_only_the_holder_may(cast: Cast, api: type[Api], by: str) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.untouched(cast):
        answer = release(api(getattr(cast, by)), conversation.pk)

    assert witness.said(answer) == NOT_THE_HOLDER


def test_what_waits_or_is_resolved_is_a_conflict(cast: Cast, api: type[Api]) -> None:
    waiting, done = cast.conversation(), witness.resolved(cast, cast.otto)

    with witness.untouched(cast):
        answers = [release(api(cast.olga), row.pk) for row in (waiting, done)]

    assert [answer.body["code"] for answer in answers] == ["not_allocated", "already_resolved"]
    assert [answer.status for answer in answers] == [409, 409]


def test_a_reason_is_asked_for(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/release", conversation_id=conversation.pk)

    assert witness.said(answer) == witness.required("reason")
