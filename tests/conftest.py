"""The cast of the tests, the database they play in, and the client they speak through.

Everybody in the tests logs in as the runtime role; nothing bypasses the walls. `db` (pytest-django) rolls back;
`committed` is for threads and processes: it commits, and empties the tables afterwards.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import getrandbits
from typing import Any

import orjson
import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from psycopg import sql

from convalloc.server import cores
from operators.models import Operator, Role
from tenants import isolation
from tenants.models import Inbox, Tenant
from tests.factories import ConversationFactory, InboxFactory, LabelFactory, OperatorFactory, TenantFactory


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For `-n auto`: one more than there are cores, because tests of faults and clocks mostly wait."""
    return cores() + 1


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """One database for each process, migrated by the owner, used as the runtime role. Child processes find it too."""
    name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    for alias, setting in (("default", "DATABASE_URL"), ("owner", "DATABASE_OWNER_URL")):
        connections[alias].settings_dict["NAME"] = name
        os.environ[setting] = os.environ[setting].rsplit("/", 1)[0] + f"/{name}"
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        call_command("migrate", verbosity=0)
        connections["owner"].close()
    yield
    connections.close_all()


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Real commits, seen by other connections. Afterwards every table of ours is empty again."""
    with django_db_blocker.unblock():
        yield
        connection.close()
    empty_the_tables()


def empty_the_tables() -> None:
    """What was committed is gone, but for the platform's tenant. Nobody may be in a transaction."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("SET LOCAL app.tenant_id = '0'")
        platform = owner.execute("SELECT * FROM tenants WHERE id = 0").fetchone()
        assert platform is not None
        owner.execute("TRUNCATE tenants, events, ticks, django_session, django_admin_log CASCADE")
        owner.execute(sql.SQL("INSERT INTO tenants VALUES ({})").format(sql.SQL(", ").join(map(sql.Literal, platform))))


@dataclass
class Cast:
    """A tenant at work. Olga answers at both inboxes, Otto at support alone; Mia manages, Ada administers."""

    tenant: Tenant
    support: Inbox
    sales: Inbox
    olga: Operator
    otto: Operator
    mia: Operator
    ada: Operator

    def conversation(self, **facts: Any) -> Any:
        """A conversation that waits, at support unless told otherwise."""
        with isolation.act_as(self.tenant.pk):
            return ConversationFactory.create(**{"inbox": self.support, **facts})

    def label(self, **facts: Any) -> Any:
        """A label of support, made by Mia, unless told otherwise."""
        with isolation.act_as(self.tenant.pk):
            return LabelFactory.create(**{"inbox": self.support, "created_by": self.mia, **facts})

    def operator(self, **facts: Any) -> Any:
        """One more operator, who answers at support unless told otherwise."""
        with isolation.act_as(self.tenant.pk):
            return OperatorFactory.create(**{"inboxes": [self.support], **facts})

    def again(self, row: Any) -> Any:
        """The row as it is in the database now."""
        with isolation.act_as(self.tenant.pk):
            return type(row).objects.get(pk=row.pk)


def assemble(**settings: Any) -> Cast:
    """A new tenant with its people. `settings` are the tenant's."""
    tenant = TenantFactory.create(**settings)
    with isolation.act_as(tenant.pk):
        support, sales = InboxFactory.create(name="Support"), InboxFactory.create(name="Sales")
        return Cast(
            tenant=tenant,
            support=support,
            sales=sales,
            olga=OperatorFactory.create(name="Olga", inboxes=[support, sales]),
            otto=OperatorFactory.create(name="Otto", inboxes=[support]),
            mia=OperatorFactory.create(name="Mia", role=Role.MANAGER),
            ada=OperatorFactory.create(name="Ada", role=Role.ADMIN),
        )


@pytest.fixture
def cast(db: None) -> Cast:
    """The tenant of the test."""
    return assemble()


@pytest.fixture
def neighbours(db: None) -> Cast:
    """Another tenant, of whom nobody in `cast` may notice anything."""
    return assemble()


@dataclass
class Answer:
    """An answer of the API: its status, its parsed body, its headers."""

    status: int
    body: Any
    headers: Any
    raw: bytes

    @property
    def data(self) -> Any:
        """What a successful answer carries."""
        return self.body["data"]

    @property
    def fields(self) -> dict[str, str]:
        """Field to message, of a validation error."""
        return {error["field"]: error["message"] for error in self.body["errors"]}


class Api:
    """The API as one operator calls it; `as_` None calls as nobody."""

    def __init__(self, as_: Operator | None) -> None:
        # From an address of its own: what one test tries too often must not be counted against the next.
        self.client = Client(raise_request_exception=False, REMOTE_ADDR=str(IPv4Address(0x0A00_0000 | getrandbits(24))))
        self.headers = {"X-Operator-Id": str(as_.pk)} if as_ else {}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One call under /api/v1; the body goes as JSON."""
        options: dict[str, Any] = {"headers": {**self.headers, **headers}}
        if body is not None:
            options |= {"data": body, "content_type": "application/json"}
        response = self.client.generic(method, f"/api/v1{path}", **_encoded(options))
        parsed = response.json() if response.headers.get("Content-Type", "").startswith("application/json") and response.content else None
        return Answer(response.status_code, parsed, response.headers, response.content)

    def get(self, path: str) -> Answer:
        """GET."""
        return self.call("GET", path)

    def post(self, path: str, **body: Any) -> Answer:
        """POST with a body of these fields."""
        return self.call("POST", path, body)

    def put(self, path: str, **body: Any) -> Answer:
        """PUT with a body of these fields."""
        return self.call("PUT", path, body)

    def delete(self, path: str) -> Answer:
        """DELETE."""
        return self.call("DELETE", path)


def _encoded(options: dict[str, Any]) -> dict[str, Any]:
    if isinstance(options.get("data"), dict | list):
        options["data"] = orjson.dumps(options["data"])
    return options


@pytest.fixture
def api() -> type[Api]:
    """Speak to the API: api(cast.olga).get("/conversations")."""
    return Api
