"""What a newcomer has after `make run`: a live server with the demo data."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from convalloc.embedded.process import free_port, launch, stop, tail, tie
from convalloc.embedded.quickstart import GENTLY_API, ready

BASE = Path(__file__).resolve().parents[1]
START_SECONDS = 60


@contextmanager
def newcomers_server(folder: Path) -> Iterator[str]:
    """A server of its own on an empty database of its own, with the demo seeded: the address of its API. Logs go into the folder."""
    name = f"tour_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    _make_database(name)
    env = os.environ | {setting: f"{os.environ[setting].rsplit('/', 1)[0]}/{name}" for setting in ("DATABASE_URL", "DATABASE_OWNER_URL")}
    for command in ("migrate", "seed_demo"):
        subprocess.run([sys.executable, "manage.py", command], cwd=BASE, env=env, check=True, capture_output=True)
    port, log = free_port(), folder / "api.log"
    granian = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)]
    child = launch([*tie("TERM"), *granian, "convalloc.wsgi:application"], log=log, env=env, cwd=BASE)
    deadline = time.monotonic() + START_SECONDS
    try:
        while ready(port):
            assert child.poll() is None, tail(log)
            assert time.monotonic() < deadline, tail(log)
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        stop(child, GENTLY_API)
        _drop_database(name)


def _make_database(name: str) -> None:
    """An empty database, instead of whatever had the name."""
    _drop_database(name)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _drop_database(name: str) -> None:
    """Gone, also when somebody is still connected."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
