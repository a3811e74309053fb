"""The servers of a run: a PostgreSQL of its own that really fsyncs, and the API as it is started in production."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from convalloc.embedded.postgres import Postgres
from convalloc.embedded.process import DidNotStart, free_port, launch, stop, tail, tie
from convalloc.embedded.quickstart import ready
from tests.benchmarks import scales

BASE = Path(__file__).resolve().parents[2]
START_SECONDS = 60
MAX_PAGE_LIMIT = "1000"  # so that the walk to page 10,000 takes two hundred requests and no knowledge of cursors


@dataclass
class Api:
    """The API's processes: the one that granian started as, and its workers."""

    port: int
    pid: int

    @property
    def workers(self) -> list[int]:
        """The processes that answer."""
        return sorted(scales.children(self.pid))


class Ground:
    """Everything that a run stands on, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder, durable=True)

    @property
    def postgres_pid(self) -> int:
        """The first of PostgreSQL's processes."""
        assert self.postgres.process is not None
        return self.postgres.process.pid

    def environment(self, database: str) -> dict[str, str]:
        """The settings of production, behind a proxy with TLS; the header signs in, because signing in is what is measured."""
        return {
            "DATABASE_URL": self.postgres.url("convalloc_app", database),
            "DATABASE_OWNER_URL": self.postgres.url("convalloc_owner", database),
            "REDIS_URL": "redis://127.0.0.1:1/0",  # nothing that is measured asks the broker
            "EMBEDDED_DIR": str(self.folder),
            "ENV_FILE": "",
            "DEVELOPMENT": "false",
            "SECRET_KEY": "a-benchmark-signs-nothing-" * 2,
            "OPERATOR_HEADER_AUTH": "true",
            "MAX_PAGE_LIMIT": MAX_PAGE_LIMIT,
        }

    def owner(self, database: str) -> psycopg.Connection[Any]:
        """A session of the tables' owner: row level security binds it too."""
        return psycopg.connect(self.postgres.url("convalloc_owner", database), autocommit=True)

    def create(self, database: str, *, like: str = "template1") -> None:
        """A new database, empty or with the content of another, which nobody may be using."""
        with psycopg.connect(self.postgres.url("postgres", "postgres"), autocommit=True) as superuser:
            superuser.execute(
                sql.SQL("CREATE DATABASE {} OWNER convalloc_owner TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(database), sql.Identifier(like)
                )
            )
            superuser.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO convalloc_app").format(sql.Identifier(database)))
            superuser.execute("CHECKPOINT")  # its pages are on the disk before anything is measured

    def drop(self, database: str) -> None:
        """The database is gone, whoever is still connected."""
        with psycopg.connect(self.postgres.url("postgres", "postgres"), autocommit=True) as superuser:
            superuser.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def migrate(self, database: str) -> None:
        """The product's own schema, made by its own command."""
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=BASE, env=os.environ | self.environment(database), check=True)

    @contextmanager
    def copy(self, of: str) -> Iterator[str]:
        """A copy of a database, for one benchmark: what one wears out, the next finds fresh."""
        name = f"{of}_copy"
        self.drop(name)
        self.create(name, like=of)
        try:
            yield name
        finally:
            self.drop(name)

    @contextmanager
    def api(self, database: str) -> Iterator[Api]:
        """The API on a database. Raises DidNotStart."""
        port, log = free_port(), self.folder / "log" / f"api-{database}.log"
        command = [*tie("TERM"), sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", str(scales.CORES), "--blocking-threads", blocking_threads(), "tests.benchmarks.server:application"]
        process = launch(command, log=log, env=os.environ | self.environment(database), cwd=BASE)
        try:
            deadline = time.monotonic() + START_SECONDS
            while answer := ready(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise DidNotStart(f"The API is not ready: {answer}\n{tail(log)}")
                time.sleep(0.1)
            yield Api(port, process.pid)
        finally:
            stop(process, (signal.SIGTERM, 10))


def blocking_threads() -> str:
    """As many as docker-compose.yml gives each worker."""
    (threads,) = re.findall(r"--blocking-threads (\d+)", (BASE / "docker-compose.yml").read_text())
    return str(threads)
