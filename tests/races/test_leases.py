"""Signs of life against the tick: one that was committed first, counts. Each guarantee has a control without its guard."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from convalloc.prepared import Statement
from conversations import allocation, grace, silence
from conversations.models import Conversation, GracePeriod
from conversations.silence import Counts
from operators import leases, presence
from operators.errors import OperatorOffline
from operators.models import OperatorStatus, PresencePeriod, Status
from tenants import eventlog, isolation
from tenants.models import Event
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.operators.test_leases import all_silent_and_spared_once, held, is_, silent_for, with_leases
from tests.operators.test_outages import the_last_tick_was
from tests.races.crowd import Call, acting, neighbour, together, until_waiting, waits_or_ends
from tests.races.test_grace import unlocked


def fallen_silent(seconds: int = 61) -> Cast:
    """Otto holds a conversation, and his lease of a minute is over."""
    cast = assemble()
    with_leases(cast, 60)
    held(cast, cast.otto)
    silent_for(cast, cast.otto, seconds)
    return cast


def lose_in_the_middle(cast: Cast, act: Callable[[], Any], wait: Callable[[Call], None]) -> Any:
    """An act is done but not committed when the tick comes; what the tick says."""
    with isolation.act_as(cast.tenant.pk):
        act()
        tick = Call(silence.declare_lost)
        wait(tick)
    return tick.done()


def test_a_sign_of_life_that_was_committed_first_counts(committed: None) -> None:
    cast = fallen_silent()

    counts = lose_in_the_middle(cast, lambda: leases.renew(cast.otto.pk), until_waiting)

    assert counts == Counts()
    assert is_(cast, cast.otto) == Status.AVAILABLE
    invariants.assert_all(cast)


def test_control_without_the_second_look_it_is_lost_all_the_same(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "over_since", lambda operator_id: timedelta())
    cast = fallen_silent()

    counts = lose_in_the_middle(cast, lambda: leases.renew(cast.otto.pk), until_waiting)

    assert counts.lost == 1
    assert is_(cast, cast.otto) == Status.OFFLINE


def test_control_a_second_look_without_the_lock_sees_nothing_new(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "hold_many", lambda ids, **_: set(ids))
    cast = fallen_silent()

    counts = lose_in_the_middle(cast, lambda: leases.renew(cast.otto.pk), waits_or_ends)

    assert counts.lost == 1


def test_a_sign_of_life_after_the_tick_finds_them_offline(committed: None) -> None:
    cast = fallen_silent()

    with isolation.act_as(cast.tenant.pk):
        assert silence.lose(cast.otto.pk)
        late = Call(acting(cast.tenant.pk, leases.renew, cast.otto.pk))
        until_waiting(late)

    assert isinstance(late.done(), OperatorOffline)
    assert is_(cast, cast.otto) == Status.OFFLINE
    invariants.assert_all(cast)


def says_that_he_is_there(cast: Cast) -> OperatorStatus:
    """Otto sets his status himself."""
    with eventlog.caused_by(cast.otto.pk):
        return grace.change_status(cast.otto.pk, Status.AVAILABLE, cast.tenant)


def test_who_says_that_they_are_there_before_the_tick_stays(committed: None) -> None:
    cast = fallen_silent()

    counts = lose_in_the_middle(cast, lambda: says_that_he_is_there(cast), until_waiting)

    assert counts == Counts()
    assert is_(cast, cast.otto) == Status.AVAILABLE
    invariants.assert_all(cast)


def test_control_where_that_is_no_sign_of_life_they_are_told_that_they_are_there_and_are_lost(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "hear", lambda row: None)
    cast = fallen_silent()

    counts = lose_in_the_middle(cast, lambda: says_that_he_is_there(cast), until_waiting)

    assert counts.lost == 1


def test_who_says_that_they_are_there_right_after_the_tick_is_back_with_their_work(committed: None) -> None:
    cast = fallen_silent()

    with isolation.act_as(cast.tenant.pk):
        assert silence.lose(cast.otto.pk)
        back = Call(acting(cast.tenant.pk, says_that_he_is_there, cast))
        until_waiting(back)
    back.done()

    assert is_(cast, cast.otto) == Status.AVAILABLE
    with isolation.act_as(cast.tenant.pk):
        assert [period.end_reason for period in GracePeriod.objects.all()] == [GracePeriod.EndReason.RETURNED]
        assert Conversation.objects.get().assigned_operator_id == cast.otto.pk
    invariants.assert_all(cast)


def test_control_without_the_operators_lock_they_are_told_that_they_are_there_and_are_lost(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = fallen_silent()

    with isolation.act_as(cast.tenant.pk):
        assert silence.lose(cast.otto.pk)
        monkeypatch.setattr(presence, "lock", unlocked)
        back = Call(acting(cast.tenant.pk, says_that_he_is_there, cast))
        waits_or_ends(back)
    assert back.done().status == Status.AVAILABLE

    assert is_(cast, cast.otto) == Status.OFFLINE


def test_the_lost_are_given_no_work_by_who_came_at_the_same_time(committed: None) -> None:
    cast = fallen_silent()
    cast.conversation()

    counts = lose_in_the_middle(cast, lambda: allocation.allocate_next(cast.otto.pk, cast.tenant), until_waiting)

    assert counts.lost == 1
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.filter(ended_at__isnull=True).count() == 2
    invariants.assert_all(cast)


def test_who_leaves_by_themselves_at_the_same_time_is_not_lost(committed: None) -> None:
    cast = fallen_silent()

    counts = lose_in_the_middle(cast, lambda: grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant, reason="lunch"), until_waiting)

    assert counts == Counts()
    with isolation.act_as(cast.tenant.pk):
        assert PresencePeriod.objects.get(operator_id=cast.otto.pk, ended_at__isnull=True).reason == "lunch"


def test_one_whose_row_somebody_does_not_let_go_of_holds_up_nobody_else(committed: None) -> None:
    cast = assemble()
    for _ in range(3):
        cast.operator()
    with_leases(cast, 60)
    people = [cast.olga, cast.otto, cast.mia]
    for person in people:
        silent_for(cast, person, 61)

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM operator_status WHERE operator_id = %s FOR NO KEY UPDATE", [cast.olga.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 200")
        counts = silence.declare_lost(limit=1)
        connection.close()

    assert (counts.lost, counts.left) == (2, 1)

    assert [is_(cast, person) for person in people] == [Status.AVAILABLE, Status.OFFLINE, Status.OFFLINE]
    assert silence.declare_lost().lost == 1


def test_five_ticks_at_once_lose_everybody_once(committed: None) -> None:
    cast = assemble()
    people = [cast.olga, cast.otto, cast.mia, *(cast.operator() for _ in range(9))]
    all_silent_and_spared_once(cast, people)

    outcomes = together([lambda: silence.declare_lost(limit=5)] * 5)

    assert sum(counts.lost for counts in outcomes) == len(people)
    with isolation.act_as(cast.tenant.pk):
        assert Event.objects.filter(kind="operator.status_changed").count() == len(people)
        assert PresencePeriod.objects.filter(reason="lost", ended_at__isnull=True).count() == len(people)


def test_five_ticks_at_once_after_an_outage_spare_each_silence_once(committed: None) -> None:
    cast = assemble()
    all_silent_and_spared_once(cast, [cast.otto])
    the_last_tick_was(timedelta(minutes=10))
    silent_for(cast, cast.ada, 60.5)

    outcomes = together([lambda: silence.declare_lost()] * 5)

    assert sum(counts.lost for counts in outcomes) == 1
    assert (is_(cast, cast.otto), is_(cast, cast.ada)) == (Status.OFFLINE, Status.AVAILABLE)
    assert silence.declare_lost() == Counts()


def test_beating_and_losing_at_once_many_times_agree_on_one_winner(committed: None) -> None:
    cast = fallen_silent()

    for _ in range(20):
        acting(cast.tenant.pk, grace.change_status, cast.otto.pk, Status.AVAILABLE, cast.tenant)()
        silent_for(cast, cast.otto, 61)
        lease, counts = together([acting(cast.tenant.pk, leases.renew, cast.otto.pk), silence.declare_lost])

        assert isinstance(lease, OperatorOffline) == (counts.lost == 1)
        assert (is_(cast, cast.otto) == Status.OFFLINE) == (counts.lost == 1)
        invariants.assert_all(cast)


def released_in_the_middle_of_an_allocation(cast: Cast, wait: Callable[[Call], None]) -> None:
    """Otto's allocation is done but not committed when a manager takes everything back from him."""
    cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        allocation.allocate_next(cast.otto.pk, cast.tenant)
        taking = Call(acting(cast.tenant.pk, grace.change_status, cast.otto.pk, Status.OFFLINE, cast.tenant, release=grace.Release.NOW))
        wait(taking)
    taking.done()


def test_taking_everything_back_waits_for_an_allocation_and_takes_that_too(committed: None) -> None:
    cast = assemble()

    released_in_the_middle_of_an_allocation(cast, until_waiting)

    with isolation.act_as(cast.tenant.pk):
        assert [event.kind for event in Event.objects.filter(subject_type="conversation").order_by("pk")][-1] == "conversation.deallocated"
    invariants.assert_all(cast)


def test_control_without_the_operators_lock_taking_everything_back_leaves_that_behind(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "lock", unlocked)
    monkeypatch.setattr(presence, "LOCK", Statement("SELECT 1"))
    cast = assemble()

    released_in_the_middle_of_an_allocation(cast, waits_or_ends)

    with pytest.raises(AssertionError):
        invariants.assert_all(cast)
