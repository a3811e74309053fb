"""GET /operators, and /operators/{id}/stats and /inboxes: who is there, what they hold and have done."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from conversations.models import Assignment
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness


@pytest.mark.parametrize("caller", ["mia", "ada"])
def test_lists_everybody_with_status_and_work(cast: Cast, api: type[Api], caller: str) -> None:
    witness.held(cast, cast.olga)
    witness.held(cast, cast.olga)
    witness.resolved(cast, cast.otto)
    witness.set_status(cast, cast.otto, "AWAY")

    with witness.untouched(cast):
        answer = api(getattr(cast, caller)).get("/operators")

    assert answer.status == 200
    assert answer.body["meta"]["count"] == 4
    told = [(row["id"], row["name"], row["role"], row["status"], row["active_conversations"]) for row in answer.data]
    assert told == [
        (cast.olga.pk, "Olga", "OPERATOR", "AVAILABLE", 2),
        (cast.otto.pk, "Otto", "OPERATOR", "AWAY", 0),
        (cast.mia.pk, "Mia", "MANAGER", "AVAILABLE", 0),
        (cast.ada.pk, "Ada", "ADMIN", "AVAILABLE", 0),
    ]
    assert set(answer.data[0]) == {
        "id",
        "tenant_id",
        "email",
        "name",
        "role",
        "is_active",
        "status",
        "last_status_change_at",
        "active_conversations",
        "created_at",
    }


def test_an_operator_may_not_list_them(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).get("/operators")

    assert witness.said(answer) == witness.role_too_low("MANAGER")


def test_nobody_of_another_tenant_is_listed(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    answer = api(cast.ada).get("/operators")

    assert {row["tenant_id"] for row in answer.data} == {cast.tenant.pk}


# --- stats ----------------------------------------------------------------------------------------


def test_counts_what_is_held_and_what_was_resolved(cast: Cast, api: type[Api]) -> None:
    witness.held(cast, cast.olga)
    witness.resolved(cast, cast.olga)
    witness.resolved(cast, cast.otto)
    cast.conversation()

    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/stats")

    assert answer.status == 200
    oldest, average = answer.data.pop("oldest_active_since"), answer.data.pop("avg_resolution_time_minutes")
    assert oldest.endswith("Z")
    assert isinstance(average, float)
    assert answer.data == {
        "operator_id": cast.olga.pk,
        "active_conversations": 1,
        "resolved_today": 1,
        "resolved_this_week": 1,
        "resolved_total": 1,
        "waiting_in_inboxes": 1,
    }


def test_the_old_systems_average_counted_the_time_in_the_queue(cast: Cast, api: type[Api]) -> None:
    conversation = witness.resolved(cast, cast.olga, minutes_ago=600)
    with isolation.act_as(cast.tenant.pk):
        rows = Assignment.objects.filter(conversation_id=conversation.pk)
        rows.update(started_at=rows.get().ended_at - timedelta(minutes=3))  # type: ignore[operator]

    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/stats")

    assert answer.data["avg_resolution_time_minutes"] == 3.0


def test_what_was_resolved_before_this_week_counts_in_total_alone(cast: Cast, api: type[Api]) -> None:
    conversation = witness.resolved(cast, cast.olga)
    with isolation.act_as(cast.tenant.pk):
        long_ago = timezone.now() - timedelta(days=8)
        Assignment.objects.filter(conversation_id=conversation.pk).update(started_at=long_ago - timedelta(minutes=1), ended_at=long_ago)

    data = api(cast.olga).get(f"/operators/{cast.olga.pk}/stats").data

    assert (data["resolved_today"], data["resolved_this_week"], data["resolved_total"]) == (0, 0, 1)


def test_what_a_manager_resolved_away_still_counts_for_the_holder_once(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.mia).post("/conversations/resolve", conversation_id=conversation.pk)

    told = [api(cast.mia).get(f"/operators/{who.pk}/stats").data["resolved_total"] for who in (cast.olga, cast.mia)]

    assert told == [1, 0]


def test_who_has_done_nothing_has_zeros(cast: Cast, api: type[Api]) -> None:
    data = api(cast.mia).get(f"/operators/{cast.otto.pk}/stats").data

    assert (data["active_conversations"], data["avg_resolution_time_minutes"], data["oldest_active_since"]) == (0, 0.0, None)


# --- inboxes --------------------------------------------------------------------------------------


def test_shows_where_an_operator_answers(cast: Cast, api: type[Api]) -> None:
    cast.conversation()
    witness.held(cast, cast.olga)

    answer = api(cast.mia).get(f"/operators/{cast.otto.pk}/inboxes")

    [row] = answer.data
    assert answer.body["meta"]["count"] == 1
    assert (row["id"], row["name"], row["queued_conversations"], row["allocated_conversations"]) == (cast.support.pk, "Support", 1, 1)


# --- what all of them share -----------------------------------------------------------------------

DETAILS = ["status", "stats", "inboxes", "capacity"]


@pytest.mark.parametrize("detail", DETAILS)
def test_an_operator_sees_their_own_and_nobody_elses(cast: Cast, api: type[Api], detail: str) -> None:
    own = api(cast.olga).get(f"/operators/{cast.olga.pk}/{detail}")
    others = api(cast.olga).get(f"/operators/{cast.otto.pk}/{detail}")

    assert own.status == 200
    assert witness.said(others) == witness.OTHERS_WORK


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("caller", ["mia", "ada"])
def test_managers_and_admins_see_everybodys(cast: Cast, api: type[Api], detail: str, caller: str) -> None:
    answer = api(getattr(cast, caller)).get(f"/operators/{cast.otto.pk}/{detail}")

    assert answer.status == 200


@pytest.mark.parametrize("detail", DETAILS)
@pytest.mark.parametrize("caller", ["olga", "ada"])
@pytest.mark.parametrize("id_", ["987654321", "0", "9223372036854775808", "9999999999999999999"])
def test_who_does_not_exist_is_missing(cast: Cast, api: type[Api], detail: str, caller: str, id_: Any) -> None:
    answer = api(getattr(cast, caller)).get(f"/operators/{id_}/{detail}")

    assert witness.said(answer) == witness.missing("Operator")
