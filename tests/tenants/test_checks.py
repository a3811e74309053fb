"""The system checks go red: on a model without walls, on a table without one, on a role that climbs, on a header believed."""

import os
import subprocess
import sys
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.db import models
from django.test.utils import isolate_apps
from psycopg import sql

from tenants import checks
from tenants.models import Inbox, OwnedForeignKey, TenantOwned
from tests.servers import as_role, superuser
from tests.tenants.specimens import OWNED_TABLES


def check_deploy(**environment: str) -> subprocess.CompletedProcess[str]:
    """`manage.py check --deploy` as production starts it, but for what the test changes."""
    production = {"DEVELOPMENT": "false", "SECRET_KEY": "".join(map(chr, range(48, 110))), "OPERATOR_HEADER_AUTH": ""}
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING", "--database", "default"],
        cwd=settings.BASE_DIR,
        env=os.environ | production | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def faults(model: type[models.Model]) -> list[str]:
    return [f"{fault.id} {fault.msg}" for fault in checks.faults_of(model)]


def test_all_is_well(db: None) -> None:
    assert run_checks(databases=["default"]) == []
    assert {model._meta.db_table for model in checks.our_models()} == {*OWNED_TABLES, "tenants"}


@isolate_apps("tenants")
def test_a_model_that_no_tenant_owns_is_reported() -> None:
    class Stray(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "tenants"

    assert faults(Stray) == ["tenants.E001 tenants.Stray is not TenantOwned."]


@isolate_apps("tenants")
def test_a_plain_foreign_key_is_reported() -> None:
    class Loose(TenantOwned):
        inbox = models.ForeignKey(Inbox, models.PROTECT, related_name="+")
        proper = OwnedForeignKey(Inbox)

        class Meta(TenantOwned.Meta):
            abstract = False
            app_label = "tenants"

    assert faults(Loose) == ["tenants.E001 tenants.Loose.inbox is no OwnedForeignKey."]


@isolate_apps("tenants")
def test_a_many_to_many_is_reported_because_its_hidden_table_has_no_tenant() -> None:
    class Loose(TenantOwned):
        kinds = models.ManyToManyField(ContentType, related_name="+")

        class Meta(TenantOwned.Meta):
            abstract = False
            app_label = "tenants"

    assert faults(Loose) == ["tenants.E001 tenants.Loose.kinds is no OwnedForeignKey."]


@isolate_apps("tenants")
def test_a_manager_past_the_scope_is_reported() -> None:
    class Open(TenantOwned):
        everything = models.Manager["Open"]()

        class Meta(TenantOwned.Meta):
            abstract = False
            app_label = "tenants"

    assert faults(Open) == ["tenants.E001 tenants.Open.everything does not ask for a tenant."]


BREACHES = {
    "no FORCE": "ALTER TABLE {} NO FORCE ROW LEVEL SECURITY",
    "not enabled": "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
    "no policy": "DROP POLICY tenant_wall ON {}",
    "a policy that lets all through": "ALTER POLICY tenant_wall ON {} USING (true) WITH CHECK (true)",
    "a policy that lets all be written": "ALTER POLICY tenant_wall ON {} WITH CHECK (true)",
    "a policy for somebody else": "ALTER POLICY tenant_wall ON {} TO convalloc_owner",
    "another policy beside it": "CREATE POLICY hole ON {} USING (true)",
    "another policy for the runtime role": "CREATE POLICY hole ON {} TO convalloc_app USING (true)",
}


@pytest.mark.parametrize("breach", BREACHES)
@pytest.mark.parametrize("table", ["conversations", "operators", "tenants"])
def test_a_table_with_a_breach_is_reported(table: str, breach: str, owner: psycopg.Connection[Any]) -> None:
    with owner.cursor() as cursor:
        assert list(checks.missing_walls(cursor)) == []

        cursor.execute(sql.SQL(BREACHES[breach]).format(sql.Identifier(table)))

        found = list(checks.missing_walls(cursor))
    assert [fault.id for fault in found] == ["tenants.E002"]
    assert f"The table {table} lacks a wall" in found[0].msg


def test_a_key_without_the_tenant_is_reported(owner: psycopg.Connection[Any]) -> None:
    owner.execute("ALTER TABLE events DROP CONSTRAINT events_pkey, ADD PRIMARY KEY (id)")

    with owner.cursor() as cursor:
        (found,) = checks.missing_walls(cursor)

    assert (found.id, found.msg.split(" (")[0]) == ("tenants.E002", "The table events lacks a wall")
    assert "key led by: id" in found.msg


def test_a_table_that_is_not_migrated_yet_is_no_fault(owner: psycopg.Connection[Any]) -> None:
    owner.execute("DROP TABLE events")

    with owner.cursor() as cursor:
        assert list(checks.missing_walls(cursor)) == []


@pytest.mark.usefixtures("django_db_setup")
def test_production_as_the_runtime_role_passes() -> None:
    answer = check_deploy()

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "System check identified no issues (0 silenced).\n"


@pytest.mark.usefixtures("django_db_setup")
def test_the_owner_as_runtime_role_is_refused() -> None:
    answer = check_deploy(DATABASE_URL=os.environ["DATABASE_OWNER_URL"])

    assert answer.returncode == 1
    assert "(tenants.E003) The runtime role convalloc_owner owns the tables" in answer.stderr


@pytest.mark.usefixtures("django_db_setup")
def test_a_superuser_as_runtime_role_is_refused() -> None:
    answer = check_deploy(DATABASE_URL=superuser())

    assert answer.returncode == 1
    assert "(tenants.E003) The runtime role postgres is, or can become, a superuser" in answer.stderr


@pytest.mark.usefixtures("django_db_setup")
@pytest.mark.parametrize(
    ("powers", "told"),
    [
        ("BYPASSRLS", "is, or can become, a superuser, BYPASSRLS or CREATEROLE"),
        ("CREATEROLE", "is, or can become, a superuser, BYPASSRLS or CREATEROLE"),
        ("NOINHERIT IN ROLE postgres", "is, or can become, a superuser, BYPASSRLS or CREATEROLE"),
        ("NOINHERIT IN ROLE convalloc_owner", "owns the tables, or is a member of who does"),
        ("NOINHERIT", ""),
    ],
)
def test_a_role_that_can_climb_is_refused(powers: str, told: str) -> None:
    name = f"climber_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with psycopg.connect(superuser(), autocommit=True) as postgres:
        postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'climb' {powers}".encode())
        try:
            answer = check_deploy(DATABASE_URL=as_role(name, "climb"))
        finally:
            postgres.execute(f"DROP ROLE {name}".encode())

    assert answer.returncode == (1 if told else 0), answer.stderr
    assert (f"(tenants.E003) The runtime role {name} {told}" in answer.stderr) is bool(told), answer.stderr


@pytest.mark.usefixtures("django_db_setup")
@pytest.mark.parametrize("switch", ["OPERATOR_HEADER_AUTH", "DEVELOPMENT"])
def test_believing_a_header_without_proof_is_refused(switch: str) -> None:
    answer = check_deploy(**{switch: "true"})

    assert answer.returncode == 1
    assert "(tenants.E004) The header X-Operator-Id is believed" in answer.stderr


@pytest.mark.parametrize("named", [True, False])
def test_a_database_that_is_away_is_a_warning_and_not_a_pass(named: bool) -> None:
    answer = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=settings.BASE_DIR,
        env=os.environ | {"DATABASE_URL": as_role("convalloc_app", "wrong") if named else ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "(tenants.W001) The runtime role could not be checked" in answer.stderr
