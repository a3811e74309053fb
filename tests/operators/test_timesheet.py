"""The timesheet, beside what its door is asked: however long a history is, a window reads what lies in it."""

import os
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection

from convalloc import clock
from operators import timesheet
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations.test_plans import executed, indexes

LONG = 20_000
HISTORY = """
    INSERT INTO presence_periods (tenant_id, operator_id, status, reason, started_at, ended_at)
    SELECT %s, %s, CASE WHEN mod(n, 2) = 0 THEN 'AWAY' ELSE 'AVAILABLE' END, '',
           now() - (n + 1) * interval '10 minutes', now() - n * interval '10 minutes' FROM generate_series(1, %s) n
"""


@pytest.fixture
def flapping(committed: None) -> Cast:
    """Olga has come and gone every ten minutes for months; with statistics."""
    cast = assemble()
    with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
        cursor.execute(HISTORY, [cast.tenant.pk, cast.olga.pk, LONG])
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE presence_periods")
    return cast


def plan_of(cast: Cast, days_ago: int) -> list[dict[str, Any]]:
    """The plan of a day's timesheet, so many days ago."""
    until = clock.now() - timedelta(days=days_ago)
    asked = timesheet.window(None, until, clock.now())
    return executed(cast, lambda: timesheet.of(cast.olga.pk, asked, 20), of="presence_periods")


def rows_read(plan: list[dict[str, Any]]) -> int:
    """How many periods were looked at."""
    scans = [node for node in plan if node.get("Relation Name") == "presence_periods"]
    return int(sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans))


@pytest.mark.parametrize("days_ago", [1, 60, 130])
def test_a_day_of_a_long_history_is_read_alone(flapping: Cast, days_ago: int) -> None:
    plan = plan_of(flapping, days_ago)

    assert indexes(plan) == {"presence_by_operator"}
    assert rows_read(plan) < 24 * 6 + 10


def test_control_without_its_lower_bound_the_day_reads_all_that_came_before_it(flapping: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timesheet, "SHEET", timesheet.SHEET.replace("AND p.started_at >= %(first)s", ""))

    plan = plan_of(flapping, 1)

    assert rows_read(plan) > LONG / 2


def test_the_first_period_begins_as_the_account_does(cast: Cast) -> None:
    hired = cast.operator(status="AWAY")

    with isolation.act_as(cast.tenant.pk):
        sheet = timesheet.of(hired.pk, timesheet.window(None, None, clock.now()), 20)

    assert [(row["status"], row["reason"], row["actor_id"], row["ended_at"]) for row in sheet.periods] == [("AWAY", "", None, None)]
