"""Leases and our own outages: who could not be heard is not lost by that, and who is gone is not kept by it."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now

from conversations import silence, tasks
from conversations.silence import Counts
from operators.models import Operator
from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID, Tenant, Tick
from tests.conftest import Cast
from tests.operators.test_leases import is_, silent_for, with_leases

A_TICK = timedelta(seconds=settings.TICK_SECONDS)
TEN_MINUTES = timedelta(minutes=10)


def last_tick_was(ago: timedelta) -> None:
    """So long ago the beat's last ring was answered."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        Tick.objects.update_or_create(task="declare_lost", defaults={"began_at": Now() - ago, "ended_at": Now() - ago})


def everybody(cast: Cast) -> list[Operator]:
    return [cast.olga, cast.otto, cast.mia, cast.ada]


def all_silent_for(cast: Cast, seconds: float) -> None:
    for person in everybody(cast):
        silent_for(cast, person, seconds)


def lost(cast: Cast) -> int:
    """How many the tick declares lost."""
    return tasks.declare_lost()["lost"]


def statuses(cast: Cast) -> set[str]:
    return {is_(cast, person) for person in everybody(cast)}


def a_lease_passes(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(leases_from=Now() - timedelta(seconds=61))


def test_after_an_outage_everybody_has_a_lease_to_be_heard_again(cast: Cast) -> None:
    with_leases(cast, 60)
    all_silent_for(cast, 601)
    last_tick_was(TEN_MINUTES)

    assert lost(cast) == 0

    assert statuses(cast) == {"AVAILABLE"}


def test_control_without_that_the_outage_takes_everybody(cast: Cast) -> None:
    with_leases(cast, 60)
    all_silent_for(cast, 601)
    last_tick_was(TEN_MINUTES)

    assert silence.declare_lost().lost == 4


def test_whoever_is_silent_after_the_outage_as_well_is_lost(cast: Cast) -> None:
    with_leases(cast, 60)
    all_silent_for(cast, 601)
    last_tick_was(TEN_MINUTES)
    lost(cast)
    a_lease_passes(cast)
    last_tick_was(A_TICK)

    assert lost(cast) == 4


def test_ticks_that_are_slow_for_ever_keep_nobody_who_is_gone(cast: Cast) -> None:
    with_leases(cast, 60)
    all_silent_for(cast, 601)
    last_tick_was(TEN_MINUTES)
    lost(cast)
    a_lease_passes(cast)
    last_tick_was(3 * A_TICK)

    assert lost(cast) == 4


def test_where_somebody_was_heard_meanwhile_only_the_worker_was_away(cast: Cast) -> None:
    with_leases(cast, 60)
    all_silent_for(cast, 601)
    silent_for(cast, cast.mia, 30)
    last_tick_was(TEN_MINUTES)

    assert lost(cast) == 3

    assert is_(cast, cast.mia) == "AVAILABLE"


@pytest.mark.parametrize("ticks", [1, 1.9])
def test_while_the_beat_rings_a_whole_office_may_be_lost_at_once(cast: Cast, ticks: float) -> None:
    with_leases(cast, 60)
    all_silent_for(cast, 301)
    last_tick_was(ticks * A_TICK)

    assert lost(cast) == 4


def test_a_neighbours_silence_is_judged_for_itself(cast: Cast, neighbours: Cast) -> None:
    for tenant in (cast, neighbours):
        with_leases(tenant, 60)
        all_silent_for(tenant, 601)
    silent_for(neighbours, neighbours.mia, 30)
    last_tick_was(TEN_MINUTES)

    assert lost(cast) == 3

    assert (statuses(cast), is_(neighbours, neighbours.otto)) == ({"AVAILABLE"}, "OFFLINE")


def test_an_outage_without_leases_is_none_of_their_business(cast: Cast) -> None:
    last_tick_was(TEN_MINUTES)

    assert silence.tick() == Counts()

    with isolation.act_as(cast.tenant.pk):
        assert Tenant.objects.get().leases_from is None
