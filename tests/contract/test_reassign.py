"""POST /conversations/reassign: another operator takes over at once."""

from typing import Any

import pytest

from conversations import expiry
from conversations.models import Assignment, GracePeriod
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST


def reassign(api: type[Api], by: Any, conversation: Any, to: Any, **words: Any) -> Answer:
    """The call."""
    body = {"operator_id": to.pk, "conversation_id": conversation.pk, **words}
    return api(by).call("POST", "/conversations/reassign", body, **REQUEST)


@pytest.mark.parametrize("by", ["mia", "ada"])
def test_the_other_operator_holds_it(cast: Cast, api: type[Api], by: str) -> None:
    conversation = witness.held(cast, cast.olga)

    answer = reassign(api, getattr(cast, by), conversation, cast.otto)

    assert answer.status == 200, answer.body
    assert answer.body["message"] == "Conversation reassigned successfully"
    assert (answer.data["state"], answer.data["operator_name"]) == ("ALLOCATED", "Otto")
    assert answer.data["assignment"]["operator_id"] == cast.otto.pk
    with isolation.act_as(cast.tenant.pk):
        rows = Assignment.objects.filter(conversation_id=conversation.pk).order_by("pk").values_list("operator_id", "end_reason")
        assert list(rows) == [(cast.olga.pk, "reassigned"), (cast.otto.pk, None)]


def test_appends_one_event_with_the_reason(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga, inbox=cast.sales)

    with witness.appended(cast) as events:
        reassign(api, cast.mia, conversation, cast.otto, force=True, reason="speaks Welsh")

    before, after = {"assigned_operator_id": cast.olga.pk, "version": 2}, {"assigned_operator_id": cast.otto.pk, "version": 3}
    assert events == [witness.event("conversation.reassigned", conversation, cast.mia, before, after, cause="forced: speaks Welsh")]


def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    reassign(api, cast.mia, conversation, cast.otto)

    with witness.untouched(cast):
        answer = reassign(api, cast.mia, conversation, cast.otto)

    assert (answer.status, answer.data["version"]) == (200, conversation.version + 1)


def test_what_waits_or_is_resolved_is_a_conflict(cast: Cast, api: type[Api]) -> None:
    waiting, done = cast.conversation(), witness.resolved(cast, cast.olga)

    with witness.untouched(cast):
        answers = [reassign(api, cast.mia, row, cast.otto) for row in (waiting, done)]

    assert witness.said(answers[0]) == witness.refusal(409, "not_allocated", "Conversation is QUEUED, not ALLOCATED", state="QUEUED")
    assert witness.said(answers[1]) == witness.ALREADY_RESOLVED


def test_an_operator_may_not(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.untouched(cast):
        answer = reassign(api, cast.olga, conversation, cast.otto)

    assert witness.said(answer) == witness.role_too_low("MANAGER")


def test_a_stranger_to_the_inbox_is_refused_unless_forced(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga, inbox=cast.sales)

    with witness.untouched(cast):
        answer = reassign(api, cast.mia, conversation, cast.otto)
    forced = reassign(api, cast.mia, conversation, cast.otto, force=True, reason="Olga is ill")

    assert witness.said(answer) == witness.NOT_SUBSCRIBED
    assert (forced.status, forced.data["operator_name"]) == (200, "Otto")


@pytest.mark.parametrize("status", ["AWAY", "OFFLINE"])
def test_the_absent_are_refused_unless_forced(cast: Cast, api: type[Api], status: str) -> None:
    conversation = witness.held(cast, cast.olga)
    witness.set_status(cast, cast.otto, status)

    with witness.untouched(cast):
        answer = reassign(api, cast.mia, conversation, cast.otto)
    forced = reassign(api, cast.mia, conversation, cast.otto, force=True, reason="back in a minute")

    assert witness.said(answer) == witness.not_available(status)
    assert forced.status == 200


def test_nobody_forces_work_on_a_disabled_account(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    witness.change(cast, cast.otto, is_active=False)

    with witness.untouched(cast):
        answers = [
            reassign(api, cast.mia, conversation, cast.otto),
            reassign(api, cast.mia, conversation, cast.otto, force=True, reason="because"),
        ]

    assert [witness.said(answer) for answer in answers] == [witness.OPERATOR_DISABLED] * 2


def test_force_needs_a_reason(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.untouched(cast):
        answer = reassign(api, cast.mia, conversation, cast.otto, force=True)

    assert witness.said(answer) == witness.invalid(reason='"reason" is required when "force" is true')


def test_the_old_system_took_a_reassigned_conversation_from_its_new_operator_when_the_grace_ended(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE")
    reassign(api, cast.mia, conversation, cast.otto)
    with isolation.act_as(cast.tenant.pk):
        [period] = GracePeriod.objects.filter(conversation_id=conversation.pk)
        long_ago = period.opened_at.replace(year=period.opened_at.year - 1)
        GracePeriod.objects.filter(pk=period.pk).update(opened_at=long_ago, expires_at=period.opened_at)

    counts = expiry.expire_due()

    assert counts == expiry.Counts()
    assert period.end_reason == "assignment_ended"
    assert api(cast.otto).get(f"/conversations/{conversation.pk}").data["assigned_operator_id"] == cast.otto.pk


def test_who_or_what_does_not_exist_is_missing(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    answers = [
        api(cast.mia).post("/conversations/reassign", conversation_id=987654321, operator_id=cast.otto.pk),
        api(cast.mia).post("/conversations/reassign", conversation_id=conversation.pk, operator_id=987654321),
    ]

    assert [witness.said(answer) for answer in answers] == [witness.missing("Conversation"), witness.missing("Operator")]


def test_needs_both_ids(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.mia).post("/conversations/reassign")

    assert answer.status == 400
    assert answer.fields == {"conversation_id": '"conversation_id" is required', "operator_id": '"operator_id" is required'}
