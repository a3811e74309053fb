"""Leases, room by room: who is lost, when, and what follows for the work."""

import os
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models import F

from convalloc import clock
from conversations import allocation, grace, silence
from conversations.models import Conversation, GracePeriod
from conversations.silence import Counts
from operators import leases, presence
from operators.models import Operator, OperatorStatus, PresencePeriod, Status
from tenants import eventlog, isolation, tuning
from tenants.models import Event, Tenant
from tests.conftest import Cast, assemble
from tests.conversations import invariants


def with_leases(cast: Cast, seconds: int | None) -> None:
    """The tenant has leases of this length, and has had them for an hour; everybody has just given a sign of life."""
    with isolation.act_as(cast.tenant.pk):
        tuning.tune(lease_seconds=seconds)
        Tenant.objects.update(leases_from=clock.now() - timedelta(hours=1))
        OperatorStatus.objects.update(seen_at=clock.now())


def all_silent_and_spared_once(cast: Cast, people: list[Operator]) -> None:
    """After an outage leases of a minute began anew, and these people were not heard in those either."""
    with_leases(cast, 60)
    for person in people:
        silent_for(cast, person, 150)
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(leases_from=clock.now() - timedelta(seconds=61))


def silent_for(cast: Cast, operator: Operator, seconds: float) -> None:
    """So many seconds pass, for this operator alone, without a sign of life."""
    passed = timedelta(seconds=seconds)
    with isolation.act_as(cast.tenant.pk):
        changed = F("last_status_change_at") - passed
        OperatorStatus.objects.filter(operator_id=operator.pk).update(seen_at=clock.now() - passed, last_status_change_at=changed)
        history = PresencePeriod.objects.filter(operator_id=operator.pk)
        history.update(started_at=F("started_at") - passed, ended_at=F("ended_at") - passed)


def status(cast: Cast, operator: Operator, to: Status) -> Any:
    with isolation.act_as(cast.tenant.pk):
        return grace.change_status(operator.pk, to, cast.tenant)


def is_(cast: Cast, operator: Operator) -> str:
    """The operator's status."""
    with isolation.act_as(cast.tenant.pk):
        return str(presence.status_of(operator.pk).status)


def held(cast: Cast, operator: Operator) -> Conversation:
    """A conversation that the operator holds."""
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        return allocation.claim(operator.pk, row.pk)


@pytest.mark.parametrize("was", [Status.AVAILABLE, Status.AWAY])
def test_who_is_silent_for_the_whole_lease_is_lost_and_their_work_is_in_grace(cast: Cast, was: Status) -> None:
    with_leases(cast, 60)
    row = held(cast, cast.otto)
    status(cast, cast.otto, was)
    silent_for(cast, cast.otto, 60)

    assert silence.declare_lost().lost == 1

    assert is_(cast, cast.otto) == Status.OFFLINE
    assert cast.again(row).assigned_operator_id == cast.otto.pk
    with isolation.act_as(cast.tenant.pk):
        (period,) = GracePeriod.objects.all()
        told = Event.objects.get(kind="operator.status_changed", after={"status": "OFFLINE"})
        ended, begun = PresencePeriod.objects.filter(operator_id=cast.otto.pk).order_by("-pk")[:2][::-1]
    assert (period.conversation_id, period.reason) == (row.pk, "lost")
    assert (told.subject_id, told.actor_id, told.cause, told.before) == (cast.otto.pk, None, "lost", {"status": was})
    assert (ended.status, begun.status, begun.reason, begun.actor_id, begun.ended_at) == (was, "OFFLINE", "lost", None, None)
    assert ended.ended_at == begun.started_at
    invariants.assert_all(cast)


def test_nobody_is_lost_before_their_time(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 55)

    assert silence.declare_lost() == Counts()
    assert is_(cast, cast.otto) == Status.AVAILABLE


def test_whoever_comes_back_has_a_lease_from_then_on(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 3000)
    silence.declare_lost()

    status(cast, cast.otto, Status.AVAILABLE)

    assert silence.declare_lost() == Counts()
    assert is_(cast, cast.otto) == Status.AVAILABLE


def test_who_sets_the_status_that_they_have_already_is_heard(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 61)

    with eventlog.caused_by(cast.otto.pk):
        status(cast, cast.otto, Status.AVAILABLE)

    assert silence.declare_lost() == Counts()
    assert is_(cast, cast.otto) == Status.AVAILABLE


def test_whom_a_manager_says_to_be_there_is_not_heard_by_that(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 61)

    with eventlog.caused_by(cast.mia.pk):
        status(cast, cast.otto, Status.AVAILABLE)

    assert silence.declare_lost().lost == 1


def test_who_was_lost_and_comes_back_in_time_keeps_the_work_for_good(cast: Cast) -> None:
    with_leases(cast, 60)
    row = held(cast, cast.otto)
    silent_for(cast, cast.otto, 61)
    silence.declare_lost()

    status(cast, cast.otto, Status.AVAILABLE)

    with isolation.act_as(cast.tenant.pk):
        assert [period.end_reason for period in GracePeriod.objects.all()] == [GracePeriod.EndReason.RETURNED]
    assert cast.again(row).assigned_operator_id == cast.otto.pk
    invariants.assert_all(cast)


def test_who_is_offline_is_not_lost_as_well(cast: Cast) -> None:
    with_leases(cast, 60)
    status(cast, cast.otto, Status.OFFLINE)
    silent_for(cast, cast.otto, 3000)

    assert silence.declare_lost() == Counts()


def test_without_leases_nobody_is_lost(cast: Cast) -> None:
    silent_for(cast, cast.otto, 100_000)

    assert silence.declare_lost() == Counts()
    assert is_(cast, cast.otto) == Status.AVAILABLE


def test_switching_leases_on_and_off_and_on_again_loses_nobody_at_once(cast: Cast) -> None:
    for person in (cast.olga, cast.otto, cast.mia, cast.ada):
        silent_for(cast, person, 100_000)

    for seconds in (30, 3600, None, 30):
        with isolation.act_as(cast.tenant.pk):
            tuning.tune(lease_seconds=seconds)
        assert silence.declare_lost() == Counts()


def test_switched_off_whoever_had_fallen_silent_is_left_alone(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 61)
    with isolation.act_as(cast.tenant.pk):
        tuning.tune(lease_seconds=None)

    assert silence.declare_lost() == Counts()


def test_saying_the_same_length_again_renews_nothing(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 61)
    with isolation.act_as(cast.tenant.pk):
        tuning.tune(lease_seconds=60, name="another name")

    assert silence.declare_lost().lost == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
def test_one_call_finds_all_in_every_tenant_in_rounds_of_any_size(cast: Cast, neighbours: Cast, limit: int) -> None:
    for tenant, people in ((cast, (cast.olga, cast.otto)), (neighbours, (neighbours.otto, neighbours.mia))):
        with_leases(tenant, 60)
        for person in people:
            silent_for(tenant, person, 61)
    silent_for(cast, cast.olga, 90)

    counts = silence.declare_lost(limit)

    assert counts.lost == 4
    assert 30 <= counts.late_seconds < 90, "the oldest is Olga's"

    assert [is_(cast, person) for person in (cast.olga, cast.otto, cast.mia, cast.ada)] == ["OFFLINE"] * 2 + ["AVAILABLE"] * 2


def test_a_sweep_whose_turn_is_over_stops_between_two_operators_and_the_next_one_goes_on(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_leases(cast, 60)
    for person in (cast.olga, cast.otto):
        silent_for(cast, person, 61)
    passing = iter([0.0, 0.0, 0.0, 10.0, 10.0])  # when the tenant's turn comes, its round's, the first operator's, the second one's
    monkeypatch.setattr("conversations.silence.time.monotonic", lambda: next(passing))

    cut_short = silence.declare_lost(until=5.0)
    monkeypatch.undo()

    assert (cut_short.lost, silence.declare_lost().lost) == (1, 1)


def test_ten_more_calls_change_nothing(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 61)
    silence.declare_lost()
    with isolation.act_as(cast.tenant.pk):
        before = list(Event.objects.values_list("pk", flat=True)), list(PresencePeriod.objects.values_list("pk", flat=True))

    assert [silence.declare_lost() for _ in range(10)] == [Counts()] * 10

    with isolation.act_as(cast.tenant.pk):
        assert before == (list(Event.objects.values_list("pk", flat=True)), list(PresencePeriod.objects.values_list("pk", flat=True)))


def test_a_neighbours_leases_are_their_own(cast: Cast, neighbours: Cast) -> None:
    with_leases(neighbours, 60)
    silent_for(cast, cast.otto, 100_000)
    silent_for(neighbours, neighbours.otto, 100_000)

    assert silence.declare_lost().lost == 1

    assert (is_(cast, cast.otto), is_(neighbours, neighbours.otto)) == ("AVAILABLE", "OFFLINE")


def rows_written() -> tuple[int, int]:
    """Statuses that this session has written, and those of them in place (HOT), since it last reported."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_get_xact_tuples_updated(t), pg_stat_get_xact_tuples_hot_updated(t)"
            " FROM (SELECT 'operator_status'::regclass::oid AS t) statuses"
        )
        written, in_place = cursor.fetchone()
    return written, in_place


def written_by_a_heartbeat(cast: Cast) -> tuple[int, int]:
    """The same, for one heartbeat of Otto's."""
    with isolation.act_as(cast.tenant.pk):
        before = rows_written()
        leases.renew(cast.otto.pk)
        after = rows_written()
    return after[0] - before[0], after[1] - before[1]


def test_a_heartbeat_writes_one_row_in_place_and_no_index(committed: None) -> None:
    cast = assemble()
    with_leases(cast, 60)

    assert written_by_a_heartbeat(cast) == (1, 1)


def test_control_an_index_on_what_it_writes_would_be_written_each_time(committed: None) -> None:
    cast = assemble()
    with_leases(cast, 60)

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE INDEX passing ON operator_status (seen_at)")
        try:
            assert written_by_a_heartbeat(cast) == (1, 0)
        finally:
            owner.execute("DROP INDEX passing")


def test_a_sign_of_life_of_who_does_not_exist_is_missing(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk), pytest.raises(Exception, match="Operator not found"):
        leases.renew(987_654_321)
