"""The third wall, in raw SQL as the runtime role: what Python may forget, Postgres does not."""

import os
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, ProgrammingError, connection, transaction
from psycopg import errors, sql

from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID, Tenant
from tests.conftest import Cast, assemble
from tests.tenants.specimens import OWNED_TABLES, furnish, insert, specimen

TABLES = [*OWNED_TABLES, "tenants"]
CHANGEABLE = [table for table in OWNED_TABLES if table != "events"]
LOOKUPS = {
    "all_tenants": "bigint",
    "tenants_with_due_grace": "bigint",
    "tenants_with_leases": "bigint",
    "tenants_with_retention": "bigint",
    "tenants_with_webhooks": "bigint",
    "tenant_of_operator": "bigint",
    "operator_of_email": "bigint",
    "tenant_of_conversation": "bigint",
    "tenant_of_inbox": "bigint",
    "tenant_of_label": "bigint",
    "tenant_of_grace_period": "bigint",
    "tenant_of_api_key": "bigint",
    "tenant_of_signing_secret": "bigint",
    "tenant_of_session": "bigint",
    "tenant_of_webhook": "bigint",
    "tenant_of_delivery": "bigint",
}
# The ways in which the audit forgets: a customer (tests/conversations/test_erasure_walls.py), and what is old (test_retention.py)
ERASURES = {"erase_words": "bigint", "erase_number": "bigint", "forget_events": "bigint[]"}
LOOKED_UP = {
    "api_keys",
    "conversations",
    "grace_period_assignments",
    "inboxes",
    "labels",
    "operators",
    "sessions",
    "signing_secrets",
    "webhooks",
    "webhook_deliveries",
}


def ask(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Raw SQL as the runtime role."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


def change(statement: str, *parameters: Any) -> int:
    """Raw SQL as the runtime role; the number of rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def tenant_column(table: str) -> str:
    return "id" if table == "tenants" else "tenant_id"


def refused(statement: str) -> Any:
    """What psycopg says to a statement that must fail."""
    with pytest.raises(DatabaseError) as problem, transaction.atomic():
        change(statement)
    return problem.value.__cause__


@pytest.mark.parametrize("table", TABLES)
def test_without_a_tenant_nothing_is_seen(table: str, house: Cast) -> None:
    assert ask(f"SELECT * FROM {table}") == []
    with isolation.act_as(house.tenant.pk):
        assert ask(f"SELECT * FROM {table}") != []


@pytest.mark.parametrize("table", OWNED_TABLES)
def test_without_a_tenant_nothing_can_be_written(table: str, house: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        row = specimen(table, house)

    with pytest.raises(ProgrammingError, match="violates row-level security policy"), transaction.atomic():
        insert(table, row)


@pytest.mark.parametrize("table", CHANGEABLE)
def test_without_a_tenant_nothing_can_be_changed_or_removed(table: str, house: Cast) -> None:
    assert change(f"UPDATE {table} SET id = id") == 0
    assert change(f"DELETE FROM {table}") == 0


@pytest.mark.parametrize("table", TABLES)
def test_another_tenants_rows_are_not_seen(table: str, house: Cast, next_door: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        seen = ask(f"SELECT DISTINCT {tenant_column(table)} FROM {table}")

    assert seen == [(house.tenant.pk,)]


@pytest.mark.parametrize("table", OWNED_TABLES)
def test_no_row_can_be_put_into_another_tenant(table: str, house: Cast, next_door: Cast) -> None:
    with isolation.act_as(next_door.tenant.pk):
        row = specimen(table, next_door)

    with (
        isolation.act_as(house.tenant.pk),
        pytest.raises(ProgrammingError, match="violates row-level security policy"),
        transaction.atomic(),
    ):
        insert(table, row)


@pytest.mark.parametrize("table", CHANGEABLE)
def test_another_tenants_rows_can_be_neither_changed_nor_removed(table: str, house: Cast, next_door: Cast) -> None:
    with isolation.act_as(next_door.tenant.pk):
        before = ask(f"SELECT * FROM {table} ORDER BY id")
    ids = [row[0] for row in ask_as(next_door, f"SELECT id FROM {table}")]

    with isolation.act_as(house.tenant.pk):
        assert change(f"UPDATE {table} SET id = id WHERE id = ANY(%s)", ids) == 0
        assert change(f"DELETE FROM {table} WHERE id = ANY(%s)", ids) == 0

    assert ask_as(next_door, f"SELECT * FROM {table} ORDER BY id") == before


@pytest.mark.parametrize("table", CHANGEABLE)
def test_no_row_can_be_given_away(table: str, house: Cast, next_door: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        problem = refused(f"UPDATE {table} SET tenant_id = {next_door.tenant.pk}")

    assert isinstance(problem, errors.InsufficientPrivilege)


def ask_as(cast: Cast, query: str) -> list[tuple[Any, ...]]:
    with isolation.act_as(cast.tenant.pk):
        return ask(query)


def test_a_tenant_cannot_be_founded_under_anothers_name(house: Cast, next_door: Cast) -> None:
    columns = ", ".join(str(field.column) for field in Tenant._meta.local_fields if field.name not in ("id", "created_at"))

    with isolation.act_as(house.tenant.pk):
        problem = refused(f"INSERT INTO tenants (id, {columns}) SELECT {next_door.tenant.pk + 1000}, {columns} FROM tenants")

    assert isinstance(problem, errors.InsufficientPrivilege)


@pytest.mark.parametrize("table", TABLES)
def test_switching_row_security_off_is_an_error_and_not_a_way_in(table: str, house: Cast) -> None:
    change("SET LOCAL row_security = off")

    assert isinstance(refused(f"SELECT * FROM {table}"), errors.InsufficientPrivilege)


@pytest.mark.parametrize("table", TABLES)
def test_truncate_which_ignores_policies_is_refused(table: str, house: Cast) -> None:
    assert isinstance(refused(f"TRUNCATE {table} CASCADE"), errors.InsufficientPrivilege)


@pytest.mark.parametrize("table", TABLES)
def test_copy_carries_out_own_rows_only_and_nothing_in(table: str, house: Cast, next_door: Cast) -> None:
    column = tenant_column(table)
    with isolation.act_as(house.tenant.pk), connection.cursor() as cursor, cursor.copy(f"COPY {table} ({column}) TO STDOUT") as out:
        carried = {bytes(line).decode().strip() for line in out}

    assert carried == {str(house.tenant.pk)}
    with isolation.act_as(house.tenant.pk), pytest.raises((errors.FeatureNotSupported, errors.InsufficientPrivilege)):  # noqa: SIM117
        with transaction.atomic(), connection.cursor() as cursor, cursor.copy(f"COPY {table} ({column}) FROM STDIN"):
            pass


@pytest.mark.parametrize("statement", ["UPDATE events SET kind = 'forged'", "DELETE FROM events", "SELECT * FROM events FOR UPDATE"])
def test_events_are_append_only(statement: str, house: Cast) -> None:
    with isolation.act_as(house.tenant.pk):
        assert isinstance(refused(statement), errors.InsufficientPrivilege)


def test_what_all_tenants_share_is_read_only(house: Cast) -> None:
    for table in ("django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions"):
        assert isinstance(refused(f"DELETE FROM {table}"), errors.InsufficientPrivilege), table
        assert isinstance(refused(f"UPDATE {table} SET id = id"), errors.InsufficientPrivilege), table


def test_every_table_of_the_database_is_behind_a_wall_or_known_to_be_shared(db: None) -> None:
    open_to_all = ask(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace = 'public'::regnamespace"
        " AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1"
    )

    assert [name for (name,) in open_to_all] == [
        "auth_group",
        "auth_group_permissions",
        "auth_permission",
        "django_content_type",
        "django_migrations",
        "django_session",  # its key is the credential itself: see docs/decisions/0004
    ]


def test_the_runtime_role_is_a_plain_one(db: None) -> None:
    powers = ask("SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = current_user")
    memberships = ask("SELECT rolname FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER') AND rolname <> current_user")
    owned = ask("SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = current_user")
    beyond = ask(
        "SELECT table_name, privilege_type FROM information_schema.table_privileges"
        " WHERE grantee = current_user AND privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')"
    )

    assert powers == [(False,) * 5]
    assert (memberships, owned, beyond) == ([], [], [])
    assert ask("SELECT has_schema_privilege('public', 'CREATE')") == [(False,)]


@pytest.mark.parametrize("setting", ["session_replication_role = replica", "ROLE convalloc_owner", "SESSION AUTHORIZATION postgres"])
def test_the_runtime_role_cannot_become_another(setting: str, db: None) -> None:
    assert isinstance(refused(f"SET {setting}"), errors.InsufficientPrivilege)


def test_only_lookups_and_erasures_run_as_the_owner_and_their_search_path_is_fixed(db: None) -> None:
    definers = ask(
        "SELECT proname, prorettype::regtype::text, proconfig, provolatile::text, proacl::text FROM pg_proc"
        " WHERE prosecdef AND pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
    )

    assert {name: returns for name, returns, *_ in definers} == LOOKUPS | ERASURES
    for name, _, configuration, volatility, rights in definers:
        assert configuration == ["search_path=public, pg_temp"], name
        assert (volatility == "s") is (name in LOOKUPS), name  # STABLE: such a function cannot write
        assert "convalloc_app=X" in rights, name
        assert not rights.startswith("{=X"), f"everybody may call {name}"


def test_lookups_answer_with_ids_before_a_tenant_is_known(house: Cast) -> None:
    assert ask("SELECT tenant_of_operator(%s)", house.olga.pk) == [(house.tenant.pk,)]
    assert ask("SELECT operator_of_email(%s)", house.olga.email) == [(house.olga.pk,)]
    assert (house.tenant.pk,) in ask("SELECT * FROM all_tenants()")
    assert (PLATFORM_TENANT_ID,) not in ask("SELECT * FROM all_tenants()")
    assert ask("SELECT tenant_of_operator(0), operator_of_email('nobody')") == [(None, None)]
    assert ask("SELECT * FROM operators") == []


def test_a_temporary_table_cannot_stand_in_for_the_one_a_lookup_reads(house: Cast, next_door: Cast) -> None:
    change(
        "CREATE TEMP TABLE operators ON COMMIT DROP AS SELECT %s::bigint AS id, %s::bigint AS tenant_id", house.olga.pk, next_door.tenant.pk
    )

    assert ask("SELECT tenant_id FROM operators") == [(next_door.tenant.pk,)]
    assert ask("SELECT tenant_of_operator(%s)", house.olga.pk) == [(house.tenant.pk,)]


@pytest.mark.usefixtures("committed")
def test_with_the_policy_bent_the_other_tenants_rows_come_to_light() -> None:
    """The control: what the tests above do not see is there, and the policy alone hides it. It binds the owner too."""
    house, next_door = assemble(), assemble()
    furnish(house)
    furnish(next_door)

    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(sql.SQL("SET LOCAL app.tenant_id = {}").format(str(house.tenant.pk)))
        for table in OWNED_TABLES:
            theirs = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = {}").format(sql.Identifier(table), next_door.tenant.pk)
            # A lookup's policy lets the owner read these.
            assert (owner.execute(theirs).fetchone() == (0,)) is not (table in LOOKED_UP), table

            owner.execute(sql.SQL("ALTER POLICY tenant_wall ON {} USING (true)").format(sql.Identifier(table)))

            assert owner.execute(theirs).fetchone() != (0,), table
        owner.rollback()
