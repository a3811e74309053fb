"""What has a deadline does not wait for what only has an order: seen with real workers, while two long rankings stand still."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from convalloc.celery import DEADLINES, RANKING, app
from conversations.states import State
from tests.conftest import Cast, assemble
from tests.conversations.test_tasks import ROOT, WORKER, overdue, running, until
from tests.servers import superuser

TIMEKEEPER = [*WORKER, "--queues", DEADLINES, "--hostname", "timekeeper@%h"]


def database() -> str:
    """The tests' own, of this process."""
    return os.environ["DATABASE_URL"].rpartition("/")[2]


@pytest.fixture
def patient(committed: None) -> Iterator[None]:
    """Whoever waits for a lock waits for as long as the test does; and nothing is left in the broker by others."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as broker:
        broker.flushdb()
    with psycopg.connect(superuser(), autocommit=True) as postgres:
        postgres.execute(f"ALTER ROLE convalloc_app IN DATABASE {database()} SET lock_timeout = '60s'".encode())
        yield
        postgres.execute(f"ALTER ROLE convalloc_app IN DATABASE {database()} RESET lock_timeout".encode())


def at_a_lock() -> int:
    """How many sessions of this database stand at one."""
    with psycopg.connect(superuser()) as postgres:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        ((number,),) = postgres.execute(asked, [database()]).fetchall()
        return int(number)


def deadlines_that_wait() -> int:
    """How many messages wait in their queue."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as broker:
        return int(broker.llen(DEADLINES))


@contextmanager
def rankings_that_stand_still(log: Path, queue: str, workers: int) -> Iterator[None]:
    """Two tenants have other weights, and so many workers are at them: they wait for the tenants' rows."""
    tenants = [assemble().tenant.pk for _ in range(2)]
    with psycopg.connect(superuser()) as postgres:
        postgres.execute("UPDATE tenants SET weights_version = weights_version + 1 WHERE id = ANY (%s)", [tenants])
        postgres.commit()
        postgres.execute("SELECT FROM tenants WHERE id = ANY (%s) FOR NO KEY UPDATE", [tenants])
        for tenant_id in tenants:
            app.send_task("conversations.tasks.rank_anew", [tenant_id], queue=queue)
        until(lambda: at_a_lock() == workers, log)
        yield
        assert at_a_lock() == workers
        postgres.rollback()


def is_kept(cast: Cast, held: object) -> bool:
    """Whether the deadline was."""
    return bool(cast.again(held).state == State.QUEUED)


def test_rankings_go_to_their_own_queue_and_what_the_beat_rings_for_to_the_other_but_for_ranks() -> None:
    queues = {
        "rank_anew": RANKING,
        "keep_ranks": RANKING,
        "erase_old": RANKING,
        "forget_events": RANKING,
        "expire_grace_periods": DEADLINES,
        "declare_lost": DEADLINES,
    }

    routed = {name: app.amqp.router.route({}, f"conversations.tasks.{name}")["queue"].name for name in queues}

    assert routed == queues
    assert app.amqp.router.route({}, "operators.tasks.sweep")["queue"].name == RANKING


def test_a_deadline_is_kept_while_queues_are_ranked_anew(patient: None, tmp_path: Path) -> None:
    cast, log = assemble(), tmp_path / "worker.log"
    held = overdue(cast)

    with running(log, *WORKER), running(tmp_path / "timekeeper.log", *TIMEKEEPER), rankings_that_stand_still(log, RANKING, workers=1):
        app.send_task("conversations.tasks.expire_grace_periods")
        until(lambda: is_kept(cast, held), tmp_path / "timekeeper.log")


@pytest.mark.parametrize(("lacks", "queue", "workers"), [("a worker of their own", RANKING, 1), ("a queue of their own", DEADLINES, 2)])
def test_control_deadlines_wait_for_the_ranking_where_they_lack(
    lacks: str, queue: str, workers: int, patient: None, tmp_path: Path
) -> None:
    cast, log = assemble(), tmp_path / "worker.log"
    held = overdue(cast)

    with ExitStack() as started:
        for number, command in enumerate([WORKER, TIMEKEEPER][:workers]):
            started.enter_context(running(log if number == 0 else tmp_path / "timekeeper.log", *command))
        with rankings_that_stand_still(log, queue, workers):
            app.send_task("conversations.tasks.expire_grace_periods")

            assert deadlines_that_wait() == 1
        until(lambda: is_kept(cast, held), log)


def test_a_worker_on_a_queue_that_nobody_fills_does_not_start() -> None:
    command = [sys.executable, *WORKER, "--queues", "dead-lines"]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode != 0
    assert "dead-lines" in ended.stdout + ended.stderr
