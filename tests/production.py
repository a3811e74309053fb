"""What production starts and how, read from docker-compose.yml; and the API so, by convalloc.server, behind a proxy with TLS."""

import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from convalloc.embedded.process import DidNotStart, free_port, launch, stop, tail, tie
from convalloc.embedded.quickstart import ready

BASE = Path(__file__).resolve().parents[1]
COMMANDS: dict[str, list[str]] = {
    name: service["command"]
    for name, service in yaml.safe_load((BASE / "docker-compose.yml").read_text())["services"].items()
    if "command" in service
}
# Name to value, where .env says nothing else.
POSTGRES_SETTINGS = dict(re.findall(r"(\w+)=(?:\$\{\w+:-)?(\w+)", " ".join(COMMANDS["postgres"])))
START_SECONDS = 60
# The header signs in: who proves to be whom is another test's affair. Nothing here needs the broker.
SETTINGS = {
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "ENV_FILE": "",
    "DEVELOPMENT": "false",
    "SECRET_KEY": "what-runs-here-signs-nothing-" * 2,
    "OPERATOR_HEADER_AUTH": "true",
    "SHUTDOWN_DELAY_SECONDS": "0",
    "TRUSTED_PROXIES": "1",
    "RATE_LIMIT_ADDRESS": "0",  # a crowd of the tests comes from one address
    "RATE_LIMIT_CALLER": "0",
    "RATE_LIMIT_TENANT": "0",
}
BEHIND_THE_PROXY = {"Host": "127.0.0.1", "X-Forwarded-Proto": "https"}


@dataclass
class Api:
    """The API's processes: the one that was started has the pid; its workers are its children."""

    port: int
    pid: int


@contextmanager
def serve(application: str, *, environment: Mapping[str, str], log: Path, workers: int, threads: int) -> Iterator[Api]:
    """A WSGI application of this checkout, as `module:name`, with so many threads in each worker. Raises DidNotStart."""
    port = free_port()
    command = [*tie("TERM"), sys.executable, "-m", "convalloc.server", "--port", str(port)]
    command += ["--workers", str(workers), "--blocking-threads", str(threads), application]
    process = launch(command, log=log, env=dict(environment), cwd=BASE)
    try:
        deadline = time.monotonic() + START_SECONDS
        while answer := ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"The API is not ready: {answer}\n{tail(log)}")
            time.sleep(0.1)
        yield Api(port, process.pid)
    finally:
        stop(process, (signal.SIGTERM, 10))
