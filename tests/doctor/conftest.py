"""A house with work in it, somebody who breaks it past the product, and the doctor's answers."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now

from conversations import allocation, grace
from conversations.doctor import examination
from conversations.doctor.findings import Finding
from operators.models import Status
from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID, Tenant
from tests.conftest import Cast, assemble
from tests.servers import superuser
from tests.tenants.specimens import OWNED_TABLES


@pytest.fixture
def house(committed: None) -> Cast:
    """Olga holds one, Otto is offline with another, and one waits."""
    cast = assemble()
    for operator in (cast.olga, cast.otto):
        row = cast.conversation()
        with isolation.act_as(cast.tenant.pk):
            allocation.claim(operator.pk, row.pk)
    cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
    return cast


def break_it(cast: Cast, statement: str) -> None:
    """Raw SQL past the product, as one whom nothing binds but the tenant: the superuser, with foreign keys switched off."""
    with psycopg.connect(superuser()) as postgres:
        postgres.execute("SET LOCAL session_replication_role = replica")
        postgres.execute("SET LOCAL ROLE convalloc_owner")  # the walls bind the owner: no other tenant is touched
        postgres.execute(f"SET LOCAL app.tenant_id = '{cast.tenant.pk}'".encode())
        changed = postgres.execute(statement.encode()).rowcount
        assert changed > 0, "nothing was broken"


@contextmanager
def as_it_was(cast: Cast) -> Iterator[None]:
    """Whatever is broken inside is put back, row by row, by hand."""
    tables = [*OWNED_TABLES, "tenants"]
    with psycopg.connect(superuser()) as postgres:
        before = {
            table: postgres.execute(f"SELECT coalesce(json_agg(t), '[]')::text FROM {table} t".encode()).fetchone() for table in tables
        }
    yield
    with psycopg.connect(superuser()) as postgres:
        postgres.execute("SET LOCAL session_replication_role = replica")
        for table, rows in before.items():
            postgres.execute(f"DELETE FROM {table}".encode())
            postgres.execute(f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s::json)".encode(), rows)


def limits_in_order() -> None:
    """The tests' role may idle in a transaction for longer than it waits for a lock; this session may not."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '29s'; SET idle_in_transaction_session_timeout = '28s'")


def installed(ago: timedelta) -> None:
    """As if the installation were so old."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        Tenant.objects.update(created_at=Now() - ago)


def found(cast: Cast) -> dict[str, Finding]:
    """What the doctor finds wrong with a house's data."""
    connection.close()
    return {finding.name: finding for finding in examination.examine([cast.tenant.pk]) if not finding.is_fine}


def doctor(*arguments: str) -> tuple[int, Any]:
    """The command's exit code, and what it says to machines."""
    output, code = io.StringIO(), 0
    try:
        call_command("doctor", "--json", *arguments, stdout=output)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, json.loads(output.getvalue())
