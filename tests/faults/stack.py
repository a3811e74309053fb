"""The product on servers of its own: database, broker, API, worker and beat, any of which a test may kill and start again.

The commands of worker and beat are those of docker-compose.yml, and the API's is the one that it calls; only the beat rings
every two seconds instead of every minute. PostgreSQL is durable here: what it has acknowledged must survive its crash.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
from django.db import connection

from convalloc.embedded.postgres import Postgres
from convalloc.embedded.process import free_port, tail
from convalloc.embedded.quickstart import ready
from convalloc.embedded.valkey import Valkey
from tests import production
from tests.faults.program import Program, children

PATIENCE_SECONDS = 60.0  # until something that must happen has happened; no test measures it
TICK_SECONDS = 2


class Stack:
    """Everything, in one folder. `start_servers` first; then each program by itself, or `heal` for all that is not running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder)
        self.valkey = Valkey(folder)
        self.port = free_port()
        self.programs: list[Program] = []

    def start_servers(self) -> None:
        """PostgreSQL with the product's tables, and Valkey: each on a port that it keeps for good."""
        self.postgres.start()
        self.valkey.start()
        self.environment = os.environ | production.SETTINGS | {
            "DATABASE_URL": self.postgres.url("convalloc_app"),
            "DATABASE_OWNER_URL": self.postgres.url("convalloc_owner"),
            "REDIS_URL": self.valkey.url(),
            "TICK_SECONDS": str(TICK_SECONDS),
            "TMPDIR": str(self.folder),  # who is killed leaves things behind
        }  # fmt: skip
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=production.BASE, env=self.environment, check=True)
        self.api = self.program("api", self._api(self.port))
        self.worker = self.program("worker", [sys.executable, "-m", *production.COMMANDS["worker"], "--concurrency", "2"])
        self.beat, self.second_beat = (self.program(name, self._beat(name)) for name in ("beat", "second beat"))

    def program(self, name: str, command: list[str]) -> Program:
        """A program of the product on these servers, which does not run yet."""
        self.programs.append(Program(name, command, self.environment, self.folder / "log"))
        return self.programs[-1]

    def start_api(self, name: str, *application: str, **environment: str) -> int:
        """One more API, of this application if it is not the product's; its port, which it answers on."""
        port = free_port()
        self.program(name, [*self._api(port), *application]).start(**environment)
        self.until(lambda: ready(port) == "")
        return port

    def _api(self, port: int) -> list[str]:
        return [sys.executable, *production.COMMANDS["api"][1:3], "--port", str(port), "--workers", "2"]

    def _beat(self, name: str) -> list[str]:
        words = [sys.executable, "-m", *production.COMMANDS["beat"]]
        words[words.index("--schedule") + 1] = str(self.folder / f"schedule of {name}")
        return words

    def stop(self) -> None:
        """End everything, whatever a test has left."""
        for program in self.programs:
            program.kill()
        self.valkey.stop()
        self.postgres.stop()

    # --- the database -------------------------------------------------------------------------------

    def crash_database(self) -> None:
        """What `pg_ctl stop -m immediate` does: every session is cut off, nothing is written down; the next start recovers."""
        assert self.postgres.process is not None
        self.postgres.process.send_signal(signal.SIGQUIT)
        self.postgres.process.wait(PATIENCE_SECONDS)
        self.postgres.process = None

    @contextmanager
    def database_frozen(self) -> Iterator[None]:
        """SIGSTOP to every process of it: the kernel takes connections and acknowledges what is sent, and nothing is answered."""
        assert self.postgres.process is not None
        postmaster = self.postgres.process.pid
        processes = [postmaster, *children(postmaster)]  # each of them leads a group of its own

        def tell(signum: signal.Signals) -> None:
            for pid in processes:
                with suppress(ProcessLookupError):  # autovacuum's workers come and go
                    os.kill(pid, signum)

        tell(signal.SIGSTOP)
        try:
            yield
        finally:
            tell(signal.SIGCONT)

    def start_database(self) -> None:
        """Start it again where it was; it answers when this returns."""
        self.postgres.start()
        connection.close()  # the tests' own

    def command(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement of the superuser, committed; its rows."""
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as superuser:
            done = superuser.execute(statement.encode(), values)
            return done.fetchall() if done.description else []

    def cut_sessions(self) -> int:
        """End every session of the runtime role; how many there were. They are gone when this returns."""
        sessions = "FROM pg_stat_activity WHERE usename = 'convalloc_app'"
        connection.close()  # the tests' own
        found = self.command(f"SELECT pg_terminate_backend(pid, 10000) {sessions}")
        return len(found)

    @contextmanager
    def role_limited(self, limit: str, back: str) -> Iterator[None]:
        """The runtime role altered, for its next sessions; afterwards altered back. Sessions of before are cut off, both times."""
        self.command(f"ALTER ROLE convalloc_app {limit}")
        self.cut_sessions()
        try:
            yield
        finally:
            self.command(f"ALTER ROLE convalloc_app {back}")
            self.cut_sessions()

    @contextmanager
    def locked(self, statement: str, *values: Any) -> Iterator[None]:
        """What the statement locks, locked by a session that only holds on to it."""
        with psycopg.connect(self.postgres.url("postgres")) as superuser:
            superuser.execute(statement.encode(), values)
            yield
            with suppress(psycopg.OperationalError):  # a server that fell over in here has let go by itself
                superuser.rollback()

    def await_waiting(self, statement: str, sessions: int = 1) -> None:
        """Return once so many sessions wait for a lock in the middle of a statement that contains this."""
        found = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%' || %s || '%%'"
        self.until(lambda: self.command(found, statement)[0][0] >= sessions)

    @contextmanager
    def as_the_tests_database(self) -> Iterator[None]:
        """In here Django and the environment of the tests themselves mean this database."""
        before, address = dict(connection.settings_dict), os.environ["DATABASE_URL"]
        connection.close()
        parts = psycopg.conninfo.conninfo_to_dict(self.postgres.url("convalloc_app"))
        connection.settings_dict |= {
            "NAME": parts["dbname"],
            **{name.upper(): parts[name] for name in ("user", "password", "host", "port")},
        }
        os.environ["DATABASE_URL"] = self.postgres.url("convalloc_app")
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict.update(before)
            os.environ["DATABASE_URL"] = address

    # --- the broker ---------------------------------------------------------------------------------

    def kill_broker(self) -> None:
        """SIGKILL: what it held is gone."""
        assert self.valkey.process is not None
        self.valkey.process.kill()
        self.valkey.process.wait()
        self.valkey.process = None

    def freeze_broker(self) -> None:
        """SIGSTOP: connections are accepted by the kernel, and nothing is answered. `heal` lets it go on."""
        assert self.valkey.process is not None
        self.valkey.process.send_signal(signal.SIGSTOP)

    def thaw_broker(self) -> None:
        """Let it go on."""
        assert self.valkey.process is not None
        self.valkey.process.send_signal(signal.SIGCONT)

    def broker(self) -> redis.Redis:
        """A client of the broker."""
        return redis.Redis.from_url(self.valkey.url())

    # --- all of it ----------------------------------------------------------------------------------

    def heal(self, *programs: Program) -> None:
        """Start what does not run: the servers, these programs, and wait for the API if it is one of them. The others are killed."""
        if self.postgres.process is None:
            self.start_database()
        if self.valkey.process is None:
            self.valkey.start()
        self.thaw_broker()
        for program in self.programs:
            if program not in programs:
                program.kill()
            elif not program.runs:
                program.start()
        if self.api in programs:
            self.until(lambda: ready(self.port) == "")

    def await_worker(self) -> None:
        """Return once the worker takes tasks."""
        self.until(lambda: " ready." in self.worker.said())

    def until(self, happened: Callable[[], object]) -> None:
        """Return once it happened. Fails, with the logs, when it does not; what cannot be asked has not happened."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(OSError, psycopg.OperationalError):
                if happened():
                    return
            logs = "\n".join(program.tail() for program in self.programs if program.log.exists())
            assert time.monotonic() < deadline, f"it never happened\n{logs}\ndatabase:\n{tail(self.postgres.log)}"
            time.sleep(0.05)
