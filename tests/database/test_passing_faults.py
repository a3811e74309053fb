"""What PostgreSQL says when it is away, busy or half awake is a 503 that says when to ask again; what a bug makes it say is a 500."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from tests.conftest import Api, Cast
from tests.contract import witness

LATER = witness.refusal(503, "unavailable", "The service is busy or its database is away: try again")
PASSING = {
    "08000": "connection exception",
    "08006": "connection failure",
    "08P01": "protocol violation: how PgBouncer says that it has no session to give",
    "25006": "read only transaction: a standby that has not taken over yet",
    "25P03": "idle for too long in a transaction",
    "25P04": "a transaction that took too long",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "55P03": "lock timeout",
    "57014": "statement timeout",
    "57P01": "the administrator ended the session",
    "57P02": "another session crashed the server",
    "57P03": "the server starts, or stops",
    "57P05": "idle for too long",
    "58030": "input or output failed",
    "58P01": "a file of the server is gone",
}
BUGS = {
    "0A000": "not supported",
    "22012": "division by zero",
    "25001": "a transaction is open already",
    "42501": "not permitted to this role",
    "42P01": "no such table",
    "55000": "not in the right state",
    "P0001": "raised by a function",
    "XX000": "internal error",
    "XX001": "data corrupted",
}


def raising(sqlstate: str) -> Callable[..., Any]:
    """A wrapper for the statements of a connection: PostgreSQL answers each of them with this error, but what leads out of it."""
    fault = f"DO $$ BEGIN RAISE EXCEPTION 'a fault' USING ERRCODE = '{sqlstate}'; END $$"

    def fail(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any) -> Any:
        return execute(sql, parameters, many, context) if "SAVEPOINT" in sql else execute(fault, None, False, context)

    return fail


@pytest.mark.parametrize("sqlstate", PASSING)
def test_a_fault_that_passes_is_503_with_retry_after_and_changes_nothing(cast: Cast, api: type[Api], sqlstate: str) -> None:
    row = cast.conversation()

    with witness.untouched(cast), connection.execute_wrapper(raising(sqlstate)):
        answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert witness.said(answer) == LATER
    assert answer.headers["Retry-After"] == "1"
    assert api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk).data["id"] == row.pk


@pytest.mark.parametrize("sqlstate", BUGS)
def test_what_only_a_bug_can_make_it_say_is_500_and_logged(
    cast: Cast, api: type[Api], caplog: pytest.LogCaptureFixture, sqlstate: str
) -> None:
    cast.conversation()

    with witness.untouched(cast), connection.execute_wrapper(raising(sqlstate)):
        answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert witness.said(answer) == witness.refusal(500, "internal_error", "Internal server error")
    assert "Retry-After" not in answer.headers
    assert [record.levelname for record in caplog.records if record.name == "django.request" and record.exc_info] == ["ERROR"]
