"""The migrations: forwards on an empty database, backwards to nothing, and forwards again to the very same schema."""

from typing import Any

import psycopg

from tests.migrations.conftest import manage

OURS = ("conversations", "labels", "operators", "tenants")
SCHEMA = {
    "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "policies": "SELECT tablename, policyname, roles::text, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2",
    "walls": "SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
    "functions": "SELECT pg_get_functiondef(oid), proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
    "platform": "SELECT id, name, priority_alpha FROM tenants",
}


def schema(environment: dict[str, str]) -> dict[str, list[tuple[Any, ...]]]:
    """All that the migrations have made, as the catalogue tells it."""
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as owner:
        return {part: owner.execute(query.encode()).fetchall() for part, query in SCHEMA.items()}


def test_there_and_back_and_there_again(empty_database: dict[str, str]) -> None:
    manage(empty_database, "migrate", "--verbosity", "0")
    there = schema(empty_database)

    manage(empty_database, "migrate", "tenants", "zero", "--verbosity", "0")

    with psycopg.connect(empty_database["DATABASE_OWNER_URL"]) as owner:
        left = owner.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'").fetchall()
        functions = owner.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace").fetchall()
        applied = owner.execute("SELECT app, name FROM django_migrations WHERE app = ANY(%s)", [list(OURS)]).fetchall()
        policies = owner.execute("SELECT policyname FROM pg_policies").fetchall()
    assert {name for (name,) in left} == {
        "auth_group",
        "auth_group_permissions",
        "auth_permission",
        "django_content_type",
        "django_migrations",
        "django_session",
    }
    assert (functions, applied, policies) == ([], [], [])

    manage(empty_database, "migrate", "--verbosity", "0")

    assert schema(empty_database) == there
    assert len(there["functions"]) == 21


def test_each_app_of_ours_comes_back_alone(empty_database: dict[str, str]) -> None:
    """Every step backwards, one migration of one app at a time, leaves a database from which `migrate` arrives."""
    manage(empty_database, "migrate", "--verbosity", "0")
    there = schema(empty_database)

    for app, step in (("conversations", "zero"), ("labels", "zero"), ("operators", "0001"), ("operators", "zero")):
        manage(empty_database, "migrate", app, step, "--verbosity", "0")
    manage(empty_database, "migrate", "--verbosity", "0")

    assert schema(empty_database) == there


def test_rights_beyond_what_a_table_needs_are_taken_back(empty_database: dict[str, str]) -> None:
    manage(empty_database, "migrate", "--verbosity", "0")
    there = schema(empty_database)
    with psycopg.connect(empty_database["DATABASE_OWNER_URL"]) as owner:
        owner.execute("GRANT TRUNCATE, UPDATE, DELETE ON events TO convalloc_app")

    manage(empty_database, "migrate", "--verbosity", "0")

    assert schema(empty_database) == there
