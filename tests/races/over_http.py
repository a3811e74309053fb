"""The stage of the races over HTTP: the API's processes as in production, and callers who are released at one instant."""

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psycopg

from operators.models import Operator
from tests import production
from tests.conftest import Answer
from tests.races.crowd import PATIENCE_SECONDS

PRODUCT = "convalloc.wsgi:application"
WITHOUT_LOCKS = "tests.races.without_locks:application"
LOCKS_TURNED = "tests.races.locks_turned:application"
AN_HOUR_OFF = "tests.races.an_hour_off:application"
WORKERS = 2
THREADS = 12  # of each worker; more than in production, so that more transactions meet

Outcome = TypeVar("Outcome")


@contextmanager
def served(application: str, folder: Path) -> Iterator[int]:
    """The port of a WSGI application, answered from processes of its own on the database of the tests; `folder` is its alone.

    At the end its sessions have ended too: until then PostgreSQL does not count what they ran into.
    """
    environment = os.environ | production.SETTINGS | {"PGAPPNAME": folder.name[:60]}
    with production.serve(application, environment=environment, log=folder / "api.log", workers=WORKERS, threads=THREADS) as api:
        yield api.port
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s"
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as watcher:
        while watcher.execute(sessions, [environment["PGAPPNAME"]]).fetchone() != (0,):
            assert time.monotonic() < deadline, "the server ended, its sessions did not"
            time.sleep(0.01)


class Caller:
    """A keep-alive connection, and who calls through it unless told otherwise. For one thread."""

    def __init__(self, port: int, operator: Operator, patience: float = PATIENCE_SECONDS) -> None:
        self.operator = operator
        self._line = socket.create_connection(("127.0.0.1", port), timeout=patience)

    def call(self, method: str, path: str, body: Any = None, as_: Operator | None = None) -> Answer:
        """One call under /api/v1; the body goes as JSON."""
        self.send(method, path, body, as_)
        return self.receive(method)

    def send(self, method: str, path: str, body: Any = None, as_: Operator | None = None, **headers: str) -> None:
        """Ask."""
        payload = b"" if body is None else orjson.dumps(body)
        facts = {"X-Operator-Id": (as_ or self.operator).pk, "Content-Type": "application/json", "Content-Length": len(payload)} | headers
        head = "".join(f"{name}: {value}\r\n" for name, value in (production.BEHIND_THE_PROXY | facts).items())
        self._line.sendall(f"{method} /api/v1{path} HTTP/1.1\r\n{head}\r\n".encode() + payload)

    def receive(self, method: str) -> Answer:
        """Wait for the answer to what was asked."""
        with closing(HTTPResponse(self._line, method=method)) as response:
            response.begin()
            raw = response.read()
        return Answer(response.status, orjson.loads(raw), response.headers, raw)

    def post(self, path: str, **body: Any) -> Answer:
        """POST with a body of these fields."""
        return self.call("POST", path, body)

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def reset(self) -> None:
        """Break off without a goodbye: the other end hears of a reset."""
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
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
