"""manage.py publish_realtime: a live client follows what it may, by logical decoding, and reads its own tenant's rows alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from convalloc.embedded.postgres import Postgres
from conversations.realtime import FOLLOWED, LIMIT, PUBLICATION
from tests import production
from tests.conversations.decoding import Change, changes

SLOT = "live_client"
CANARY = "+4915777777007"
ALLOWED = {(table, column) for table, columns in FOLLOWED.items() for column in columns}


class House:
    """A database of the product's with two tenants, on a server that can be followed, as Supabase hands one out."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.environment = os.environ | {
            "DATABASE_URL": postgres.url("convalloc_app"),
            "DATABASE_OWNER_URL": postgres.url("convalloc_owner"),
        }

    def manage(self, *words: str, fails: bool = False) -> str:
        """What a command says."""
        command = [sys.executable, "manage.py", *words]
        done = subprocess.run(command, cwd=production.BASE, env=self.environment, check=False, capture_output=True, text=True)
        assert (done.returncode == 1) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """As the superuser, whom nothing binds."""
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as session:
            cursor = session.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def read(self, statement: str, claims: object = None, *, role: str = "authenticated", **settings: str) -> list[tuple[Any, ...]]:
        """As PostgREST and Realtime ask: as the token's role, with its claims."""
        with psycopg.connect(self.postgres.url("postgres")) as session:
            said = {"request.jwt.claims": claims if isinstance(claims, str) else json.dumps(claims)} if claims is not None else {}
            for name, value in (said | settings).items():
                session.execute(sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            session.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            return session.execute(statement).fetchall()

    @contextmanager
    def followed(self) -> Iterator[list[bytes]]:
        """What a subscriber is told of what happens inside; to be read afterwards."""
        told: list[bytes] = []
        self.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", SLOT)
        try:
            yield told
            asked = "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, NULL, 'proto_version', '1', 'publication_names', %s)"
            told += [bytes(data) for (data,) in self.run(asked, SLOT, PUBLICATION)]
        finally:
            self.run("SELECT pg_drop_replication_slot(%s)", SLOT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres = Postgres(tmp_path_factory.mktemp("followed"), durable=False, settings={"wal_level": "logical", "synchronous_commit": "on"})
    postgres.start()
    try:
        house = House(postgres)
        house.manage("migrate", "--verbosity", "0")
        for role in ("anon", "authenticated"):
            house.run(f"CREATE ROLE {role} NOLOGIN")
        house.manage("seed_demo")
        house.run(
            "INSERT INTO tenants SELECT (jsonb_populate_record(t, jsonb_build_object('id', 77, 'name', 'Theirs'))).* "
            "FROM tenants t WHERE id = 1"
        )
        yield house
    finally:
        postgres.stop()


@pytest.fixture
def house(server: House) -> Iterator[House]:
    """Published, with what Supabase grants its roles before that."""
    server.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated")
    server.run("ALTER DEFAULT PRIVILEGES FOR ROLE convalloc_owner IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated")
    server.manage("publish_realtime")
    yield server
    server.manage("publish_realtime", "--remove")


def lived(house: House) -> None:
    """A conversation begins, changes and wears a label for a while; a customer's number is in it, and somebody else's table changes."""
    house.run(
        "INSERT INTO conversations (tenant_id, inbox_id, external_conversation_id, customer_phone_number, last_message_at, waits_from, "
        f"credit, rank, state, message_count, saturated, priority_score, version) SELECT 1, 1, 'sms-{CANARY}', '{CANARY}', now(), now(), "
        "0, 0, 'QUEUED', 1, false, 0, 1"
    )
    house.run("UPDATE conversations SET message_count = 5, version = 2 WHERE customer_phone_number = %s", CANARY)
    house.run("UPDATE operators SET name = 'Canary ' || name")
    house.run("INSERT INTO labels (tenant_id, inbox_id, name, color, created_by_id) VALUES (1, 1, 'told', '#123456', 3)")
    house.run(
        "INSERT INTO conversation_labels (tenant_id, inbox_id, conversation_id, label_id) SELECT 1, 1, c.id, l.id "
        "FROM conversations c, labels l WHERE customer_phone_number = %s AND l.name = 'told'",
        CANARY,
    )
    for table in ("conversation_labels", "labels"):
        house.run(f"DELETE FROM {table} WHERE tenant_id = 1")
    house.run("DELETE FROM conversations WHERE customer_phone_number = %s", CANARY)


def of(told: list[Change], act: str, table: str) -> list[dict[str, str | None]]:
    return [change.row for change in told if (change.act, change.table) == (act, table)]


def test_a_client_follows_a_conversation_from_its_beginning_to_its_end_and_hears_nothing_else(house: House) -> None:
    with house.followed() as messages:
        lived(house)

    told = list(changes(messages))
    (begun,), (moved,) = of(told, "INSERT", "conversations"), of(told, "UPDATE", "conversations")
    (gone,) = of(told, "DELETE", "conversations")
    assert begun.keys() == moved.keys() == set(FOLLOWED["conversations"])
    assert (begun["state"], begun["message_count"], moved["message_count"], moved["version"]) == ("QUEUED", "1", "5", "2")
    assert gone == {"tenant_id": "1", "id": begun["id"]}
    assert {frozenset(row) for row in of(told, "DELETE", "conversation_labels")} == {frozenset(["tenant_id", "id"])}
    assert {change.table for change in told} == {"conversations", "labels", "conversation_labels"}
    assert CANARY.encode() not in b"".join(messages)
    assert b"Canary" not in b"".join(messages)


def test_control_a_publication_of_whole_rows_tells_the_number(house: House) -> None:
    house.run(f"ALTER PUBLICATION {PUBLICATION} SET TABLE conversations")

    with house.followed() as messages:
        lived(house)

    assert CANARY.encode() in b"".join(messages)
    assert "customer_phone_number" in of(list(changes(messages)), "INSERT", "conversations")[0]


HOW_MANY = "SELECT count(id) FROM conversations"


@pytest.mark.parametrize("claims", [{"tenant_id": 1}, {"tenant_id": "1"}, {"app_metadata": {"tenant_id": 1}}], ids=str)
def test_a_token_shows_its_own_tenants_rows(house: House, claims: dict[str, Any]) -> None:
    ((there,),) = house.run(HOW_MANY + " WHERE tenant_id = 1")
    assert there > 0
    assert house.read(HOW_MANY, claims) == [(there,)]


NOBODYS = [
    None, "", "{", "null", "[]", "7", '"1"', {}, {"tenant_id": None}, {"tenant_id": ""}, {"tenant_id": "1 OR true"}, {"tenant_id": 1.5},
    {"tenant_id": 10**30}, {"tenant_id": [1]}, {"tenant_id": {"a": 1}}, {"tenant_id": True}, {"tenant_id": 77}, {"app_metadata": 1},
    {"user_metadata": {"tenant_id": 1}},
]  # fmt: skip


@pytest.mark.parametrize("claims", NOBODYS, ids=str)
def test_any_other_shows_nothing_and_tells_nothing(house: House, claims: object) -> None:
    everywhere = " UNION ALL ".join(f"SELECT id FROM {table}" for table in FOLLOWED)
    assert house.read(everywhere, claims) == []


def test_the_products_own_binding_opens_nothing_to_a_token(house: House) -> None:
    assert house.read(HOW_MANY, {"tenant_id": 77}, **{"app.tenant_id": "1"}) == [(0,)]

    for table in FOLLOWED:
        house.run(f"DROP POLICY {LIMIT} ON {table}")  # the control
    assert house.read(HOW_MANY, {"tenant_id": 77}, **{"app.tenant_id": "1"}) != [(0,)]


def test_nothing_else_can_be_read_and_nothing_written(house: House) -> None:
    readable = (
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')"
    )
    assert set(house.run(readable, "authenticated")) == ALLOWED
    assert house.run(readable, "anon") == []
    for statement in ("SELECT customer_phone_number FROM conversations", "SELECT * FROM operators", "SELECT * FROM django_session"):
        with pytest.raises(errors.InsufficientPrivilege):
            house.read(statement, {"tenant_id": 1})
    for statement in ("UPDATE conversations SET version = 9 RETURNING id", "DELETE FROM labels RETURNING id"):
        with pytest.raises(errors.InsufficientPrivilege):
            house.read(statement, {"tenant_id": 1})
    house.run("SET ROLE convalloc_owner; CREATE TABLE come_later (id int)")
    try:
        assert house.run("SELECT has_table_privilege('authenticated', 'come_later', 'SELECT')") == [(False,)]
    finally:
        house.run("DROP TABLE come_later")


def test_said_again_it_changes_nothing_and_the_products_own_role_sees_what_it_saw(house: House) -> None:
    assert "Nothing to change." in house.manage("publish_realtime")
    assert house.read(HOW_MANY, role="convalloc_app") == [(0,)]
    assert house.read(HOW_MANY, {"tenant_id": 1}, role="convalloc_app") == [(0,)]
    assert house.read(HOW_MANY, role="convalloc_app", **{"app.tenant_id": "1"}) != [(0,)]


def test_what_somebody_changed_is_put_right(house: House) -> None:
    house.run(f"ALTER PUBLICATION {PUBLICATION} SET TABLE conversations, operators")
    house.run("ALTER TABLE conversations REPLICA IDENTITY FULL")
    house.run("GRANT SELECT ON conversations TO anon")

    said = house.manage("publish_realtime")

    assert "also tells operators" in said
    told = "SELECT tablename, attnames FROM pg_publication_tables WHERE pubname = %s AND tablename <> 'operators'"
    assert {table: set(columns) for table, columns in house.run(told, PUBLICATION)} == {t: set(c) for t, c in FOLLOWED.items()}
    assert house.run("SELECT relreplident::text FROM pg_class WHERE oid = 'conversations'::regclass") == [("d",)]
    assert house.run("SELECT has_table_privilege('anon', 'conversations', 'SELECT')") == [(False,)]
    house.run(f"ALTER PUBLICATION {PUBLICATION} DROP TABLE operators")


def test_a_dry_run_tells_and_does_nothing_and_remove_takes_back(server: House) -> None:
    assert "would be run" in server.manage("publish_realtime", "--dry-run")
    assert server.run("SELECT FROM pg_policy WHERE polname LIKE 'live_reader%%'") == []

    server.manage("publish_realtime")
    server.manage("publish_realtime", "--remove")

    assert server.run("SELECT FROM pg_policy WHERE polname LIKE 'live_reader%%'") == []
    assert server.run("SELECT FROM pg_publication_tables WHERE pubname = %s", PUBLICATION) == []
    assert "Nothing to change." in server.manage("publish_realtime", "--remove")
    with pytest.raises(errors.InsufficientPrivilege):
        server.read(HOW_MANY, {"tenant_id": 1})


def test_what_cannot_be_is_refused_with_what_to_do(server: House) -> None:
    assert "CREATE ROLE nobody_here NOLOGIN" in server.manage("publish_realtime", "--role", "nobody_here", fails=True)
    assert "No policy would bind" in server.manage("publish_realtime", "--role", "postgres", fails=True)
    assert "No policy would bind" in server.manage("publish_realtime", "--role", "convalloc_owner", fails=True)
    server.run(f"DROP PUBLICATION IF EXISTS {PUBLICATION}")
    server.run(f"CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES")
    try:
        assert "FOR ALL TABLES" in server.manage("publish_realtime", fails=True)
    finally:
        server.run(f"DROP PUBLICATION {PUBLICATION}")
