"""What PostgreSQL writes down of statements that fail: not what they were about. The server is the tests' own, and so is its log."""

import os
from pathlib import Path

import psycopg
import pytest

from tests.servers import superuser

FAILS = "DO $$ BEGIN RAISE EXCEPTION 'no such thing' USING DETAIL = 'Key (number)=({number}) is not there'; END $$"


def log_of_the_server() -> Path:
    """Beside its data: convalloc.embedded.postgres."""
    with psycopg.connect(superuser()) as session:
        row = session.execute("SHOW data_directory").fetchone()
    assert row is not None
    return Path(row[0]).parents[1] / "log" / "postgres.log"


@pytest.mark.parametrize(("url", "quoted"), [("DATABASE_URL", False), ("DATABASE_OWNER_URL", True)], ids=["the API", "control: the owner"])
def test_a_statement_that_fails_leaves_no_number_in_the_servers_log(url: str, quoted: bool, committed: None) -> None:
    number = "+1202555" + os.urandom(4).hex()
    log = log_of_the_server()

    with psycopg.connect(os.environ[url], autocommit=True) as session, pytest.raises(psycopg.errors.RaiseException):
        session.execute(FAILS.format(number=number).encode())

    assert (number in log.read_text(errors="replace")) == quoted
