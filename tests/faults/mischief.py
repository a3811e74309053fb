"""What goes wrong while the clients work. Each is begun and ended by itself: afterwards nothing needs a hand but time.

A fault is entered when it has struck, and what it is entered with is what a bystander saw the moment before; it is left when
it is undone. It tells nobody that it struck: that is for tests.faults.evidence to find.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random
from typing import NamedTuple

from tests.faults.sight import Session, Sight, alive, look
from tests.faults.stack import PATIENCE_SECONDS, TICK_SECONDS, Stack

# Longer than a session may idle within a transaction: what a frozen process has locked is free again before it goes on.
FROZEN_SECONDS = 4.2
SHORTLY_SECONDS = 0.7
EVERYTHING = "SELECT FROM conversations WHERE tenant_id = %s ORDER BY id FOR NO KEY UPDATE"
AT_WORK = "FROM pg_stat_activity WHERE usename = 'convalloc_app' AND state <> 'idle' ORDER BY random() LIMIT 1"


class Target(NamedTuple):
    """What it is done to."""

    stack: Stack
    tenant_id: int
    luck: Random
    resets: Callable[[], None]  # clients break off their calls

    def look(self) -> Sight:
        """What there is to see now."""
        return look(self.stack)


Fault = Callable[[Target], AbstractContextManager[Sight]]


@contextmanager
def kill_a_worker_of_the_api(target: Target) -> Iterator[Sight]:
    """SIGKILL; the server starts another."""
    with in_the_middle(target, lambda sight: sight.api) as (aim, victim):
        os.kill(aim.sessions[victim], signal.SIGKILL)
        target.stack.until(lambda: not alive([aim.sessions[victim]]))
    yield aim


@contextmanager
def freeze_a_worker_of_the_api(target: Target) -> Iterator[Sight]:
    """SIGSTOP, and later SIGCONT: it goes on as if nothing had happened."""
    with in_the_middle(target, lambda sight: sight.api) as (aim, victim):
        os.kill(aim.sessions[victim], signal.SIGSTOP)
    outlast(target, victim)
    yield aim
    os.kill(aim.sessions[victim], signal.SIGCONT)


@contextmanager
def kill_celery(target: Target) -> Iterator[Sight]:
    """Worker and beat, in the middle of what is due; somebody starts others."""
    programs = (target.stack.worker, target.stack.beat)
    with in_the_middle(target, lambda sight: sight.celery) as (aim, _):
        for program in programs:
            program.kill()
    time.sleep(SHORTLY_SECONDS)
    yield aim
    for program in programs:
        program.start()


@contextmanager
def freeze_celery(target: Target) -> Iterator[Sight]:
    """Worker and beat, in the middle of what is due. They go on as if nothing had happened."""
    programs = (target.stack.worker, target.stack.beat)
    with in_the_middle(target, lambda sight: sight.celery) as (aim, victim):
        for program in programs:
            program.freeze()
    outlast(target, victim)
    yield aim
    for program in programs:
        program.thaw()


@contextmanager
def crash_the_database(target: Target) -> Iterator[Sight]:
    """As by `pg_ctl stop -m immediate`; then it recovers."""
    aim = target.look()
    target.stack.crash_database()
    time.sleep(SHORTLY_SECONDS)
    yield aim
    target.stack.start_database()


@contextmanager
def end_a_session(target: Target) -> Iterator[Sight]:
    """Some of those that are at work, wherever they are; and one in the middle of a transaction."""
    for _ in range(4):
        target.stack.command(f"SELECT pg_terminate_backend(pid) {AT_WORK}")
        time.sleep(SHORTLY_SECONDS / 5)
    with in_the_middle(target, lambda sight: sight.api) as (aim, victim):
        target.stack.command("SELECT pg_terminate_backend(%s, 5000)", victim.pid)
    yield aim


@contextmanager
def kill_a_session(target: Target) -> Iterator[Sight]:
    """SIGKILL to one of them in the middle of a transaction: PostgreSQL cuts off all the others, and recovers by itself."""
    with in_the_middle(target, lambda sight: sight.api) as (aim, victim):
        os.kill(victim.pid, signal.SIGKILL)
    yield aim
    target.stack.until(lambda: target.stack.command("SELECT 1"))


@contextmanager
def kill_the_broker(target: Target) -> Iterator[Sight]:
    """What it held is gone."""
    aim = await_listeners(target)
    target.stack.kill_broker()
    time.sleep(SHORTLY_SECONDS)
    yield aim
    target.stack.valkey.start()


@contextmanager
def flush_the_broker(target: Target) -> Iterator[Sight]:
    """It forgets, and runs on."""
    aim = await_listeners(target)
    with target.stack.broker() as broker:
        broker.flushall()
    yield aim


@contextmanager
def freeze_the_broker(target: Target) -> Iterator[Sight]:
    """It accepts, and answers nothing, until after the beat has rung at least once."""
    aim = await_listeners(target)
    target.stack.freeze_broker()
    time.sleep(TICK_SECONDS)
    yield aim
    target.stack.thaw_broker()


@contextmanager
def reset_connections(target: Target) -> Iterator[Sight]:
    """Clients go away in the middle of their calls."""
    aim = target.look()
    target.resets()
    yield aim


ALL: tuple[Fault, ...] = (
    kill_a_worker_of_the_api,
    freeze_a_worker_of_the_api,
    kill_celery,
    freeze_celery,
    crash_the_database,
    end_a_session,
    kill_a_session,
    kill_the_broker,
    flush_the_broker,
    freeze_the_broker,
    reset_connections,
)


# --- aiming -------------------------------------------------------------------------------------------


@contextmanager
def in_the_middle(target: Target, whose: Callable[[Sight], frozenset[int]]) -> Iterator[tuple[Sight, Session]]:
    """In here every writer of the tenant stands at a lock: what was seen of them, and a session of one of these processes.

    Where none of them comes by in the time of a tick or two, everybody may go on for a moment before it is tried again.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with target.stack.locked(EVERYTHING, target.tenant_id):
            if found := stands_there(target, whose, time.monotonic() + 1.5 * TICK_SECONDS):
                yield found
                return
        time.sleep(SHORTLY_SECONDS)
    raise AssertionError("nobody came by the lock")


def stands_there(target: Target, whose: Callable[[Sight], frozenset[int]], until: float) -> tuple[Sight, Session] | None:
    """Somebody at the lock, at last."""
    while time.monotonic() < until:
        sight = target.look()
        at_the_lock = sorted(session for session in sight.waiting if sight.sessions[session] in whose(sight))
        if at_the_lock:
            return sight, target.luck.choice(at_the_lock)
        time.sleep(0.05)
    return None


def outlast(target: Target, victim: Session) -> None:
    """Wait until the database has ended this session of somebody who stands still."""
    time.sleep(FROZEN_SECONDS)
    target.stack.until(lambda: victim not in target.look().sessions)


def await_listeners(target: Target) -> Sight:
    """The broker with a worker at it: after what went wrong before, that one may still be on its way."""
    seen = list[Sight]()

    def are_there() -> bool:
        seen.append(target.look())
        return seen[-1].listeners > 0 and seen[-1].keys > 0

    target.stack.until(are_there)
    return seen[-1]
