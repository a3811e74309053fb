"""Many callers at once: threads with connections of their own, and a neighbour who holds locks for as long as the test wants."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from tenants import isolation

PATIENCE_SECONDS = 60.0


class Call:
    """One act in a thread of its own; its outcome is what it returned, or the exception that it raised."""

    def __init__(self, act: Callable[[], Any], start: threading.Barrier | None = None) -> None:
        self._act = act
        self._start = start
        self.outcome: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            connection.ensure_connection()
            if self._start:
                self._start.wait(PATIENCE_SECONDS)
            self.outcome = self._act()
        except Exception as problem:
            self.outcome = problem
        finally:
            connection.close()

    def done(self) -> Any:
        """Its outcome, once it is there."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the call never came back"
        return self.outcome

    @property
    def is_done(self) -> bool:
        """Whether the outcome is there already."""
        return not self._thread.is_alive()


def together(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """The outcomes of acts that start at the same instant, in their order."""
    start = threading.Barrier(len(acts))
    calls = [Call(act, start) for act in acts]
    return [call.done() for call in calls]


def until_waiting(call: Call) -> None:
    """Return once some session waits for a lock. Fails when the call came back without waiting."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 10
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as watcher:  # of its own: a transaction sees it frozen
        while watcher.execute(waiting).fetchone() == (0,):
            assert not call.is_done, f"nothing held it up: {call.outcome!r}"
            assert time.monotonic() < deadline, "it neither waits nor ends"
            time.sleep(0.01)


def waits_or_ends(call: Call) -> None:
    """Return once the call waits for a lock or is done: for controls, whose guard is gone."""
    try:
        until_waiting(call)
    except AssertionError:
        assert call.is_done


@contextmanager
def neighbour(tenant_id: int) -> Iterator[psycopg.Connection]:
    """Another session of the runtime role, acting as this tenant in an open transaction; rolled back at the end."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as session:
        session.execute(f"SET LOCAL app.tenant_id = '{tenant_id}'")
        yield session
        session.rollback()


def acting(tenant_id: int, act: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[[], Any]:
    """An act as a transaction of this tenant, to be called later."""

    def run() -> Any:
        with isolation.act_as(tenant_id):
            return act(*arguments, **named)

    return run
