"""POST /operators/{id}/heartbeat: a sign of life renews the lease, and does nothing else."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import silence
from operators.models import OperatorStatus
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.operators.test_leases import silent_for, with_leases


def beat(api: Api, cast: Cast, name: str = "olga") -> Answer:
    """A sign of life."""
    return api.post(f"/operators/{getattr(cast, name).pk}/heartbeat")


@pytest.mark.parametrize("status", ["AVAILABLE", "AWAY"])
def test_renews_the_lease_from_now_on(cast: Cast, api: type[Api], status: str) -> None:
    with_leases(cast, 60)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status=status)
    silent_for(cast, cast.olga, 50)

    first, second = beat(api(cast.olga), cast), beat(api(cast.olga), cast)

    assert (first.status, first.data["operator_id"], first.data["status"]) == (200, cast.olga.pk, status)
    renewed = [datetime.fromisoformat(answer.data["lease_expires_at"]) for answer in (first, second)]
    assert renewed[0] < renewed[1]
    with isolation.act_as(cast.tenant.pk):
        row = OperatorStatus.objects.get(operator_id=cast.olga.pk)
    assert row.seen_at is not None
    assert row.seen_at + timedelta(seconds=60) == renewed[1]
    assert silence.declare_lost() == silence.Counts()


@pytest.mark.parametrize("seconds", [60, None])
def test_brings_nobody_back_from_offline_and_says_who_sent_them_there_and_since_when(
    cast: Cast, api: type[Api], seconds: int | None
) -> None:
    with_leases(cast, seconds)
    left = api(cast.mia).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE", reason="fire drill")

    with witness.untouched(cast):
        answer = beat(api(cast.olga), cast)

    since = left.data["status"]["last_status_change_at"]
    assert (answer.status, answer.body["code"]) == (409, "operator_offline")
    assert answer.body["details"] == {"operator_id": cast.olga.pk, "reason": "fire drill", "since": since}


def test_without_leases_it_is_heard_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    with witness.untouched(cast):
        answer = beat(api(cast.olga), cast)

    assert (answer.status, answer.body.keys()) == (200, {"status", "data"})
    assert answer.data == {"operator_id": cast.olga.pk, "status": "AVAILABLE", "lease_expires_at": None}


def test_costs_one_update_and_leaves_no_event_and_no_history(cast: Cast, api: type[Api]) -> None:
    with_leases(cast, 60)

    before = witness.everything_of(cast.tenant)
    with CaptureQueriesContext(connection) as queries:
        beat(api(cast.olga), cast)

    written = [query["sql"] for query in queries if query["sql"].lstrip().startswith(("UPDATE", "INSERT", "DELETE"))]
    touching = [query["sql"] for query in queries if "operator_status" in query["sql"]]
    assert len(written) == 1
    assert touching == written
    after = witness.everything_of(cast.tenant)
    assert {table for table in before if before[table] != after[table]} == {"operator_status"}


@pytest.mark.parametrize("caller", ["otto", "mia", "ada"])
def test_nobody_is_alive_in_somebody_elses_place(cast: Cast, api: type[Api], caller: str) -> None:
    with_leases(cast, 60)

    with witness.untouched(cast):
        answer = beat(api(getattr(cast, caller)), cast)

    assert witness.said(answer) == witness.OTHERS_WORK


@pytest.mark.parametrize("caller", ["mia", "ada"])
def test_managers_are_alive_themselves(cast: Cast, api: type[Api], caller: str) -> None:
    with_leases(cast, 60)

    answer = beat(api(getattr(cast, caller)), cast, caller)

    assert (answer.status, answer.data["status"]) == (200, "AVAILABLE")


def test_a_body_means_nothing(cast: Cast, api: type[Api]) -> None:
    with_leases(cast, 60)
    bodies: list[Any] = [b"", b"{", b"null", {"status": "AVAILABLE", "lease_expires_at": "2099-01-01T00:00:00Z"}]

    answers = [api(cast.olga).call("POST", f"/operators/{cast.olga.pk}/heartbeat", body) for body in bodies]

    assert [answer.status for answer in answers] == [200] * 4
    assert all("2099" not in answer.data["lease_expires_at"] for answer in answers)


def test_whoever_was_lost_is_told_so_and_comes_back_by_saying_so(cast: Cast, api: type[Api]) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.olga, 61)
    silence.declare_lost()

    lost = beat(api(cast.olga), cast)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="AVAILABLE")
    back = beat(api(cast.olga), cast)

    assert (lost.status, lost.body["code"], lost.body["details"]["reason"]) == (409, "operator_offline", "lost")
    assert back.data["status"] == "AVAILABLE"
    assert back.data["lease_expires_at"] is not None
