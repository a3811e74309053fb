"""What goes wrong while the clients work. Each is begun and ended by itself: afterwards nothing needs a hand but time."""

import os
import signal
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from tests.faults.stack import TICK_SECONDS, Stack

# Longer than a session may idle within a transaction: what a frozen process has locked is free again before it goes on.
FROZEN_SECONDS = 4.5
SHORTLY_SECONDS = 0.7
EVERYTHING = "SELECT FROM conversations WHERE tenant_id = %s ORDER BY id FOR NO KEY UPDATE"


class Target(NamedTuple):
    """What it is done to."""

    stack: Stack
    tenant_id: int
    luck: Random
    resets: Callable[[], None]  # clients break off their calls


Fault = Callable[[Target], None]


def kill_a_worker_of_the_api(target: Target) -> None:
    """SIGKILL; the server starts another."""
    in_the_middle(target, lambda pid: os.kill(pid, signal.SIGKILL))


def freeze_a_worker_of_the_api(target: Target) -> None:
    """SIGSTOP, and later SIGCONT: it goes on as if nothing had happened."""
    pid = in_the_middle(target, lambda pid: os.kill(pid, signal.SIGSTOP))
    time.sleep(FROZEN_SECONDS)
    os.kill(pid, signal.SIGCONT)


def in_the_middle(target: Target, fault: Callable[[int], None]) -> int:
    """Do it to one of the API's processes in the middle of a transaction: every writer of the tenant stands at a lock. Its pid."""
    stack = target.stack
    with stack.locked(EVERYTHING, target.tenant_id):
        stack.await_waiting("conversations")
        pid = target.luck.choice(stack.api.children())
        fault(pid)
    return pid


def kill_celery(target: Target) -> None:
    """Worker and beat; somebody starts others."""
    for program in (target.stack.worker, target.stack.beat):
        program.kill()
    time.sleep(SHORTLY_SECONDS)
    for program in (target.stack.worker, target.stack.beat):
        program.start()


def freeze_celery(target: Target) -> None:
    """Worker and beat: where something is due, in the middle of its release. They go on as if nothing had happened."""
    programs = (target.stack.worker, target.stack.beat)
    with target.stack.locked(EVERYTHING, target.tenant_id):
        time.sleep(TICK_SECONDS)
        for program in programs:
            program.freeze()
    time.sleep(FROZEN_SECONDS)
    for program in programs:
        program.thaw()


def crash_the_database(target: Target) -> None:
    """As by `pg_ctl stop -m immediate`; then it recovers."""
    target.stack.crash_database()
    time.sleep(SHORTLY_SECONDS)
    target.stack.start_database()


def end_a_session(target: Target) -> None:
    """Of those that are at work."""
    busy = "FROM pg_stat_activity WHERE usename = 'convalloc_app' AND state <> 'idle' ORDER BY random() LIMIT 1"
    for _ in range(5):
        target.stack.command(f"SELECT pg_terminate_backend(pid) {busy}")
        time.sleep(SHORTLY_SECONDS / 5)


def kill_a_session(target: Target) -> None:
    """SIGKILL to one of them, best in the middle of its work: PostgreSQL cuts off all the others, and recovers by itself."""
    stack = target.stack
    sessions = "FROM pg_stat_activity WHERE usename = 'convalloc_app' ORDER BY state <> 'idle' DESC, random() LIMIT 1"
    for (pid,) in stack.command(f"SELECT pid {sessions}"):
        os.kill(pid, signal.SIGKILL)
        time.sleep(SHORTLY_SECONDS)
    stack.until(lambda: stack.command("SELECT 1"))


def kill_the_broker(target: Target) -> None:
    """What it held is gone."""
    target.stack.kill_broker()
    time.sleep(SHORTLY_SECONDS)
    target.stack.valkey.start()


def flush_the_broker(target: Target) -> None:
    """It forgets, and runs on."""
    with target.stack.broker() as broker:
        broker.flushall()


def freeze_the_broker(target: Target) -> None:
    """It accepts, and answers nothing."""
    target.stack.freeze_broker()
    time.sleep(2 * SHORTLY_SECONDS)
    target.stack.thaw_broker()


def reset_connections(target: Target) -> None:
    """Clients go away in the middle of their calls."""
    target.resets()


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
