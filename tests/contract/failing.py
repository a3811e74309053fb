"""One act again and again, with a fault in the place of its first statement, of its second, and so on, and the last time with none."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from django.db import connection

FAULTS = {
    "refused": "DO $$ BEGIN RAISE EXCEPTION 'a fault' USING ERRCODE = 'query_canceled'; END $$",
    "connection lost": "SELECT pg_terminate_backend(pg_backend_pid())",
}


class Failing:
    """A wrapper for the statements of a connection: in place of one of them, a fault."""

    def __init__(self, place: int, fault: str, *, keeping: bool = False) -> None:
        self.left, self.fault, self.keeping = place, fault, keeping

    @property
    def has_struck(self) -> bool:
        """Whether there were so many statements."""
        return self.left <= 0

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            if self.keeping:
                connection.connection.commit()  # for the control: what was done before is not undone
            with connection.wrap_database_errors:
                return connection.connection.execute(self.fault)
        return execute(sql, *rest)


def faults(fault: str, ask: Callable[[], Any], look: Callable[[], Any], *, keeping: bool = False) -> Iterator[tuple[Any, Any]]:
    """Each time its answer, and what there is to see afterwards."""
    for place in count(1):
        failing = Failing(place, FAULTS[fault], keeping=keeping)
        with connection.execute_wrapper(failing):
            answer = ask()
        yield answer, look()
        if not failing.has_struck:
            return
