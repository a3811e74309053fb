"""The same through PgBouncer in transaction mode: every transaction may get the session that another tenant's has just left.

Collected where the program is installed (tests.servers tells at the end where it is not).
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from convalloc.embedded.postgres import as_nobody
from convalloc.embedded.process import DidNotStart, free_port, launch, stop, tail, tie
from tenants import isolation
from tests.servers import PGBOUNCER
from tests.tenants.alternating import SEEN, alternate, seen_by_django, settle
from tests.tenants.test_alternating import for_the_whole_session

CONFIGURATION = """
[databases]
{database} = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 1
server_reset_query =
"""


@pytest.fixture
def pooler(committed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """PgBouncer, with one session for everybody, between Django and the server; and somebody else's connection to it."""
    server = urlsplit(os.environ["DATABASE_URL"])
    database, port = server.path.removeprefix("/"), free_port()
    (tmp_path / "users").write_text(f'"{server.username}" "{server.password}"\n')
    settings = {"database": database, "host": server.hostname, "port": server.port, "own_port": port, "folder": tmp_path}
    (tmp_path / "pgbouncer.ini").write_text(CONFIGURATION.format(**settings))
    process = launch([*tie("TERM"), *as_nobody(), str(PGBOUNCER), str(tmp_path / "pgbouncer.ini")], log=tmp_path / "log")
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
    monkeypatch.setitem(connection.settings_dict, "PORT", port)
    try:
        with connected(server._replace(netloc=f"{server.username}:{server.password}@127.0.0.1:{port}").geturl(), tmp_path) as other:
            yield other
    finally:
        connection.close()
        stop(process, (signal.SIGINT, 5))


def connected(url: str, folder: Path) -> psycopg.Connection:
    """A connection to PgBouncer, once it answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            return psycopg.connect(url, autocommit=True, prepare_threshold=None)
        time.sleep(0.05)
    raise DidNotStart(f"PgBouncer does not answer:\n{tail(folder / 'log')}")


def test_behind_pgbouncer_of_a_thousand_alternating_requests_none_sees_another_tenant(pooler: psycopg.Connection) -> None:
    casts, shared = settle(), 0

    def look() -> int:
        nonlocal shared
        (seen, session), (seen_too, session_too) = seen_by_django(), seen_by(pooler)
        shared += session == session_too
        return seen + seen_too

    ended = alternate(casts, 1000, look)

    assert ended["200"] > 700
    assert ended["killed"] + ended["500"] + ended["503"] > 50
    assert shared > 900, "the two clients had sessions of their own: this would prove nothing"


def test_behind_pgbouncer_a_setting_of_the_session_would_show_them(pooler: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: seen by a client that never named a tenant."""
    casts = settle()
    monkeypatch.setattr(isolation, "_tell_postgres", for_the_whole_session)

    with pytest.raises(AssertionError, match="of a tenant that nobody named"):
        alternate(casts, 1000, lambda: seen_by(pooler)[0])


def seen_by(other: psycopg.Connection) -> tuple[int, int]:
    """What a client sees that never named a tenant, and the server's process that answered."""
    rows, session = other.execute(SEEN).fetchone() or (1, 0)
    return rows, session
