"""A process stands still in the middle of an act, and goes on when PostgreSQL has given up on it."""

import os
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import connection

from conversations.states import State
from tests.conftest import Api, Cast, assemble
from tests.conversations import invariants
from tests.faults.asking import LATER, told
from tests.races.crowd import PATIENCE_SECONDS


def stands_still_before(word: str) -> Callable[..., Any]:
    """A wrapper for the statements of a connection: the first one with this word is sent when the session has been ended for idling."""
    stops = iter([word])

    def execute_later(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        if word in sql and next(stops, None):
            execute("SET LOCAL idle_in_transaction_session_timeout = '10ms'", None, False, context)
            await_the_end_of(connection.connection.info.backend_pid)
        return execute(sql, parameters, many, context)

    return execute_later


def await_the_end_of(pid: int) -> None:
    """Return once there is no such session."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as watcher:
        while watcher.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() != (0,):
            assert time.monotonic() < deadline, "it idles for ever"
            time.sleep(0.01)


@pytest.mark.parametrize("word", ["FOR NO KEY UPDATE", "UPDATE", "INSERT"])
def test_nothing_was_done_and_the_answer_says_try_again(committed: None, api: type[Api], word: str) -> None:
    cast: Cast = assemble()
    row = cast.conversation()

    with connection.execute_wrapper(stands_still_before(word)):
        answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk)

    assert told(answer) == LATER
    assert cast.again(row).state == State.QUEUED
    assert api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk).status == 200
    invariants.assert_all(cast)
