"""POST /conversations/claim: a waiting conversation of the operator's own choice."""

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST


def test_takes_the_chosen_one_though_another_scores_higher(cast: Cast, api: type[Api]) -> None:
    cast.conversation(minutes_ago=600)
    chosen = cast.conversation(minutes_ago=1)

    answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=chosen.pk)

    assert answer.status == 200, answer.body
    assert answer.body["message"] == "Conversation claimed successfully"
    assert (answer.data["id"], answer.data["state"], answer.data["operator_name"]) == (chosen.pk, "ALLOCATED", "Olga")
    assert answer.data["assignment"]["source"] == "claim"


def test_appends_one_event(cast: Cast, api: type[Api]) -> None:
    chosen = cast.conversation()

    with witness.appended(cast) as events:
        api(cast.olga).call("POST", "/conversations/claim", {"operator_id": cast.olga.pk, "conversation_id": chosen.pk}, **REQUEST)

    before = {"state": "QUEUED", "assigned_operator_id": None, "version": 1}
    after = {"state": "ALLOCATED", "assigned_operator_id": cast.olga.pk, "version": 2}
    assert events == [witness.event("conversation.claimed", chosen, cast.olga, before, after)]


@pytest.mark.parametrize("status", ["AVAILABLE", "AWAY", "OFFLINE"])
def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api], status: str) -> None:
    chosen = witness.held(cast, cast.olga)
    witness.set_status(cast, cast.olga, status)

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=chosen.pk)

    assert answer.status == 200
    assert answer.data["version"] == chosen.version


def test_what_is_taken_is_refused_and_the_holder_named(cast: Cast, api: type[Api]) -> None:
    taken = witness.held(cast, cast.otto)

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=taken.pk)

    assert witness.said(answer) == witness.held_by(cast.otto)


def test_whoever_does_not_answer_at_the_inbox_is_refused(cast: Cast, api: type[Api]) -> None:
    elsewhere = cast.conversation(inbox=cast.sales)

    with witness.untouched(cast):
        answer = api(cast.otto).post("/conversations/claim", operator_id=cast.otto.pk, conversation_id=elsewhere.pk)

    assert witness.said(answer) == witness.NOT_SUBSCRIBED


def test_whoever_does_not_answer_at_the_inbox_does_not_hear_who_holds_it(cast: Cast, api: type[Api]) -> None:
    taken = witness.held(cast, cast.olga, inbox=cast.sales)

    answer = api(cast.otto).post("/conversations/claim", operator_id=cast.otto.pk, conversation_id=taken.pk)

    assert witness.said(answer) == witness.NOT_SUBSCRIBED


def test_the_old_system_answered_400_to_a_wrong_state(cast: Cast, api: type[Api]) -> None:
    done = witness.resolved(cast, cast.olga)

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=done.pk)

    assert witness.said(answer) == witness.ALREADY_RESOLVED


@pytest.mark.parametrize("status", ["AWAY", "OFFLINE"])
def test_whoever_is_not_available_is_refused(cast: Cast, api: type[Api], status: str) -> None:
    chosen = cast.conversation()
    witness.set_status(cast, cast.olga, status)

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=chosen.pk)

    assert witness.said(answer) == witness.not_available(status)


def test_nobody_claims_in_anothers_name(cast: Cast, api: type[Api]) -> None:
    chosen = cast.conversation()

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/claim", operator_id=cast.otto.pk, conversation_id=chosen.pk)

    assert witness.said(answer) == witness.OTHERS_WORK


def test_a_manager_claims_for_others(cast: Cast, api: type[Api]) -> None:
    chosen = cast.conversation()

    answer = api(cast.mia).post("/conversations/claim", operator_id=cast.otto.pk, conversation_id=chosen.pk)

    assert (answer.status, answer.data["assigned_operator_id"]) == (200, cast.otto.pk)


def test_a_manager_without_a_subscription_claims_nothing_for_themselves(cast: Cast, api: type[Api]) -> None:
    chosen = cast.conversation()

    answer = api(cast.mia).post("/conversations/claim", operator_id=cast.mia.pk, conversation_id=chosen.pk)

    assert witness.said(answer) == witness.NOT_SUBSCRIBED


def test_what_does_not_exist_is_missing(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=987654321)

    assert witness.said(answer) == witness.missing("Conversation")


def test_needs_both_ids(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/conversations/claim")

    assert answer.status == 400
    assert answer.fields == {"conversation_id": '"conversation_id" is required', "operator_id": '"operator_id" is required'}
