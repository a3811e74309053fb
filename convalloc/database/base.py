"""Sessions that give up. Django wants the backend in a file of this name.

Who has asked something waits until the server answers. Its statement_timeout sees to it that it does; but a server, or one
process of it, that is frozen (SIGSTOP, a paused machine, a disk that hangs) keeps no time, and TCP notices nothing, because the
kernel goes on to acknowledge what is sent. So the session keeps the time as well, a little longer. It ends then, and is
gone for good: an answer that comes later would be taken for that of the next question.
"""

from types import SimpleNamespace
from typing import Any, TypeVar

import psycopg
from django.db.backends.postgresql import base
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout

LOOK_SECONDS = 3  # for whether the session is still there, which is asked before it is used again; as long as a new one may take

Answer = TypeVar("Answer")


class Session(psycopg.Connection[Any]):
    """A session that is lost when an answer takes longer than its patience."""

    patience: float | None = None  # seconds; None: without end

    def wait(self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        """What every question goes through, BEGIN and COMMIT too. Raises OperationalError, as for any session that is lost."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience)
        except _WaitTimeout as problem:
            self.close()
            raise psycopg.OperationalError(f"the server has not answered for {self.patience} seconds: session given up") from problem


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with such sessions. `ANSWER_SECONDS` beside `ENGINE` is their patience."""

    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": Session.connect})  # psycopg, but for what it connects with

    def get_new_connection(self, conn_params: dict[str, Any]) -> Session:
        """As patient as the settings say."""
        session: Session = super().get_new_connection(conn_params)
        session.patience = self.settings_dict["ANSWER_SECONDS"]
        return session

    def is_usable(self) -> bool:
        """Whether the session answers, and soon."""
        session, patience = self.connection, self.connection.patience
        session.patience = patience and LOOK_SECONDS
        try:
            return super().is_usable()
        finally:
            session.patience = patience
