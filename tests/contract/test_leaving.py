"""PUT /operators/{id}/status: the reason, and when the work of who goes OFFLINE goes back to the queue."""

from typing import Any

import pytest

from conversations.models import Assignment, GracePeriod
from operators.models import Operator, PresencePeriod
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST
from tests.conversations import invariants


def set_status(api: Api, operator: Operator, **body: Any) -> Answer:
    """The status of an operator is set."""
    return api.call("PUT", f"/operators/{operator.pk}/status", body, **REQUEST)


def causes(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Kind and cause."""
    return [(event["kind"], event["cause"]) for event in events]


# --- why --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["olga", "mia"])
def test_a_reason_goes_into_the_event_and_the_history_and_leaves_the_answer_as_it_was(cast: Cast, api: type[Api], caller: str) -> None:
    with witness.appended(cast) as events:
        answer = set_status(api(getattr(cast, caller)), cast.olga, status="AWAY", reason="  team meeting ")

    change = {"status": "AVAILABLE"}, {"status": "AWAY"}
    assert events == [witness.event("operator.status_changed", cast.olga, getattr(cast, caller), *change, cause="team meeting")]
    with isolation.act_as(cast.tenant.pk):
        period = PresencePeriod.objects.get(operator_id=cast.olga.pk, ended_at__isnull=True)
    assert (period.status, period.reason, period.actor_id) == ("AWAY", "team meeting", getattr(cast, caller).pk)
    assert answer.body.keys() == {"status", "message", "data"}
    assert answer.data["status"].keys() == {"operator_id", "status", "last_status_change_at", "version"}


def test_an_absence_is_graced_for_its_reason(cast: Cast, api: type[Api]) -> None:
    witness.held(cast, cast.olga)

    with witness.appended(cast) as events:
        set_status(api(cast.olga), cast.olga, status="OFFLINE", reason="dentist")

    assert causes(events) == [("operator.status_changed", "dentist"), ("grace.opened", "dentist")]


def test_another_reason_for_the_same_status_changes_nothing(cast: Cast, api: type[Api]) -> None:
    set_status(api(cast.olga), cast.olga, status="AWAY", reason="lunch")

    with witness.untouched(cast):
        answer = set_status(api(cast.olga), cast.olga, status="AWAY", reason="still lunch")

    assert answer.status == 200


@pytest.mark.parametrize("value", [None, True, [], {}, "a\0b", "\ud800", "x" * 501])
def test_a_reason_is_a_short_text(cast: Cast, api: type[Api], value: Any) -> None:
    body: Any = {"status": "AWAY", "reason": value} if value != "\ud800" else b'{"status": "AWAY", "reason": "\\ud800"}'

    with witness.untouched(cast):
        answer = api(cast.olga).call("PUT", f"/operators/{cast.olga.pk}/status", body)

    assert answer.status == 400
    assert list(answer.fields) == (["reason"] if value != "\ud800" else [])


# --- when the work goes back ------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["mia", "ada"])
def test_released_now_all_that_is_held_waits_again_with_its_full_credit(cast: Cast, api: type[Api], who: str) -> None:
    manager = getattr(cast, who)
    held = [witness.held(cast, cast.olga, minutes_ago=90, message_count=7) for _ in range(3)]
    kept = witness.held(cast, cast.otto)
    witness.resolved(cast, cast.olga)

    with witness.appended(cast) as events:
        answer = set_status(api(manager), cast.olga, status="OFFLINE", reason="fell ill", release="now")

    assert (answer.status, answer.data["status"]["status"]) == (200, "OFFLINE")
    assert causes(events) == [("operator.status_changed", "fell ill"), *[("conversation.deallocated", "fell ill")] * 3]
    assert {(event["actor_id"], event["request_id"]) for event in events} == {(manager.pk, REQUEST["X-Request-Id"])}
    rows = [cast.again(row) for row in held]
    assert [(row.state, row.assigned_operator_id, row.waits_from, row.credit) for row in rows] == [
        ("QUEUED", None, row.last_message_at, row.credit) for row in held
    ]
    assert cast.again(kept).assigned_operator_id == cast.otto.pk
    with isolation.act_as(cast.tenant.pk):
        ended = Assignment.objects.filter(conversation_id__in=[row.pk for row in held])
        assert {row.end_reason for row in ended} == {"deallocated"}
        assert not GracePeriod.objects.exists()
    invariants.assert_all(cast)


def test_released_now_the_next_operator_is_given_it_at_once(cast: Cast, api: type[Api]) -> None:
    row = witness.held(cast, cast.olga)
    set_status(api(cast.mia), cast.olga, status="OFFLINE", release="now")

    answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert answer.data["id"] == row.pk


def test_released_now_what_somebody_keeps_in_grace_goes_back_as_well_and_once(cast: Cast, api: type[Api]) -> None:
    row = witness.held(cast, cast.olga)
    set_status(api(cast.olga), cast.olga, status="OFFLINE")

    with witness.appended(cast) as events:
        set_status(api(cast.mia), cast.olga, status="OFFLINE", release="now")
    with witness.untouched(cast):
        again = set_status(api(cast.mia), cast.olga, status="OFFLINE", release="now")

    assert causes(events) == [("grace.cancelled", "assignment_ended"), ("conversation.deallocated", "offline")]
    assert (again.status, cast.again(row).state) == (200, "QUEUED")
    invariants.assert_all(cast)


@pytest.mark.parametrize("release", [{}, {"release": "grace"}])
@pytest.mark.parametrize("caller", ["olga", "mia"])
def test_after_grace_unless_told_otherwise(cast: Cast, api: type[Api], caller: str, release: dict[str, str]) -> None:
    row = witness.held(cast, cast.olga)

    answer = set_status(api(getattr(cast, caller)), cast.olga, status="OFFLINE", **release)

    assert answer.status == 200
    assert cast.again(row).assigned_operator_id == cast.olga.pk
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.filter(ended_at__isnull=True).count() == 1


def test_an_operator_releases_nothing_at_once_not_even_their_own(cast: Cast, api: type[Api]) -> None:
    witness.held(cast, cast.olga)

    with witness.untouched(cast):
        own = set_status(api(cast.olga), cast.olga, status="OFFLINE", release="now")
        other = set_status(api(cast.olga), cast.otto, status="OFFLINE", release="now")

    assert witness.said(own) == witness.role_too_low("MANAGER")
    assert witness.said(other) == witness.OTHERS_WORK


@pytest.mark.parametrize("status", ["AVAILABLE", "AWAY"])
@pytest.mark.parametrize("release", ["now", "grace"])
def test_who_stays_releases_nothing(cast: Cast, api: type[Api], status: str, release: str) -> None:
    with witness.untouched(cast):
        answer = set_status(api(cast.mia), cast.olga, status=status, release=release)

    assert witness.said(answer) == witness.invalid(release='"release" is only for the status OFFLINE')


@pytest.mark.parametrize("value", ["later", "NOW", "", 1, True, [], {}, "\0"])
def test_a_release_is_one_of_two(cast: Cast, api: type[Api], value: Any) -> None:
    with witness.untouched(cast):
        answer = set_status(api(cast.mia), cast.olga, status="OFFLINE", release=value)

    assert witness.said(answer) == witness.invalid(release='"release" must be one of grace, now')


def test_a_neighbours_operator_is_as_missing_as_nobody(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    with witness.untouched(neighbours):
        answer = set_status(api(cast.mia), neighbours.olga, status="OFFLINE", release="now")

    assert witness.said(answer) == witness.missing("Operator")
