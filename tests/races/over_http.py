"""The stage of the races over HTTP: the API's processes as in production, and callers who are released at one instant."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar

import orjson

from operators.models import Operator
from tests import production
from tests.conftest import Answer
from tests.races.crowd import PATIENCE_SECONDS

PRODUCT = "convalloc.wsgi:application"
WITHOUT_LOCKS = "tests.races.without_locks:application"
LOCKS_TURNED = "tests.races.locks_turned:application"
WORKERS = 2
THREADS = 12  # of each worker; more than in production, so that more transactions meet

Outcome = TypeVar("Outcome")


@contextmanager
def served(application: str, folder: Path, name: str = "api") -> Iterator[int]:
    """The port of a WSGI application, answered from processes of its own on the database of the tests; `name` is that of its sessions."""
    environment = os.environ | production.SETTINGS | {"PGAPPNAME": name}
    with production.serve(application, environment=environment, log=folder / "api.log", workers=WORKERS, threads=THREADS) as api:
        yield api.port


class Caller:
    """A keep-alive connection, and who calls through it unless told otherwise. For one thread."""

    def __init__(self, port: int, operator: Operator) -> None:
        self.operator = operator
        self._line = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        self._line.connect()

    def call(self, method: str, path: str, body: Any = None, as_: Operator | None = None) -> Answer:
        """One call under /api/v1; the body goes as JSON."""
        headers = production.BEHIND_THE_PROXY | {"X-Operator-Id": str((as_ or self.operator).pk), "Content-Type": "application/json"}
        self._line.request(method, f"/api/v1{path}", None if body is None else orjson.dumps(body), headers)
        response = self._line.getresponse()
        raw = response.read()
        return Answer(response.status, orjson.loads(raw), response.headers, raw)

    def post(self, path: str, **body: Any) -> Answer:
        """POST with a body of these fields."""
        return self.call("POST", path, body)

    def close(self) -> None:
        """Hang up."""
        self._line.close()


@contextmanager
def callers(port: int, operators: Sequence[Operator]) -> Iterator[list[Caller]]:
    """A connection for each of these, all of them open."""
    connected = [Caller(port, operator) for operator in operators]
    try:
        yield connected
    finally:
        for caller in connected:
            caller.close()


def released(acts: Sequence[Callable[[], Outcome]]) -> list[Outcome]:
    """The outcomes of acts that start at the same instant, each in a thread of its own. Raises what one of them raised."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], Outcome]) -> Outcome:
        barrier.wait(PATIENCE_SECONDS)
        return act()

    with ThreadPoolExecutor(len(acts)) as threads:
        return list(threads.map(run, acts))
