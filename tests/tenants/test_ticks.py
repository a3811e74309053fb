"""The beat's log: a doubled beat does the work once, a tick that died blocks nothing, and nobody's clock but the database's counts."""

from datetime import timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import DataError, OperationalError, connection

from convalloc import clock
from conversations import allocation, expiry, grace, tasks
from conversations.models import GracePeriod
from operators.models import Status
from tenants import isolation, ticks
from tenants.models import PLATFORM_TENANT_ID, Tick
from tests.conftest import assemble
from tests.operators.test_leases import silent_for, with_leases
from tests.operators.test_outages import the_last_tick_was
from tests.races.crowd import together
from tests.servers import superuser

WITHOUT_COMPARING = ticks.BEGIN.replace("NOT BETWEEN", "IS NOT NULL OR t.began_at BETWEEN")


class Work:
    """Something to do, which counts how often it was done."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, int]:
        self.times += 1
        return {"done": self.times}


def row() -> Tick:
    with isolation.act_as(PLATFORM_TENANT_ID):
        return Tick.objects.get()


def age(**by: float) -> None:
    """As if the tick had begun so much earlier."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        Tick.objects.update(began_at=Tick.objects.get().began_at - timedelta(**by))


def die() -> dict[str, int]:
    raise KeyError("in the middle")


def be_killed() -> dict[str, int]:
    raise SystemExit


def lose_the_session() -> dict[str, int]:
    with connection.cursor() as cursor:  # in no transaction: at the end of one Django takes another session by itself
        with psycopg.connect(superuser(), autocommit=True) as postgres:
            cursor.execute("SELECT pg_backend_pid()")
            postgres.execute("SELECT pg_terminate_backend(%s, 10000)", cursor.fetchone())
        cursor.execute("SELECT 1")
    raise AssertionError("the session lives")


def test_a_tick_writes_down_when_it_began_and_ended_and_what_it_counted(db: None) -> None:
    assert ticks.once("sweep", Work()) == {"done": 1}

    written = row()
    assert (written.task, written.counts) == ("sweep", {"done": 1})
    assert written.ended_at is not None
    assert written.began_at <= written.ended_at


@pytest.mark.parametrize("late", [0, 90])
def test_a_tick_that_had_deadlines_writes_down_how_late_it_was_with_the_oldest(late: int, db: None) -> None:
    ticks.once("sweep", lambda: {"done": 1, "late_seconds": late})

    assert ticks.last("sweep", clock.now()).late == timedelta(seconds=late)


def test_a_tick_of_work_without_deadlines_is_never_late(db: None) -> None:
    ticks.once("sweep", Work())

    assert ticks.last("sweep", clock.now()).late == timedelta()


def test_a_second_ring_within_a_quarter_of_a_period_does_nothing_and_the_next_one_does_the_work(db: None) -> None:
    work = Work()
    ticks.once("sweep", work)

    assert ticks.once("sweep", work) == {}
    age(seconds=settings.TICK_SECONDS / 4 - 5)
    assert ticks.once("sweep", work) == {}
    age(seconds=10)
    assert ticks.once("sweep", work) == {"done": 2}

    assert row().counts == {"done": 2}


def test_a_beat_that_came_half_a_period_late_does_not_cost_the_punctual_one_after_it(db: None) -> None:
    ticks.once("sweep", Work())
    age(seconds=settings.TICK_SECONDS / 2 - 2)

    assert ticks.once("sweep", Work()) == {"done": 1}


def test_tasks_do_not_stand_in_each_others_way(db: None) -> None:
    assert ticks.once("sweep", Work()) == ticks.once("mop", Work()) == {"done": 1}


def test_a_tick_that_failed_writes_down_that_it_did_and_blocks_nothing_when_the_beat_rings_again(committed: None) -> None:
    with pytest.raises(KeyError):
        ticks.once("sweep", die)
    written = row()
    assert (written.ended_at, written.failure) == (None, "KeyError")
    assert written.failed_at is not None
    age(seconds=settings.TICK_SECONDS)

    assert ticks.once("sweep", Work()) == {"done": 1}

    assert row().failure == ""


def test_a_failure_is_no_end_nobody_may_conclude_from_it_that_the_work_was_done(committed: None) -> None:
    ticks.once("sweep", Work())
    ended_at = row().ended_at
    age(seconds=settings.TICK_SECONDS)

    with pytest.raises(KeyError):
        ticks.once("sweep", die)

    assert (row().ended_at, row().counts) == (ended_at, {"done": 1})


def test_an_outage_in_which_ticks_could_begin_but_failed_is_one_all_the_same_and_takes_nobody(committed: None) -> None:
    cast = assemble()
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 601)
    the_last_tick_was(timedelta(minutes=10))
    with pytest.raises(KeyError):
        ticks.once("declare_lost", die)
    age(seconds=settings.TICK_SECONDS)

    assert tasks.declare_lost()["lost"] == 0


def test_a_tick_that_cannot_write_down_its_end_has_failed(committed: None) -> None:
    with pytest.raises(DataError):
        ticks.once("sweep", lambda: {"late_seconds": 2**40})

    assert (row().failure, row().ended_at) == ("DataError", None)


def test_what_ticks_counted_is_added_up_and_the_latest_of_them_is_remembered(db: None) -> None:
    for late in (5, 70, 0):
        ticks.once("sweep", lambda late=late: {"done": 2, "late_seconds": late})  # type: ignore[misc]
        age(seconds=settings.TICK_SECONDS)

    last = ticks.last("sweep", clock.now())

    assert last.totals == {"done": 6, "late_seconds": 75, "ticks": 3}
    assert (last.late, last.worst) == (timedelta(), timedelta(seconds=70))
    assert last.worst_ago is not None
    assert last.ended is not None
    assert last.worst_ago > last.ended


def test_who_asks_by_hand_gets_the_work_also_where_a_tick_began_a_moment_ago(db: None) -> None:
    work = Work()

    counted = [ticks.by_hand("sweep", work) for _ in range(2)]

    assert counted == [{"done": 1}, {"done": 2}]
    assert row().totals == {"done": 3, "ticks": 2}


def test_a_killed_tick_is_told_from_one_that_failed(committed: None) -> None:
    ticks.once("sweep", Work())
    assert not ticks.last("sweep", clock.now()).is_open
    age(seconds=settings.TICK_SECONDS)

    with pytest.raises(SystemExit):  # nothing of a killed process is heard either
        ticks.once("sweep", be_killed)

    assert (ticks.last("sweep", clock.now()).is_open, row().failure) == (True, "")
    age(seconds=settings.TICK_SECONDS)
    with pytest.raises(KeyError):
        ticks.once("sweep", die)
    assert not ticks.last("sweep", clock.now()).is_open


def test_a_failure_is_written_down_though_the_session_is_lost(committed: None) -> None:
    with pytest.raises(OperationalError):
        ticks.once("sweep", lose_the_session)

    assert row().failure == "OperationalError"


def test_with_the_database_away_the_first_failure_is_the_one_that_is_raised(
    committed: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lose_the_database() -> dict[str, int]:
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "PASSWORD", "wrong")
        return die()

    with pytest.raises(KeyError):
        ticks.once("sweep", lose_the_database)

    monkeypatch.undo()
    assert (row().failure, row().ended_at) == ("", None)
    assert "could not be written down" in caplog.text


def test_a_database_whose_clock_was_set_back_goes_on_at_once(db: None) -> None:
    ticks.once("sweep", Work())
    age(hours=-1)

    assert ticks.once("sweep", Work()) == {"done": 1}


def rounds_of_eight_beats(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What eight workers, who got the same tick at the same instant, did about a conversation that is due."""
    cast, counted = assemble(), list[str]()
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, cast.conversation().pk)
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        GracePeriod.objects.update(opened_at="2020-01-01T00:00:00Z", expires_at="2020-01-01T00:01:00Z")
    expire_due = expiry.expire_due

    def counting(until: float) -> expiry.Counts:
        counted.append("a round")
        return expire_due(until=until)

    monkeypatch.setattr(expiry, "expire_due", counting)

    outcomes = together([tasks.expire_grace_periods] * 8)

    assert sum(outcome.get("released", 0) for outcome in outcomes) == 1, outcomes
    return counted


@pytest.mark.parametrize("begun_before", [False, True])
def test_of_eight_doubled_beats_one_does_the_work(begun_before: bool, committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if begun_before:
        tasks.expire_grace_periods()
        age(seconds=settings.TICK_SECONDS)

    assert rounds_of_eight_beats(monkeypatch) == ["a round"]


def test_without_comparing_every_one_does_it(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(ticks, "BEGIN", WITHOUT_COMPARING)

    assert len(rounds_of_eight_beats(monkeypatch)) == 8
