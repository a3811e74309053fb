"""The beat's tasks through a real worker and a real beat, on the broker and the database of the tests."""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from celery import current_app

from convalloc import clock, rhythm
from convalloc.celery import app
from conversations import allocation, grace, tasks
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators.models import Status
from tenants import isolation, ticks
from tenants.models import Event, Tenant
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.operators.test_leases import silent_for, with_leases

ROOT = Path(__file__).resolve().parents[2]
WORKER = ["-m", "celery", "-A", "convalloc", "worker", "--pool", "solo", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
BEAT_EVERY_SECOND = """
from convalloc.celery import Every, app
for entry in app.conf.beat_schedule.values():
    entry["schedule"] = Every(1)
app.Beat(schedule="{schedule}", loglevel="INFO").run()
"""
# What Celery takes for the time of its host, once there is a file of this name.
SET_BACK = """
import os
from datetime import timedelta
from celery import Celery
told = Celery.now
Celery.now = lambda app: told(app) - timedelta(hours=1) * os.path.exists("{set_back}")
"""


@contextmanager
def running(log: Path, *arguments: str) -> Iterator[None]:
    """A Python process on the tests' servers, with its output in `log`; ended by its id."""
    with log.open("wb") as output:
        child = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=dict(os.environ), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
        assert child.poll() is None, log.read_text()
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def until(happened: Callable[[], bool], log: Path, seconds: float = 40) -> None:
    """Return once it happened. Fails with the log when it does not."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def overdue(cast: Cast) -> Conversation:
    """What Otto holds, who went offline an hour ago."""
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        held = allocation.claim(cast.otto.pk, row.pk)
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        period = GracePeriod.objects.get()
        GracePeriod.objects.update(opened_at=period.opened_at - timedelta(hours=1), expires_at=period.expires_at - timedelta(hours=1))
    return held


def test_a_worker_releases_what_is_overdue_and_ten_deliveries_release_it_once(committed: None, tmp_path: Path) -> None:
    cast, log = assemble(), tmp_path / "worker.log"
    held = overdue(cast)

    with running(log, *WORKER):
        for _ in range(10):
            app.send_task("conversations.tasks.expire_grace_periods")
        until(lambda: log.read_text().count("succeeded") >= 10 if log.exists() else False, log)

    assert cast.again(held).state == State.QUEUED
    with isolation.act_as(cast.tenant.pk):
        assert [event.kind for event in invariants.timeline(held)].count("conversation.requeued") == 1
        assert Event.objects.filter(kind="grace.expired").count() == 1
    invariants.assert_all(cast)


def test_beat_and_worker_together_expire_and_rank_without_anybody_asking(committed: None, tmp_path: Path) -> None:
    cast = assemble()
    held, waiting = overdue(cast), cast.conversation(minutes_ago=10)
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(delay_cap_minutes=5, weights_version=2)
    worker_log, beat_log = tmp_path / "worker.log", tmp_path / "beat.log"

    with (
        running(worker_log, *WORKER),
        running(beat_log, "-c", BEAT_EVERY_SECOND.format(schedule=tmp_path / "schedule")),
    ):
        until(lambda: cast.again(held).state == State.QUEUED and cast.again(cast.tenant).ranked_version == 2, worker_log)

    assert cast.again(waiting).saturated
    invariants.assert_all(cast)


@contextmanager
def set_back(folder: Path, code: str) -> Iterator[Callable[[], int]]:
    """A beat that has rung, and whose clock was then set back by an hour; how often it has rung since."""
    log, switch = folder / "beat.log", folder / "set back"

    def rings() -> int:
        return log.read_text().count("declare_lost)") if log.exists() else 0

    with running(log, "-c", SET_BACK.format(set_back=switch) + code.format(schedule=folder / "schedule")):
        until(lambda: rings() > 0, log)
        switch.touch()
        before = rings()
        yield lambda: rings() - before


def test_a_beat_whose_clock_is_set_back_by_an_hour_rings_on(tmp_path: Path) -> None:
    with set_back(tmp_path, BEAT_EVERY_SECOND) as rings:
        until(lambda: rings() > 3, tmp_path / "beat.log")


def test_control_celerys_own_intervals_are_silent_for_that_hour(tmp_path: Path) -> None:
    with set_back(tmp_path, BEAT_EVERY_SECOND.replace("Every(1)", "1.0")) as rings:
        time.sleep(6)

        assert rings() <= 1


@pytest.mark.parametrize(
    ("ago", "due"), [(timedelta(), False), (timedelta(seconds=59), False), (timedelta(seconds=61), True), (timedelta(hours=-1), True)]
)
def test_a_ring_is_due_a_period_after_the_last_one_and_where_that_was_in_another_life(ago: timedelta, due: bool) -> None:
    every = pickle.loads(pickle.dumps(rhythm.Every(60)))

    assert every.is_due(rhythm.steady() - ago).is_due == due


def test_the_beat_table_names_every_task_but_the_one_that_a_change_of_weights_sends() -> None:
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}

    assert {entry["task"] for entry in app.conf.beat_schedule.values()} == ours - {"conversations.tasks.rank_anew"}


WITHOUT_A_DEADLINE = {"operators.tasks.sweep", "conversations.tasks.erase_old", "conversations.tasks.forget_events"}


def test_every_tick_comes_within_a_minute_and_none_expires_by_a_clock_that_is_not_the_databases() -> None:
    for entry in app.conf.beat_schedule.values():
        assert entry["schedule"].seconds <= 60 or entry["task"] in WITHOUT_A_DEADLINE
        assert "options" not in entry


def test_shared_tasks_run_on_the_projects_app() -> None:
    assert current_app.main == "convalloc"


def test_a_task_that_the_api_sends_goes_to_the_broker_of_the_settings() -> None:
    ask = "import convalloc.wsgi; from conversations.tasks import rank_anew; print(rank_anew.app.conf.broker_url)"

    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == os.environ["REDIS_URL"]


@pytest.mark.parametrize("task", ["declare_lost", "expire_grace_periods", "keep_ranks", "erase_old", "forget_events"])
def test_a_task_answers_with_counts(db: None, task: str) -> None:
    counts = getattr(tasks, task)()

    assert set(counts.values()) == {0}


@pytest.mark.parametrize("task", ["declare_lost", "expire_grace_periods"])
def test_a_task_that_has_deadlines_tells_how_late_it_was_with_the_oldest(committed: None, task: str) -> None:
    cast = assemble()
    overdue(cast)
    with_leases(cast, 60)
    silent_for(cast, cast.olga, 60 + 50 * 60)

    getattr(tasks, task)()

    late = ticks.last(task, clock.now()).late
    assert timedelta(minutes=45) <= late < timedelta(minutes=52)
