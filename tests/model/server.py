"""The API as a process of its own, on the database of the tests, and a line to it."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson
import redis

from convalloc.embedded.process import DidNotStart, free_port, launch, stop, tail, tie
from convalloc.embedded.quickstart import GENTLY_API, ready

BASE = Path(__file__).resolve().parents[2]
START_SECONDS = 60


class Line:
    """One keep-alive connection to the API."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, caller: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and parsed body of one call under /api/v1."""
        headers = {"X-Operator-Id": str(caller), "Content-Type": "application/json"}
        self._connection.request(method, f"/api/v1{path}", None if body is None else orjson.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, orjson.loads(answer.read())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class Bell:
    """What the API sends to its workers: a broker's database of the test's own, where no worker listens."""

    def __init__(self) -> None:
        self.url = f"{os.environ['REDIS_URL'].rpartition('/')[0]}/1"
        self._broker: Any = redis.from_url(self.url)

    def rung(self) -> list[str]:
        """The calls of tasks that were sent since the last time."""
        calls = []
        while message := self._broker.rpop("celery"):
            headers = orjson.loads(message)["headers"]
            calls.append(headers["task"] + headers["argsrepr"])
        return calls


@contextmanager
def api(folder: Path, broker: str) -> Iterator[Line]:
    """The API, with its log in `folder`. Raises DidNotStart."""
    port, log = free_port(), folder / "api.log"
    command = [*tie("TERM"), sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    process = launch(
        [*command, "--blocking-threads", "1", "convalloc.wsgi:application"], log=log, env=os.environ | {"REDIS_URL": broker}, cwd=BASE
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while answer := ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"The API is not ready: {answer}\n{tail(log)}")
            time.sleep(0.05)
        with closing(Line(port)) as line:
            yield line
    finally:
        stop(process, GENTLY_API)
