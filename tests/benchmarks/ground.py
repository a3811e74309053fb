"""The servers of a run: a PostgreSQL of its own that really fsyncs, and the API, both as they are started in production."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from convalloc.embedded.postgres import Postgres
from convalloc.server import BLOCKING_THREADS
from tests import production
from tests.benchmarks import scales
from tests.production import BASE, Api

MAX_PAGE_LIMIT = "1000"  # so that the walk to page 10,000 takes two hundred requests and no knowledge of cursors


class Ground:
    """Everything that a run stands on, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = Postgres(folder, settings=production.POSTGRES_SETTINGS)

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
            "EMBEDDED_DIR": str(self.folder),
            **production.SETTINGS,
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
        environment, log = os.environ | self.environment(database), self.folder / "log" / f"api-{database}.log"
        application, threads = "tests.benchmarks.server:application", BLOCKING_THREADS
        with production.serve(application, environment=environment, log=log, workers=scales.CORES, threads=threads) as api:
            yield api
