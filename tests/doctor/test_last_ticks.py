"""The beat's last ticks, as the doctor sees them: how old, how late, failed, killed, or never come."""

from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from convalloc.celery import app
from conversations import tasks
from conversations.doctor import machine
from conversations.doctor.findings import Finding, Verdict
from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID, Tick
from tests.doctor.conftest import installed


def tick_of(task: str) -> Finding:
    """What is found of the last tick of a task."""
    return next(finding for finding in machine.beat(app) if finding.name == f"tick {task}")


def ticked(**facts: Any) -> None:
    """As if the ticks had been so."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        assert Tick.objects.update(**facts)


@pytest.mark.parametrize(
    ("ago", "verdict"),
    [(timedelta(seconds=90), Verdict.OK), (timedelta(minutes=3), Verdict.WARN), (timedelta(minutes=10), Verdict.FAIL)],
)
def test_the_last_tick_says_how_old_it_is(ago: timedelta, verdict: Verdict, db: None) -> None:
    tasks.keep_ranks()
    ticked(began_at=Now() - ago, ended_at=Now() - ago)

    finding = tick_of("keep_ranks")

    assert finding.verdict == verdict
    assert finding.message.startswith("the last good one ended ")


@pytest.mark.parametrize(
    ("age", "verdict"), [(timedelta(seconds=20), Verdict.OK), (timedelta(minutes=3), Verdict.FAIL), (timedelta(hours=-1), Verdict.FAIL)]
)
def test_a_tick_that_never_happened_is_a_failure_unless_the_installation_is_too_young_for_one(
    age: timedelta, verdict: Verdict, db: None
) -> None:
    installed(ago=age)

    finding = tick_of("expire_grace_periods")

    assert finding.verdict == verdict
    assert ("the first is due within 60 s" if verdict == Verdict.OK else "never happened") in finding.message


def test_the_first_tick_of_a_young_installation_is_at_work_and_that_is_well(db: None) -> None:
    installed(ago=timedelta(seconds=20))
    tasks.keep_ranks()
    ticked(ended_at=None)

    assert tick_of("keep_ranks").is_fine


@pytest.mark.parametrize(("seconds", "said"), [(0, "ago"), (25, "ago, and met its oldest deadline 25 s late")])
def test_a_tick_that_had_deadlines_says_how_late_it_met_the_oldest(seconds: int, said: str, db: None) -> None:
    tasks.expire_grace_periods()
    ticked(counts={"released": 1, "late_seconds": seconds})

    finding = tick_of("expire_grace_periods")

    assert (finding.verdict, finding.message.partition(" s ")[2]) == (Verdict.OK, said)


def test_a_tick_that_met_a_deadline_more_than_two_periods_late_is_a_warning(db: None) -> None:
    tasks.expire_grace_periods()
    ticked(counts={"released": 1, "late_seconds": 121})

    finding = tick_of("expire_grace_periods")

    assert finding.verdict == Verdict.WARN
    assert "met its oldest deadline 2 min late" in finding.message


def test_a_tick_that_left_something_is_a_warning_and_says_where_to_look(db: None) -> None:
    tasks.expire_grace_periods()
    ticked(counts={"released": 1, "left": 2})

    finding = tick_of("expire_grace_periods")

    assert finding.verdict == Verdict.WARN
    assert "it left 2 for the next one" in finding.message
    assert "the worker's log" in finding.advice


def test_lateness_is_told_in_figures_too_with_the_worst_that_ever_was(db: None) -> None:
    tasks.expire_grace_periods()
    ticked(
        counts={"released": 1, "late_seconds": 7},
        totals={"released": 9, "ticks": 4},
        worst_late_seconds=300,
        worst_late_at=Now() - timedelta(hours=3),
    )

    finding = tick_of("expire_grace_periods")

    figures = finding.as_json()["figures"]
    assert (figures["late_seconds"], figures["worst_late_seconds"], figures["left"]) == (7, 300, 0)
    assert (figures["totals"], figures["worst_late_seconds_ago"]) == ({"released": 9, "ticks": 4}, 3 * 60 * 60)
    assert "the worst was 5 min late, 3 h ago" in finding.message


@pytest.mark.parametrize(
    ("ended", "verdict"), [(timedelta(minutes=2), Verdict.WARN), (timedelta(hours=3), Verdict.FAIL), (None, Verdict.FAIL)]
)
def test_a_tick_that_failed_says_so_and_where_to_look_also_in_a_young_installation(
    ended: timedelta | None, verdict: Verdict, db: None
) -> None:
    installed(ago=timedelta(seconds=20))
    tasks.keep_ranks()
    ticked(ended_at=ended and Now() - ended, failed_at=Now(), failure="LockNotAvailable")

    finding = tick_of("keep_ranks")

    assert finding.verdict == verdict
    assert finding.message.startswith("the last one failed ")
    assert " ago (LockNotAvailable); " in finding.message
    assert "the worker's log" in finding.advice


def test_a_tick_that_never_ended_is_a_failure_whenever_it_began(db: None) -> None:
    installed(ago=timedelta(days=1))
    tasks.keep_ranks()
    ticked(ended_at=None)

    finding = tick_of("keep_ranks")

    assert finding.verdict == Verdict.FAIL
    assert "never ended: it is at work, or was killed" in finding.message


def test_a_tick_that_was_killed_after_a_good_one_is_told_from_a_beat_that_does_not_ring(db: None) -> None:
    tasks.keep_ranks()
    ticked(began_at=Now() - timedelta(minutes=2), ended_at=Now() - timedelta(minutes=3))

    finding = tick_of("keep_ranks")

    assert finding.verdict == Verdict.WARN
    assert "one began 2 min ago and never ended" in finding.message
