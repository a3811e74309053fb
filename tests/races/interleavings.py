"""Every order in which the steps of several transactions can follow each other, each run from a fresh start.

A step ends where another transaction could come in between: before a statement that locks, before the first one that writes,
and before the transaction ends. Which order comes next is decided here, and nothing is left to time: that a transaction waits
for another one is known from pg_blocking_pids, and it goes on by itself, within the other's step, as soon as that one has ended.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.races.crowd import PATIENCE_SECONDS
from tests.races.guards import LOCKING, spell_out, unlocked

WRITING = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE \S+( \w+)?\s+SET)\b")
LOOKING = re.compile(r"\s*SELECT\b.*\bFROM\b", re.DOTALL)
BLOCKED = "SELECT bool_and(cardinality(pg_blocking_pids(pid)) > 0) FROM unnest(%s::int[]) pid"

Acts = Mapping[str, Callable[[], Any]]


class Abandoned(Exception):
    """The order was not run to its end: what is under way is rolled back."""


class Session:
    """An act on a connection of its own, which pauses between its steps."""

    def __init__(self, act: Callable[[], Any], *, locking: bool) -> None:
        self._act, self._locking = act, locking
        self._go, self._resting = threading.Semaphore(0), threading.Event()
        self._looked = self._wrote = False
        self.outcome: Any = None
        self.over = self.abandoned = False
        self.pid = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._resting.wait(PATIENCE_SECONDS)

    @property
    def resting(self) -> bool:
        """Between two steps, or after the last one."""
        return self._resting.is_set()

    def step(self) -> None:
        """Go on, up to the next pause."""
        self._resting.clear()
        self._go.release()

    def rest(self, seconds: float) -> bool:
        """Whether it comes to rest within so many seconds."""
        return self._resting.wait(seconds)

    def _run(self) -> None:
        connection = connections[DEFAULT_DB_ALIAS]  # this thread's own
        try:
            connection.ensure_connection()
            self.pid = connection.connection.info.backend_pid
            spell_out(connection)
            self._pause_before_the_end_of_transactions(connection)
            connection.execute_wrappers.append(self._pause_before_statements)
            if not self._locking:
                connection.execute_wrappers.append(unlocked)
            self._pause()
            self.outcome = self._act()
        except Exception as problem:
            self.outcome = problem
        finally:
            connection.close()
            self.over = True
            self._resting.set()

    def _pause(self) -> None:
        self._resting.set()
        if not self._go.acquire(timeout=PATIENCE_SECONDS) or self.abandoned:
            raise Abandoned

    def _pause_before_statements(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        locks, writes = bool(LOCKING.search(sql)), bool(WRITING.search(sql))
        if self._looked and (locks or (writes and not self._wrote)):
            self._pause()
        self._looked |= locks or writes or bool(LOOKING.match(sql))
        self._wrote |= writes
        return execute(sql, *rest)

    def _pause_before_the_end_of_transactions(self, connection: BaseDatabaseWrapper) -> None:
        def paused(end: Callable[[], None]) -> Callable[[], None]:
            def wait_and_end() -> None:
                if self._wrote:
                    self._pause()
                self._looked = self._wrote = False
                end()

            return wait_and_end

        connection.commit = paused(connection.commit)  # type: ignore[method-assign]
        connection.rollback = paused(connection.rollback)  # type: ignore[method-assign]


class Run:
    """One order: who took each step, and what came of it."""

    def __init__(self, acts: Acts, watcher: psycopg.Connection, *, locking: bool) -> None:
        self._watcher = watcher
        self.sessions = {name: Session(act, locking=locking) for name, act in acts.items()}
        self.order: tuple[str, ...] = ()

    @property
    def ready(self) -> list[str]:
        """Who can take the next step: not those who wait for a lock, nor those who are done."""
        return [name for name, session in self.sessions.items() if session.resting and not session.over]

    @property
    def outcomes(self) -> dict[str, Any]:
        """What each act returned or raised."""
        return {name: session.outcome for name, session in self.sessions.items()}

    def step(self, name: str) -> None:
        """Let one of them go on, until everybody rests or waits for a lock."""
        self.order += (name,)
        self.sessions[name].step()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while running := [session for session in self.sessions.values() if not session.resting]:
            assert time.monotonic() < deadline, f"it neither waits nor ends: {self.order}"
            if running[0].rest(0.002) or len(running) == len(self._alive()):
                continue  # when all wait for each other, PostgreSQL ends one of them
            if self._watcher.execute(BLOCKED, [[session.pid for session in running]]).fetchone() == (True,):
                break

    def abandon(self) -> None:
        """Let nobody keep a lock after a failure."""
        for session in self._alive():
            session.abandoned = True
            session.step()

    def _alive(self) -> list[Session]:
        return [session for session in self.sessions.values() if not session.over]


def every_order(stage: Callable[[], Acts], *, locking: bool = True) -> Iterator[Run]:
    """Depth first over every choice of who goes on next; `stage` sets the scene anew and returns the acts by name."""
    beginnings: list[tuple[str, ...]] = [()]
    while beginnings:
        run, others = one_order(stage(), beginnings.pop(), locking=locking)
        beginnings += others
        yield run


def one_order(acts: Acts, beginning: tuple[str, ...], *, locking: bool = True) -> tuple[Run, list[tuple[str, ...]]]:
    """The order that begins so, and goes on with whoever comes first and can; and the beginnings of those not gone into."""
    others: list[tuple[str, ...]] = []
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as watcher:
        run = Run(acts, watcher, locking=locking)
        try:
            while ready := run.ready:
                taken = len(run.order)
                if taken < len(beginning):
                    assert beginning[taken] in ready, f"the same steps led elsewhere: {run.order}, then {ready}"
                    run.step(beginning[taken])
                else:
                    others += [(*run.order, other) for other in ready[1:]]
                    run.step(ready[0])
        finally:
            run.abandon()
    return run, others
