"""POST /conversations/manager-allocate: a manager gives a waiting conversation to an operator."""

from typing import Any

import pytest

from conversations.models import GracePeriod
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST


def give(api: type[Api], by: Any, to: Any, conversation: Any, **words: Any) -> Answer:
    """The call."""
    body = {"operator_id": to.pk, "conversation_id": conversation.pk, **words}
    return api(by).call("POST", "/conversations/manager-allocate", body, **REQUEST)


def test_gives_it_to_the_operator(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()

    answer = give(api, cast.mia, cast.otto, conversation)

    assert answer.status == 200, answer.body
    assert answer.body["message"] == "Conversation allocated successfully"
    assert (answer.data["state"], answer.data["operator_name"]) == ("ALLOCATED", "Otto")
    assert answer.data["assignment"]["source"] == "manager"


@pytest.mark.parametrize("by", ["mia", "ada"])
def test_appends_one_event_in_the_managers_name(cast: Cast, api: type[Api], by: str) -> None:
    conversation, manager = cast.conversation(), getattr(cast, by)

    with witness.appended(cast) as events:
        give(api, manager, cast.otto, conversation, reason="knows the customer")

    before = {"state": "QUEUED", "assigned_operator_id": None, "version": 1}
    after = {"state": "ALLOCATED", "assigned_operator_id": cast.otto.pk, "version": 2}
    assert events == [witness.event("conversation.assigned", conversation, manager, before, after, cause="knows the customer")]


def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()
    give(api, cast.mia, cast.otto, conversation)

    with witness.untouched(cast):
        answer = give(api, cast.mia, cast.otto, conversation)

    assert (answer.status, answer.data["version"]) == (200, 2)


def test_an_operator_may_not(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()

    with witness.untouched(cast):
        answer = give(api, cast.olga, cast.olga, conversation)

    assert witness.said(answer) == witness.role_too_low("MANAGER")


def test_what_is_taken_is_refused_even_by_force(cast: Cast, api: type[Api]) -> None:
    taken = witness.held(cast, cast.olga)

    with witness.untouched(cast):
        answer = give(api, cast.mia, cast.otto, taken, force=True, reason="because")

    assert witness.said(answer) == witness.held_by(cast.olga)


def test_what_is_resolved_is_refused(cast: Cast, api: type[Api]) -> None:
    done = witness.resolved(cast, cast.olga)

    with witness.untouched(cast):
        answer = give(api, cast.mia, cast.otto, done)

    assert witness.said(answer) == witness.ALREADY_RESOLVED


def test_a_stranger_to_the_inbox_is_refused_unless_forced(cast: Cast, api: type[Api]) -> None:
    elsewhere = cast.conversation(inbox=cast.sales)

    with witness.untouched(cast):
        answer = give(api, cast.mia, cast.otto, elsewhere)
    forced = give(api, cast.mia, cast.otto, elsewhere, force=True, reason="Olga is ill")

    assert witness.said(answer) == witness.NOT_SUBSCRIBED
    assert (forced.status, forced.data["operator_name"]) == (200, "Otto")


@pytest.mark.parametrize("status", ["AWAY", "OFFLINE"])
def test_the_absent_are_refused_unless_forced(cast: Cast, api: type[Api], status: str) -> None:
    conversation = cast.conversation()
    witness.set_status(cast, cast.otto, status)

    with witness.untouched(cast):
        answer = give(api, cast.mia, cast.otto, conversation)
    forced = give(api, cast.mia, cast.otto, conversation, force=True, reason="back in a minute")

    assert witness.said(answer) == witness.not_available(status)
    assert forced.status == 200


def test_what_is_forced_on_the_offline_has_its_grace_period_from_the_start(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()
    witness.set_status(cast, cast.otto, "OFFLINE")

    with witness.appended(cast) as events:
        give(api, cast.mia, cast.otto, conversation, force=True, reason="back in a minute")

    with isolation.act_as(cast.tenant.pk):
        period = GracePeriod.objects.get(conversation_id=conversation.pk)
    assert (period.operator_id, period.ended_at) == (cast.otto.pk, None)
    assert [event["kind"] for event in events] == ["grace.opened", "conversation.assigned"]


def test_nobody_forces_work_on_a_disabled_account(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()
    witness.change(cast, cast.otto, is_active=False)

    with witness.untouched(cast):
        answer = give(api, cast.mia, cast.otto, conversation, force=True, reason="because")

    assert witness.said(answer) == witness.OPERATOR_DISABLED


@pytest.mark.parametrize("words", [{}, {"reason": ""}, {"reason": "  "}])
def test_force_needs_a_reason(cast: Cast, api: type[Api], words: dict[str, str]) -> None:
    conversation = cast.conversation()

    with witness.untouched(cast):
        answer = give(api, cast.mia, cast.otto, conversation, force=True, **words)

    assert witness.said(answer) == witness.invalid(reason='"reason" is required when "force" is true')


def test_a_reason_has_at_most_500_characters(cast: Cast, api: type[Api]) -> None:
    answer = give(api, cast.mia, cast.otto, cast.conversation(), reason="x" * 501)

    assert witness.said(answer) == witness.invalid(reason='"reason" must be at most 500 characters long')


def test_force_is_true_or_false(cast: Cast, api: type[Api]) -> None:
    answer = give(api, cast.mia, cast.otto, cast.conversation(), force="perhaps")

    assert witness.said(answer) == witness.invalid(force='"force" must be true or false')


def test_needs_both_ids(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.mia).post("/conversations/manager-allocate")

    assert answer.status == 400
    assert answer.fields == {"conversation_id": '"conversation_id" is required', "operator_id": '"operator_id" is required'}
