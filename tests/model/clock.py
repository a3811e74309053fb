"""The database's clock in the hand of the test: it stands still until the test moves it, for everybody who connects.

Every decision of the product rests on PostgreSQL's clock, asked for by unqualified names. In this one database, a schema
ahead of pg_catalog answers to those names. The hand-moved time is in the past, because the lookup of tenants with due
grace, whose search_path is fixed, still hears the real clock: it finds every tenant whose grace is due, and some too early.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
from django.db import connection
from psycopg import sql

DAWN = datetime(2020, 1, 5, 18, tzinfo=UTC)  # a Sunday's evening: the next day and the next week are near
FUNCTIONS = ("clock_timestamp", "statement_timestamp", "transaction_timestamp", "now")


class Clock:
    """What time it is."""

    def __init__(self, owner: psycopg.Connection) -> None:
        self._owner = owner

    def stand_at(self, instant: datetime) -> None:
        """From now on it is this instant."""
        self._owner.execute("UPDATE hand_moved.clock SET at = %s", [instant])


@contextmanager
def in_hand() -> Iterator[Clock]:
    """The database's clock, for sessions that begin inside."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("CREATE SCHEMA hand_moved")
        try:
            owner.execute("CREATE TABLE hand_moved.clock (at timestamptz NOT NULL)")
            owner.execute("INSERT INTO hand_moved.clock VALUES (%s)", [DAWN])
            for name in FUNCTIONS:
                owner.execute(f"CREATE FUNCTION hand_moved.{name}() RETURNS timestamptz STABLE RETURN (SELECT at FROM hand_moved.clock)")
            owner.execute("GRANT USAGE ON SCHEMA hand_moved TO convalloc_app")
            owner.execute("GRANT SELECT ON hand_moved.clock TO convalloc_app")
            _look_first_in(owner, "hand_moved, public, pg_catalog")
            yield Clock(owner)
        finally:
            _look_first_in(owner, None)
            owner.execute("DROP SCHEMA hand_moved CASCADE")


def _look_first_in(owner: psycopg.Connection, path: str | None) -> None:
    """Where sessions of this database that begin from now on look for names; None: as always."""
    database = sql.Identifier(owner.info.dbname)
    change = sql.SQL("RESET search_path" if path is None else f"SET search_path = {path}")
    owner.execute(sql.SQL("ALTER DATABASE {} {}").format(database, change))
    connection.close()
