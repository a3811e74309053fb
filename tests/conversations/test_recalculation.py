"""Places in the queue, computed anew: what is written, in how small steps, and when the tick does it by itself."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from convalloc import clock
from conversations import allocation, lifecycle, queue, recalculation
from conversations.models import Conversation
from conversations.priority import Weights
from conversations.recalculation import Counts
from tenants import isolation
from tenants.models import Event, Tenant
from tests.conftest import Cast

STALE = {"waits_from": datetime(2020, 1, 1, tzinfo=UTC), "credit": 1, "rank": 1, "saturated": True, "priority_score": 99}


def tuned(cast: Cast, **settings: Any) -> Tenant:
    """The tenant chooses other settings."""
    with isolation.act_as(cast.tenant.pk):
        version = Tenant.objects.get(pk=cast.tenant.pk).weights_version
        Tenant.objects.filter(pk=cast.tenant.pk).update(weights_version=version + 1, **settings)
        return Tenant.objects.get(pk=cast.tenant.pk)


def spoil(cast: Cast) -> None:
    """Every place is wrong."""
    with isolation.act_as(cast.tenant.pk):
        Conversation.objects.update(**STALE)


def assert_in_place(cast: Cast, tenant: Tenant) -> None:
    """Every unresolved row stands where the queue would put it now."""
    with isolation.act_as(cast.tenant.pk):
        now = clock.now()
        for row in Conversation.objects.exclude(state="RESOLVED"):
            place = queue.place(row, tenant, now)
            assert place.pop("priority_score") == pytest.approx(row.priority_score, abs=1e-4)
            assert {name: getattr(row, name) for name in place} == place


@pytest.mark.parametrize("clock_of_waiting", Tenant.WaitingClock.values)
def test_every_unresolved_row_is_put_where_python_would_put_it(cast: Cast, clock_of_waiting: str) -> None:
    now = clock.now()
    for minutes in (0, 1, 59, 60, 61, 3000, -30):
        cast.conversation(minutes_ago=minutes, message_count=minutes % 9)
        cast.conversation(minutes_ago=minutes, waiting_since=now - timedelta(minutes=minutes + 45))
    tenant = tuned(cast, priority_alpha=Decimal("3.1415"), delay_cap_minutes=60, waiting_clock=clock_of_waiting)
    spoil(cast)

    assert recalculation.recalculate(cast.tenant.pk) == 14

    assert_in_place(cast, tenant)


def test_allocated_rows_are_recalculated_and_resolved_ones_left_alone(cast: Cast) -> None:
    rows = [cast.conversation() for _ in range(3)]
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, rows[0].pk)
        lifecycle.resolve(rows[1].pk, by=cast.mia)
    spoil(cast)

    assert recalculation.unresolved(cast.tenant.pk) == 2
    assert recalculation.recalculate(cast.tenant.pk) == 2

    assert [cast.again(row).priority_score == 99 for row in rows] == [False, True, False]


@pytest.mark.parametrize("rows", [0, 4, 5, 6, 15])
def test_it_goes_in_batches_and_says_how_far_it_is(cast: Cast, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalculation, "BATCH", 5)
    for _ in range(rows):
        cast.conversation()
    spoil(cast)
    heard: list[int] = []

    assert recalculation.recalculate(cast.tenant.pk, progress=heard.append) == rows

    assert sum(heard) == rows
    assert max(heard) <= 5
    assert_in_place(cast, cast.tenant)


def test_it_is_no_change_of_a_conversation(cast: Cast) -> None:
    row = cast.conversation()

    recalculation.recalculate(cast.tenant.pk)

    again = cast.again(row)
    assert (again.version, again.updated_at) == (row.version, row.updated_at)
    with isolation.act_as(cast.tenant.pk):
        last = Event.objects.order_by("-pk").values_list("kind", "after").first()
    assert last == ("tenant.priorities_recalculated", {"conversations": 1, "weights_version": 1})


def test_it_leaves_the_neighbours_alone(cast: Cast, neighbours: Cast) -> None:
    theirs = neighbours.conversation()
    spoil(neighbours)

    recalculation.recalculate(cast.tenant.pk)

    assert neighbours.again(theirs).priority_score == 99


def test_the_tick_ranks_anew_after_a_change_of_weights_and_only_then(cast: Cast) -> None:
    cast.conversation(minutes_ago=30)
    assert recalculation.tick() == Counts()
    tenant = tuned(cast, priority_alpha=7)

    assert recalculation.tick() == Counts(reranked=1)
    assert recalculation.tick() == Counts()

    assert cast.again(cast.tenant).ranked_version == tenant.weights_version
    assert_in_place(cast, tenant)


def test_weights_that_change_during_a_recalculation_are_ranked_by_the_next_tick(cast: Cast) -> None:
    cast.conversation()
    tuned(cast, priority_alpha=7)

    recalculation.recalculate(cast.tenant.pk, progress=lambda rows: tuned(cast, priority_alpha=8))

    tenant = cast.again(cast.tenant)
    assert tenant.ranked_version < tenant.weights_version
    assert recalculation.tick().reranked == 1
    assert_in_place(cast, tenant)


def test_the_tick_flags_what_crossed_the_cap_so_many_at_a_time_until_half_of_its_turn_is_over(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossed = [cast.conversation(minutes_ago=23 * 60) for _ in range(3)]
    fresh = cast.conversation(minutes_ago=22 * 60)
    two_hours_ago = {"last_message_at": clock.now() - timedelta(hours=25), "waits_from": clock.now() - timedelta(hours=25)}
    with isolation.act_as(cast.tenant.pk):
        Conversation.objects.filter(pk__in=[row.pk for row in crossed]).update(**two_hours_ago)

    with monkeypatch.context() as busy:
        busy.setattr(recalculation, "TURN_SECONDS", 0)
        assert recalculation.tick(limit=2).flagged == 0
    assert [recalculation.tick(limit=2).flagged for _ in range(2)] == [3, 0]

    flagged = [cast.again(row) for row in crossed]
    assert all(row.saturated and row.rank == -row.credit for row in flagged)
    assert not cast.again(fresh).saturated


def test_the_tick_flags_what_crossed_the_cap_in_every_state(cast: Cast) -> None:
    rows = [cast.conversation(minutes_ago=25 * 60) for _ in range(3)]
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.olga.pk, rows[1].pk)
        lifecycle.resolve(rows[2].pk, by=cast.mia)
        Conversation.objects.update(saturated=False)

    assert recalculation.tick().flagged == 3

    assert all(cast.again(row).saturated for row in rows)


def test_the_snapshot_is_written_on_creation_on_every_return_and_by_the_recalculation(cast: Cast) -> None:
    weights = Weights.of(cast.tenant)
    row = cast.conversation(message_count=10, minutes_ago=720)
    expected = pytest.approx(0.4 * 0.1 + 0.6 * 0.5, abs=1e-4)
    assert row.priority_score == expected

    for act in (
        lambda: lifecycle.deallocate(row.pk, by=cast.mia),
        lambda: lifecycle.move(row.pk, cast.sales.pk, by=cast.mia),
    ):
        with isolation.act_as(cast.tenant.pk):
            allocation.claim(cast.olga.pk, row.pk)
            Conversation.objects.update(priority_score=0)
            act()
        assert cast.again(row).priority_score == expected

    spoil(cast)
    recalculation.recalculate(cast.tenant.pk)
    assert cast.again(row).priority_score == expected
    assert weights.credit(10) == cast.again(row).credit
