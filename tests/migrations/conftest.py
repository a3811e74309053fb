"""A database with nothing in it, and the command that fills it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from tests.servers import superuser

NAME = f"migrations_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@pytest.fixture
def empty_database() -> Iterator[dict[str, str]]:
    """A database of its own with nothing in it; the environment that names it."""
    database = sql.Identifier(NAME)
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
    with (
        psycopg.connect(superuser(), autocommit=True) as postgres,  # who may end autovacuum, too
        psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner,
    ):
        postgres.execute(drop)
        owner.execute(sql.SQL("CREATE DATABASE {}").format(database))
        yield os.environ | {name: os.environ[name].rsplit("/", 1)[0] + f"/{NAME}" for name in ("DATABASE_URL", "DATABASE_OWNER_URL")}
        postgres.execute(drop)


def manage(environment: dict[str, str], *arguments: str) -> None:
    """manage.py on that database."""
    answer = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
