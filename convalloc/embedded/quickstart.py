"""Everything on one machine: the servers, migrations, demo data, the API, a worker and beat; started, watched, ended.

The start goes upwards, the end downwards: API, worker and beat, Valkey, PostgreSQL. Everything listens on 127.0.0.1.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from convalloc.embedded import address_book
from convalloc.embedded.postgres import Postgres
from convalloc.embedded.process import DidNotStart, launch, stop, tail, tie
from convalloc.embedded.relay import Relay
from convalloc.embedded.valkey import Valkey

READY_SECONDS = 60  # for the API's first answer on a slow machine
WATCH_SECONDS = 0.2
GENTLY = (signal.SIGTERM, 5.0)  # seconds to finish a task: what is cut off is taken up again at the next start
GENTLY_API = (signal.SIGTERM, 10.0)  # granian gives its requests 5 seconds, then ends its own workers


@dataclass
class Quickstart:
    """One run of everything.

    base: the folder of manage.py. folder: the embedded servers' data and every log. port: TCP, the API's.
    reload: the API restarts when a source file changes. parent: the process that started us, when its death ends
    everything; None when it does not matter. say: prints a line for a person.
    """

    base: Path
    folder: Path
    port: int
    reload: bool
    parent: int | None
    say: Callable[[str], None]
    env: dict[str, str] = field(default_factory=dict)
    children: dict[str, tuple[subprocess.Popen[bytes], Path]] = field(default_factory=dict)
    _down: ExitStack = field(default_factory=ExitStack)

    def start_servers(self) -> None:
        """PostgreSQL and Valkey, each unless the environment names one. Raises DidNotStart."""
        self.env = os.environ | {"DEVELOPMENT": os.environ.get("DEVELOPMENT") or "true", "PORT": str(self.port)}
        addresses: dict[str, str] = {}
        address_book.erase(self.folder)  # a killed run's
        if not self.env.get("DATABASE_URL"):
            postgres = Postgres(self.folder)
            self._down.callback(postgres.stop)
            postgres.start()
            self._watch("PostgreSQL", postgres.process, postgres.log)
            addresses |= {"DATABASE_URL": postgres.url("convalloc_app"), "DATABASE_OWNER_URL": postgres.url("convalloc_owner")}
        if not self.env.get("REDIS_URL"):
            valkey = Valkey(self.folder)
            self._down.callback(valkey.stop)
            valkey.start()
            self._watch("Valkey", valkey.process, valkey.log)
            addresses |= {"REDIS_URL": valkey.url()}
        self.env |= addresses
        self._down.callback(address_book.erase, self.folder)
        address_book.write(self.folder, addresses)

    def step(self, command: str) -> None:
        """Run one of manage.py's commands to its end. Raises DidNotStart with the end of its log."""
        began = time.monotonic()
        log = self._log(command)
        child = launch([*tie("TERM"), sys.executable, "manage.py", command], log=log, env=self.env, cwd=self.base)
        try:
            while child.poll() is None:
                self._check()
                time.sleep(0.02)
        finally:
            stop(child, GENTLY)
        if child.returncode != 0:
            raise DidNotStart(f"manage.py {command} failed (exit {child.returncode}). Its log {log} ends:\n{tail(log)}")
        self.say(f"manage.py {command} ({time.monotonic() - began:.1f} s)")

    def start_workers(self) -> None:
        """A Celery worker for everything, one for deadlines alone, and beat, each in a process of its own that can be seen to die.

        Tied by KILL: on TERM a worker would first finish its task, however long that takes, with nobody left to wait.
        """
        (self.folder / "beat").mkdir(exist_ok=True)
        celery = [sys.executable, "-m", "celery", "-A", "convalloc"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]  # they have nothing to say to each other
        worker = [*tie("KILL"), *celery, "worker", "--pool", "solo", "--loglevel", "INFO", *quiet]
        self._serve("worker", worker, GENTLY)
        self._serve("timekeeper", [*worker, "--queues", "deadlines", "--hostname", "timekeeper@%h"], GENTLY)
        schedule = str(self.folder / "beat" / "schedule")
        self._serve("beat", [*tie("KILL"), *celery, "beat", "--loglevel", "INFO", "--schedule", schedule, "--pidfile", ""], GENTLY)

    def start_api(self) -> None:
        """The API; returns once it is ready to serve. Raises DidNotStart."""
        # Not convalloc.server: no load balancer has to notice a Ctrl-C, a dead worker should be seen, not replaced, and this can reload.
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1" if self.reload else "2", "--blocking-threads", "4", "--workers-kill-timeout", "5", "--access-log"]
        if self.reload:
            command += ["--reload", "--reload-ignore-worker-failure"]
            for app in sorted(self.base.glob("*/__init__.py")):
                command += ["--reload-paths", str(app.parent)]
        self._serve("API", [*tie("TERM"), *command, "convalloc.wsgi:application"], GENTLY_API)
        self._await_ready()

    def watch(self) -> None:
        """Relay what matters from the logs, until a child dies (raises DidNotStart) or it is time to stop (KeyboardInterrupt)."""
        # PostgreSQL's log is left out: an ERROR there is often a constraint doing its work.
        logs = {name: self.children[name][1] for name in ("API", "worker", "timekeeper", "beat")}
        relay = Relay(self.say, logs, every_line_of={"API"} if self.reload else set())
        while True:
            relay.catch_up()
            self._check()
            time.sleep(WATCH_SECONDS)

    def stop(self) -> None:
        """End everything, the last started first. Nothing can interrupt it: it takes seconds at most."""
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        self._down.close()

    def _serve(self, name: str, command: list[str], gently: tuple[signal.Signals, float]) -> None:
        log = self._log(name.lower())
        child = launch(command, log=log, env=self.env, cwd=self.base)
        self._down.callback(stop, child, gently)
        self._watch(name, child, log)

    def _watch(self, name: str, child: subprocess.Popen[bytes] | None, log: Path) -> None:
        assert child is not None
        self.children[name] = (child, log)

    def _log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def _check(self) -> None:
        if self.parent not in (None, os.getppid()):
            raise KeyboardInterrupt  # killed before it could pass a signal on
        for name, (child, log) in self.children.items():
            if child.poll() is not None:
                raise DidNotStart(f"{name} ended (exit {child.returncode}), so everything stops. Its log {log} ends:\n{tail(log)}")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while (answer := ready(self.port)) != "":
            self._check()
            if time.monotonic() > deadline:
                raise DidNotStart(
                    f"The API is not ready after {READY_SECONDS} s: {answer}\nIts log {self._log('api')} ends:\n{tail(self._log('api'))}"
                )
            time.sleep(0.1)


def ready(port: int) -> str:
    """Empty when the API on this port is ready to serve, else what it said."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/v1/health/ready")
        response = connection.getresponse()
        body = response.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()
    return "" if response.status == 200 else f"{response.status} {body}"


def refuse_busy_port(port: int) -> None:
    """Raises DidNotStart when something listens on the port already, or when this user may not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last run's closed connections do not count
        try:
            probe.bind(("127.0.0.1", port))
            return
        except PermissionError as error:
            raise DidNotStart(f"Port {port} is for root only. Choose another: PORT=8001 make run") from error
        except OSError as error:
            other = port + 1 if port < 65535 else 8000
            raise DidNotStart(f"Port {port} is in use. Stop what listens there, or choose another: PORT={other} make run") from error
