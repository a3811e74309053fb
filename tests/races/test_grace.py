"""Leaving, returning and the clock, against everybody else: whoever commits first, wins, and nothing is stranded or stolen.

Most of these stop one transaction in the middle and let the other run into it, so that each run meets the race.
Each guarantee has a control without its lock, which has to break.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from convalloc.prepared import Statement
from conversations import allocation, expiry, grace, lifecycle, queue
from conversations.errors import GraceEnded, OperatorNotAvailable
from conversations.lifecycle import Override
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators import presence
from operators.models import OperatorStatus, Status
from tenants import isolation
from tenants.models import Event
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.races.crowd import Call, acting, neighbour, together, until_waiting, waits_or_ends

AN_HOUR = timedelta(hours=1)


def an_hour_passes(cast: Cast) -> None:
    """For the grace periods that are open."""
    with isolation.act_as(cast.tenant.pk):
        for period in GracePeriod.objects.filter(ended_at__isnull=True):
            GracePeriod.objects.filter(pk=period.pk).update(opened_at=period.opened_at - AN_HOUR, expires_at=period.expires_at - AN_HOUR)


def left_behind(cast: Cast, conversations: int = 1) -> list[Conversation]:
    """What Otto holds: he went offline an hour ago."""
    rows = [cast.conversation() for _ in range(conversations)]
    with isolation.act_as(cast.tenant.pk):
        held = [allocation.claim(cast.otto.pk, row.pk) for row in rows]
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
    an_hour_passes(cast)
    return held


def returns(cast: Cast) -> Any:
    return grace.change_status(cast.otto.pk, Status.AVAILABLE, cast.tenant)


def unlocked(operator_id: int) -> OperatorStatus:
    """presence.lock, without the lock."""
    return OperatorStatus.objects.select_related("operator").get(operator_id=operator_id)


# --- leaving against getting work ----------------------------------------------------------------


def leave_in_the_middle_of_an_allocation(cast: Cast, wait: Callable[[Call], None]) -> None:
    """Otto's allocation is done but not committed when he goes offline."""
    cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        allocation.allocate_next(cast.otto.pk, cast.tenant)
        leaving = Call(acting(cast.tenant.pk, grace.change_status, cast.otto.pk, Status.OFFLINE, cast.tenant))
        wait(leaving)
    leaving.done()


def test_leaving_waits_for_an_allocation_and_opens_grace_for_it(committed: None) -> None:
    cast = assemble()

    leave_in_the_middle_of_an_allocation(cast, until_waiting)

    invariants.assert_all(cast)
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.filter(ended_at__isnull=True).count() == 1


def test_control_without_the_operators_lock_the_work_is_stranded(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "lock", unlocked)
    monkeypatch.setattr(presence, "LOCK", Statement("SELECT 1"))
    cast = assemble()

    leave_in_the_middle_of_an_allocation(cast, waits_or_ends)

    with pytest.raises(AssertionError):
        invariants.assert_all(cast)


def test_an_allocation_waits_for_a_leaving_and_is_refused(committed: None) -> None:
    cast = assemble()
    cast.conversation()

    with isolation.act_as(cast.tenant.pk):
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        call = Call(acting(cast.tenant.pk, allocation.allocate_next, cast.otto.pk, cast.tenant))
        until_waiting(call)

    assert isinstance(call.done(), OperatorNotAvailable)


def test_leaving_and_allocating_at_once_many_times_strands_nothing(committed: None) -> None:
    cast = assemble()
    ways = [
        lambda row: allocation.allocate_next(cast.otto.pk, cast.tenant),
        lambda row: allocation.claim(cast.otto.pk, row.pk),
        lambda row: allocation.assign(cast.otto.pk, row.pk, override=Override(force=True, reason="a race")),
    ]

    for attempt in range(30):
        row = cast.conversation()
        with isolation.act_as(cast.tenant.pk):
            returns(cast)
        leave = acting(cast.tenant.pk, grace.change_status, cast.otto.pk, Status.OFFLINE, cast.tenant)
        outcomes = together([leave, acting(cast.tenant.pk, ways[attempt % 3], row)])

        assert [problem for problem in outcomes if isinstance(problem, Exception) and not isinstance(problem, OperatorNotAvailable)] == []
        invariants.assert_all(cast)


# --- the clock against everybody else ------------------------------------------------------------


def expire_in_the_middle(cast: Cast, act: Callable[[], Any], wait: Callable[[Call], None]) -> expiry.Counts:
    """An act is done but not committed when the clock comes; what the clock did."""
    with isolation.act_as(cast.tenant.pk):
        act()
        coming = Call(expiry.expire_due)
        wait(coming)
    counts = coming.done()
    assert isinstance(counts, expiry.Counts), counts
    return counts


def test_who_returned_first_keeps_the_work(committed: None) -> None:
    cast = assemble()
    (held,) = left_behind(cast)

    counts = expire_in_the_middle(cast, lambda: returns(cast), until_waiting)

    assert counts == expiry.Counts()
    assert cast.again(held).assigned_operator_id == cast.otto.pk
    invariants.assert_all(cast)


def test_control_without_the_operators_lock_the_clock_takes_the_work_of_who_returned(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "hold_many", lambda ids, **_: set(ids))
    cast = assemble()
    (held,) = left_behind(cast)

    expire_in_the_middle(cast, lambda: returns(cast), waits_or_ends)

    assert cast.again(held).state == State.QUEUED


def test_control_one_update_without_a_second_look_takes_the_work_of_who_returned(committed: None) -> None:
    cast = assemble()
    (held,) = left_behind(cast)

    def in_one_update() -> None:
        with isolation.act_as(cast.tenant.pk):
            due = GracePeriod.objects.filter(ended_at__isnull=True, operator_id=cast.otto.pk).values("conversation_id")
            Conversation.objects.filter(pk__in=due).update(state=State.QUEUED, assigned_operator_id=None)

    with isolation.act_as(cast.tenant.pk):
        returns(cast)
        Call(in_one_update).done()

    assert cast.again(held).state == State.QUEUED


def test_a_return_after_the_clock_finds_the_work_gone_and_nothing_else_changed(committed: None) -> None:
    cast = assemble()
    (held,) = left_behind(cast)

    assert expiry.expire_due().released == 1
    acting(cast.tenant.pk, returns, cast)()

    assert cast.again(held).state == State.QUEUED
    invariants.assert_all(cast)


ENDS: dict[str, Callable[[Cast, Conversation], Any]] = {
    "resolved": lambda cast, row: lifecycle.resolve(row.pk, by=cast.mia),
    "reassigned": lambda cast, row: lifecycle.reassign(row.pk, cast.olga.pk),
    "deallocated": lambda cast, row: lifecycle.deallocate(row.pk, by=cast.mia),
    "moved": lambda cast, row: lifecycle.move(row.pk, cast.sales.pk, by=cast.mia),
    "reassigned to Olga, who left too": lambda cast, row: lifecycle.reassign(
        row.pk, cast.olga.pk, override=Override(force=True, reason="a race")
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_stale_deadline_ends_nothing_but_its_own_assignment(committed: None, end: str) -> None:
    cast = assemble()
    (held,) = left_behind(cast)
    if "left too" in end:
        acting(cast.tenant.pk, grace.change_status, cast.olga.pk, Status.OFFLINE, cast.tenant)()

    counts = expire_in_the_middle(cast, lambda: ENDS[end](cast, held), until_waiting)

    assert counts == expiry.Counts()
    with isolation.act_as(cast.tenant.pk):
        assert invariants.timeline(held)[-1].kind == f"conversation.{end.split()[0]}"
    invariants.assert_all(cast)


def test_control_without_the_conversations_lock_the_clock_takes_it_from_the_new_holder(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "hold_many", lambda ids, **_: set(ids))
    cast = assemble()
    (held,) = left_behind(cast)

    expire_in_the_middle(cast, lambda: ENDS["reassigned"](cast, held), waits_or_ends)

    assert cast.again(held).assigned_operator_id != cast.olga.pk


def test_two_workers_at_once_release_each_row_once(committed: None) -> None:
    cast = assemble()
    left_behind(cast, conversations=40)

    outcomes = together([lambda: expiry.expire_due(limit=7)] * 3)

    assert sum((counts.released for counts in outcomes), 0) == 40
    with isolation.act_as(cast.tenant.pk):
        assert Event.objects.filter(kind="conversation.requeued").count() == 40
        assert Event.objects.filter(kind="grace.expired").count() == 40
    invariants.assert_all(cast)


def test_returning_and_expiring_at_once_many_times_agree_on_one_winner(committed: None) -> None:
    cast = assemble()

    for _ in range(20):
        (held,) = left_behind(cast)
        outcomes = together([acting(cast.tenant.pk, returns, cast), expiry.expire_due])

        assert [problem for problem in outcomes if isinstance(problem, Exception)] == []
        assert (cast.again(held).state == State.QUEUED) == (outcomes[1].released == 1)
        invariants.assert_all(cast)
        with isolation.act_as(cast.tenant.pk):
            lifecycle.resolve(held.pk, by=cast.mia)


# --- a manager's extension against the return ----------------------------------------------------


def extend_in_the_middle_of_a_return(cast: Cast, wait: Callable[[Call], None]) -> object:
    """Otto is back, but that is not committed, when a manager gives him another half an hour; what that came to."""
    left_behind(cast)
    with isolation.act_as(cast.tenant.pk):
        period_id = GracePeriod.objects.get(ended_at__isnull=True).pk
        returns(cast)
        extending = Call(acting(cast.tenant.pk, grace.extend, period_id, 30))
        wait(extending)
    return extending.done()


def test_who_returned_has_no_deadline_to_extend(committed: None) -> None:
    cast = assemble()

    outcome = extend_in_the_middle_of_a_return(cast, until_waiting)

    assert isinstance(outcome, GraceEnded)
    with isolation.act_as(cast.tenant.pk):
        assert not Event.objects.filter(kind="grace.extended").exists()


def test_control_without_the_operators_lock_an_ended_deadline_is_extended(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "lock", unlocked)
    cast = assemble()

    outcome = extend_in_the_middle_of_a_return(cast, waits_or_ends)

    assert isinstance(outcome, GracePeriod)
    with isolation.act_as(cast.tenant.pk):
        assert Event.objects.filter(kind="grace.extended").exists()


# --- a manager's word on a deadline, against the clock and whoever ends the work ------------------


def period_of(cast: Cast) -> int:
    """The one open period."""
    with isolation.act_as(cast.tenant.pk):
        return GracePeriod.objects.get(ended_at__isnull=True).pk


def test_a_deadline_that_was_put_off_while_the_clock_waited_is_kept(committed: None) -> None:
    cast = assemble()
    (held,) = left_behind(cast)

    counts = expire_in_the_middle(cast, lambda: grace.extend(period_of(cast), 30), until_waiting)

    assert counts == expiry.Counts()
    assert cast.again(held).assigned_operator_id == cast.otto.pk


def test_control_without_a_second_look_at_the_deadline_the_clock_takes_what_was_put_off(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_deadline = "AND g.expires_at <= %(now)s"
    assert at_the_deadline in expiry.SECOND_LOOK
    monkeypatch.setattr(expiry, "SECOND_LOOK", expiry.SECOND_LOOK.replace(at_the_deadline, ""))
    cast = assemble()
    left_behind(cast)

    assert expire_in_the_middle(cast, lambda: grace.extend(period_of(cast), 30), until_waiting).released == 1


WORDS: dict[str, Callable[[Cast, int], Any]] = {
    "extend": lambda cast, period: grace.extend(period, 30),
    "expire now": lambda cast, period: grace.expire_now(period, cast.tenant, by=cast.mia),
}


def say_in_the_middle(cast: Cast, word: str, act: Callable[[], Any], wait: Callable[[Call], None]) -> Any:
    """A manager's word while an act is done but not committed; what it came to."""
    period = period_of(cast)
    with isolation.act_as(cast.tenant.pk):
        act()
        saying = Call(acting(cast.tenant.pk, WORDS[word], cast, period))
        wait(saying)
    return saying.done()


@pytest.mark.parametrize("end", ["resolved", "reassigned", "returned"])
@pytest.mark.parametrize("word", WORDS)
def test_a_managers_word_comes_too_late_for_what_ends_meanwhile(committed: None, word: str, end: str) -> None:
    cast = assemble()
    (held,) = left_behind(cast)
    act = (lambda: returns(cast)) if end == "returned" else (lambda: ENDS[end](cast, held))

    outcome = say_in_the_middle(cast, word, act, until_waiting)

    assert isinstance(outcome, GraceEnded)
    invariants.assert_all(cast)


@pytest.mark.parametrize("word", WORDS)
def test_control_without_the_conversations_lock_a_managers_word_does_not_wait_for_a_resolution(
    committed: None, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    cast = assemble()
    (held,) = left_behind(cast)
    period, unlocked_row, locked = period_of(cast), cast.again(held), queue.lock

    with isolation.act_as(cast.tenant.pk):
        ENDS["resolved"](cast, held)
        monkeypatch.setattr(queue, "lock", lambda conversation_id: unlocked_row)
        saying = Call(acting(cast.tenant.pk, WORDS[word], cast, period))
        waits_or_ends(saying)
        monkeypatch.setattr(queue, "lock", locked)

    assert not isinstance(saying.done(), GraceEnded)


def test_what_somebody_holds_delays_nothing_else_of_the_tenant_and_is_counted_as_left(committed: None) -> None:
    cast = assemble()
    rows = left_behind(cast, conversations=5)
    stuck = rows[0]

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM conversations WHERE id = %s FOR UPDATE", [stuck.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        counts = expiry.expire_due(limit=2)

    assert (counts.released, counts.left) == (4, 1)
    assert {cast.again(row).state for row in rows[1:]} == {State.QUEUED}
    assert cast.again(stuck).state == State.ALLOCATED
    assert expiry.expire_due().released == 1


def test_control_where_all_locks_are_waited_for_one_row_holds_up_the_rest(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = queue.hold_many
    monkeypatch.setattr(queue, "hold_many", lambda ids, **_: patient(ids))
    monkeypatch.setattr(expiry, "_expire_or_leave", lambda tenant_id, suspect: suspect.left)
    cast = assemble()
    rows = left_behind(cast, conversations=5)

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM conversations WHERE id = %s FOR UPDATE", [rows[0].pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '300ms'")
        counts = expiry.expire_due()

    assert (counts.released, counts.left) == (0, 5)
    assert {cast.again(row).state for row in rows} == {State.ALLOCATED}
