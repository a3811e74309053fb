"""GET and PUT /operators/{id}/status: coming, going away, leaving, and what follows for the work."""

from datetime import timedelta
from typing import Any

import pytest

from conversations import expiry, grace
from conversations.models import GracePeriod
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST


def period_of(cast: Cast, conversation: Any) -> GracePeriod:
    """The one grace period that a conversation ever had."""
    with isolation.act_as(cast.tenant.pk):
        return GracePeriod.objects.get(conversation_id=conversation.pk)


def let_it_expire(cast: Cast, conversation: Any) -> expiry.Counts:
    """The grace period is over, and the beat comes by."""
    with isolation.act_as(cast.tenant.pk):
        row = GracePeriod.objects.get(conversation_id=conversation.pk)
        row.opened_at -= timedelta(hours=1)
        row.expires_at -= timedelta(hours=1)
        row.save(update_fields=["opened_at", "expires_at"])
    return expiry.expire_due()


def test_tells_the_status(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/status")

    assert answer.status == 200
    assert set(answer.body) == {"status", "data"}
    status = answer.data["status"]
    assert status.pop("last_status_change_at").endswith("Z")
    assert status == {"operator_id": cast.olga.pk, "status": "AVAILABLE", "version": 1}


@pytest.mark.parametrize("status", ["AWAY", "OFFLINE"])
def test_sets_the_status_and_appends_one_event(cast: Cast, api: type[Api], status: str) -> None:
    before = api(cast.olga).get(f"/operators/{cast.olga.pk}/status").data["status"]["last_status_change_at"]

    with witness.appended(cast) as events:
        answer = api(cast.olga).call("PUT", f"/operators/{cast.olga.pk}/status", {"status": status}, **REQUEST)

    assert (answer.status, answer.body["message"]) == (200, "Operator status updated successfully")
    assert answer.data["status"]["status"] == status
    assert answer.data["status"]["last_status_change_at"] >= before
    change = {"status": "AVAILABLE"}, {"status": status}
    assert events == [witness.event("operator.status_changed", cast.olga, cast.olga, *change)]


@pytest.mark.parametrize("status", ["AVAILABLE", "AWAY", "OFFLINE"])
def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api], status: str) -> None:
    witness.held(cast, cast.olga)
    first = api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status=status)

    with witness.untouched(cast):
        again = api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status=status)

    assert witness.said(again) == witness.said(first)


def test_a_manager_sets_the_status_of_others(cast: Cast, api: type[Api]) -> None:
    with witness.appended(cast) as events:
        answer = api(cast.mia).call("PUT", f"/operators/{cast.otto.pk}/status", {"status": "OFFLINE"}, **REQUEST)

    assert answer.status == 200
    change = {"status": "AVAILABLE"}, {"status": "OFFLINE"}
    assert events == [witness.event("operator.status_changed", cast.otto, cast.mia, *change)]


def test_an_operator_sets_nobody_elses(cast: Cast, api: type[Api]) -> None:
    with witness.untouched(cast):
        answer = api(cast.olga).put(f"/operators/{cast.otto.pk}/status", status="OFFLINE")

    assert witness.said(answer) == witness.OTHERS_WORK


def test_going_offline_opens_one_grace_period_for_each_conversation_held(cast: Cast, api: type[Api]) -> None:
    held = [witness.held(cast, cast.olga) for _ in range(2)]
    witness.held(cast, cast.otto)
    witness.resolved(cast, cast.olga)

    with witness.appended(cast) as events:
        api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE")

    periods = [period_of(cast, conversation) for conversation in held]
    assert [event["kind"] for event in events] == ["operator.status_changed", "grace.opened", "grace.opened"]
    assert [(period.operator_id, period.ended_at) for period in periods] == [(cast.olga.pk, None)] * 2
    assert {period.expires_at - period.opened_at for period in periods} == {timedelta(minutes=15)}


def test_going_away_keeps_the_work_without_a_deadline(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="AWAY")

    with isolation.act_as(cast.tenant.pk):
        assert not GracePeriod.objects.exists()
    assert cast.again(conversation).assigned_operator_id == cast.olga.pk


@pytest.mark.parametrize("status", ["AVAILABLE", "AWAY"])
def test_coming_back_in_time_keeps_the_work(cast: Cast, api: type[Api], status: str) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE")

    with witness.appended(cast) as events:
        api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status=status)

    assert [event["kind"] for event in events] == ["operator.status_changed", "grace.cancelled"]
    assert period_of(cast, conversation).end_reason == "returned"
    assert let_it_expire(cast, conversation) == expiry.Counts()
    assert cast.again(conversation).assigned_operator_id == cast.olga.pk


def test_staying_away_returns_the_work_to_the_queue(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE")

    counts = let_it_expire(cast, conversation)

    assert (counts.released, counts.closed) == (1, 0)
    shown = api(cast.mia).get(f"/conversations/{conversation.pk}").data
    assert (shown["state"], shown["assigned_operator_id"], shown["assignment"]) == ("QUEUED", None, None)


def test_the_old_system_left_an_allocation_that_landed_while_the_operator_went_offline_for_ever(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE")

    answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert witness.said(answer) == witness.not_available("OFFLINE")
    assert cast.again(conversation).state == "QUEUED"


UNKNOWN = '"status" must be one of AVAILABLE, AWAY, OFFLINE'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, '"status" is required'),
        ({"status": None}, '"status" must not be null'),
        ({"status": "available"}, UNKNOWN),
        ({"status": "BUSY"}, UNKNOWN),
        ({"status": ""}, UNKNOWN),
        ({"status": 1}, UNKNOWN),
        ({"status": True}, UNKNOWN),
        ({"status": ["OFFLINE"]}, UNKNOWN),
        ({"status": {"status": "OFFLINE"}}, UNKNOWN),
        ({"status": "\0"}, UNKNOWN),
    ],
)
def test_a_status_is_one_of_three(cast: Cast, api: type[Api], body: Any, message: str) -> None:
    with witness.untouched(cast):
        answer = api(cast.olga).call("PUT", f"/operators/{cast.olga.pk}/status", body)

    assert witness.said(answer) == witness.invalid(status=message)


@pytest.mark.parametrize("caller", ["olga", "ada"])
def test_who_does_not_exist_is_missing(cast: Cast, api: type[Api], caller: str) -> None:
    answer = api(getattr(cast, caller)).put("/operators/987654321/status", status="AWAY")

    assert witness.said(answer) == witness.missing("Operator")


@pytest.mark.parametrize("status", ["AVAILABLE", "AWAY"])
def test_nobody_comes_back_to_a_closed_account_whose_work_would_stay_with_it(cast: Cast, api: type[Api], status: str) -> None:
    held = witness.held(cast, cast.otto)
    with isolation.act_as(cast.tenant.pk):
        grace.dismiss(cast.otto.pk, cast.tenant, by=cast.ada)

    with witness.untouched(cast):
        answer = api(cast.mia).put(f"/operators/{cast.otto.pk}/status", status=status)

    assert (answer.status, answer.body["code"]) == (409, "operator_disabled")
    assert cast.again(held).assigned_operator_id == cast.otto.pk, "until its grace ends"
