"""The history of presence begins with the status that everybody has when the table comes, in every tenant; back it goes without a trace."""

from typing import Any

import psycopg
import pytest

from tests.migrations.conftest import manage

ROWS = """
    SET LOCAL app.tenant_id = '{tenant}';
    INSERT INTO tenants (id, name, priority_alpha, priority_beta, message_cap, delay_cap_minutes, waiting_clock, grace_period_minutes,
                         cooldown_minutes, weights_version, ranked_version, ranking_run, ranking_done, ranking_total)
    VALUES ({tenant}, 'T', 0.4, 0.6, 100, 1440, 'last_message_at', 15, 5, 1, 1, 0, 0, 0);
    INSERT INTO operators (tenant_id, id, password, email, name, role, is_active)
    VALUES ({tenant}, {tenant}, '!', 'o{tenant}@x.example', 'O', 'OPERATOR', true);
    INSERT INTO operator_status (tenant_id, operator_id, status, last_status_change_at) VALUES ({tenant}, {tenant}, 'AWAY', '2026-01-01Z')
"""
TOLD = "SELECT operator_id, status, reason, actor_id, started_at = '2026-01-01Z', ended_at FROM presence_periods"


def history(environment: dict[str, str], tenant: int) -> list[tuple[Any, ...]]:
    """A tenant's history."""
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as owner:
        owner.execute(f"SET LOCAL app.tenant_id = '{tenant}'".encode())
        return owner.execute(TOLD.encode()).fetchall()


def test_the_history_begins_with_what_everybody_is_now(empty_database: dict[str, str]) -> None:
    for app in (("tenants",), ("operators", "0004")):
        manage(empty_database, "migrate", *app, "--verbosity", "0")
    with psycopg.connect(empty_database["DATABASE_OWNER_URL"], autocommit=True) as owner:
        for tenant in (7, 8):
            owner.execute(f"BEGIN; {ROWS.format(tenant=tenant)}; COMMIT".encode())

    manage(empty_database, "migrate", "--verbosity", "0")

    assert {tenant: history(empty_database, tenant) for tenant in (7, 8)} == {
        tenant: [(tenant, "AWAY", "", None, True, None)] for tenant in (7, 8)
    }
    with psycopg.connect(empty_database["DATABASE_OWNER_URL"]) as owner:
        assert owner.execute("SELECT FROM presence_periods").fetchall() == [], "the wall binds the owner again"

    manage(empty_database, "migrate", "operators", "0004", "--verbosity", "0")

    with pytest.raises(psycopg.errors.UndefinedTable):
        history(empty_database, 7)

    manage(empty_database, "migrate", "--verbosity", "0")

    assert history(empty_database, 7) == [(7, "AWAY", "", None, True, None)]
