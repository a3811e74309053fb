"""Statements that a session plans once.

PostgreSQL plans a statement anew each time it comes as text; for the pick of a queue that costs more than to run it.
A statement of this kind is prepared under a name that follows from its text, and from then on only the name travels.

Behind a pooler that hands another session to each transaction (PgBouncer's transaction mode) a name would mean nothing
the next time. Such a pooler answers in the server's place, and is known by a process id that is not the server's own:
there the text travels, as it would without this file. Source: PostgreSQL's documentation, PREPARE; PgBouncer's, features.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection

PARAMETER = re.compile(r"%\((\w+)\)s")
# Left to itself, PostgreSQL would plan it anew five times, and then go on: it guesses that this pays. Not a setting of the role,
# because the database's own checks of foreign keys would then keep the plan that was right when a table was empty.
ONE_PLAN, AS_EVER = ("SET LOCAL plan_cache_mode = force_generic_plan", "SET LOCAL plan_cache_mode = auto")

# What each session has prepared; None: there is a pooler in between.
_names: WeakKeyDictionary[psycopg.Connection[Any], set[str] | None] = WeakKeyDictionary()


class Statement:
    """A statement with named parameters, `%(name)s`, whose types follow from its text: say `::bigint` where they do not."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.columns: list[str] | None = None  # known once it has run
        self.parameters = list(dict.fromkeys(PARAMETER.findall(text)))
        numbered = PARAMETER.sub(lambda found: f"${self.parameters.index(found[1]) + 1}", text).replace("%%", "%")
        self.name = f"once_{hashlib.sha256(numbered.encode()).hexdigest()[:16]}"
        self.prepare = f"PREPARE {self.name} AS {numbered}"
        values = f" ({', '.join(f'%({name})s' for name in self.parameters)})" if self.parameters else ""
        self.execute = f"EXECUTE {self.name}{values}"


def message(*statements: Statement) -> str:
    """What to send so that these run one after another, in one round trip; its parameters are all of theirs.

    Inside a transaction. A statement that the session does not know yet is prepared first, beside what is counted or logged.
    """
    session = connection.connection
    assert session is not None, "a transaction is open, hence a session"
    with connection.wrap_database_errors:  # what the session says, it says past Django
        if session not in _names:
            _names[session] = set() if _is_the_server(session) else None
        known = _names[session]
        if known is None:
            return "; ".join(statement.text for statement in statements)
        for statement in statements:
            if statement.name not in known:
                session.execute(statement.prepare)
                known.add(statement.name)
    return "; ".join([ONE_PLAN, *(statement.execute for statement in statements), AS_EVER])


def rows(statement: Statement, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run one statement inside the open transaction: its rows, by the names of their columns."""
    with connection.cursor() as cursor:
        cursor.execute(message(statement), parameters)
        return answer(cursor, statement)


def answer(cursor: Any, last: Statement) -> list[dict[str, Any]]:
    """The rows of the last statement of a message that has any, by the names of their columns."""
    found: list[tuple[Any, ...]] = []
    while True:
        if cursor.pgresult.nfields:  # cheaper to ask than cursor.description, which spells out every column
            found = cursor.fetchall()
            if last.columns is None:
                columns = [column.name for column in cursor.description]
        if not cursor.nextset():
            break
    if last.columns is None:
        last.columns = columns
    return [dict(zip(last.columns, values, strict=True)) for values in found]


def _is_the_server(session: psycopg.Connection[Any]) -> bool:
    (pid,) = session.execute("SELECT pg_backend_pid()").fetchone() or (None,)
    return bool(pid == session.info.backend_pid)
