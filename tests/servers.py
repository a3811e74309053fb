"""The servers of the tests: a pytest plugin that starts a PostgreSQL and a Valkey of its own, and ends them.

Always its own: a DATABASE_URL in the developer's environment or .env is ignored, because the tests create
and drop databases. It needs no running server, and leaves none behind.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from convalloc.embedded.postgres import Postgres
from convalloc.embedded.valkey import Valkey

# Debian's package; no wheel has it. Where it is absent its tests are not collected, and the last lines of the run say so.
PGBOUNCER = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
BEHIND_PGBOUNCER = "test_pgbouncer.py"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs a program that is not here."""
    return True if PGBOUNCER is None and collection_path.name == BEHIND_PGBOUNCER else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    if PGBOUNCER is None:
        terminalreporter.section("left out", sep="=", yellow=True)
        terminalreporter.line(f"{BEHIND_PGBOUNCER}: PgBouncer is not on this machine (Debian, Ubuntu: apt-get install pgbouncer)")


# A wrapper, because it has to be ahead of pytest-django's hook (tryfirst as well), which reads the settings.
@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    """Start the servers once, in the process that the developer started; xdist's workers inherit the addresses."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if not number:
        start_servers(early_config)
    else:  # a broker of its own, or the Celery worker of one test would take another's tasks, and answer for another's absence
        os.environ["REDIS_URL"] = f"{os.environ['REDIS_URL'].rpartition('/')[0]}/{2 + int(number) % 14}"
    yield


def start_servers(config: pytest.Config) -> None:
    """Start both servers and point the settings at them; they stop, and their folder goes, when pytest ends."""
    folder = Path(tempfile.mkdtemp(prefix="convalloc-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    postgres, valkey = Postgres(folder, durable=False), Valkey(folder)
    config.add_cleanup(postgres.stop)
    config.add_cleanup(valkey.stop)
    postgres.start()
    valkey.start()
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as superuser:
        superuser.execute("ALTER ROLE convalloc_owner CREATEDB")  # each xdist worker makes a database of its own
        superuser.execute("ALTER ROLE convalloc_app SET idle_in_transaction_session_timeout = '60s'")  # a test thinks between its calls
    os.environ |= {
        "DATABASE_URL": postgres.url("convalloc_app"),
        "DATABASE_OWNER_URL": postgres.url("convalloc_owner"),
        "REDIS_URL": valkey.url(),
        "EMBEDDED_DIR": str(folder),
        "ENV_FILE": "",
        "DEVELOPMENT": "true",
        "RATE_LIMIT_ADDRESS": "0",  # the tests of limits set their own
        "RATE_LIMIT_CALLER": "0",
        "RATE_LIMIT_TENANT": "0",
    }


def as_role(role: str, password: str) -> str:
    """The runtime database's URL for another role."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return url._replace(netloc=f"{role}:{password}@{url.hostname}:{url.port}").geturl()


def superuser() -> str:
    """The URL of the superuser of the tests' own server."""
    passwords = json.loads((Path(os.environ["EMBEDDED_DIR"]) / "postgres" / "passwords.json").read_text())
    return as_role("postgres", passwords["postgres"])
