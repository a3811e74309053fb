"""The hot queries use their indexes: on skewed data, as the runtime role, behind the tenant wall."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from conversations import allocation, queue, standing
from conversations.priority import Weights
from tenants import isolation
from tests.conftest import Cast, assemble

# A day, the delay cap, is 9600 steps of nine seconds. Of what crossed it, the last tick has flagged all but a few.
CROWD = """
    INSERT INTO conversations (tenant_id, inbox_id, external_conversation_id, customer_phone_number, state, message_count,
                               last_message_at, waits_from, credit, rank, saturated, priority_score, version, resolved_at)
    SELECT %(tenant)s, CASE WHEN mod(n, 10) = 0 THEN %(sales)s ELSE %(support)s END, 'crowd ' || n, '+1' || n,
           CASE WHEN mod(n, 5) = 0 THEN 'RESOLVED' ELSE 'QUEUED' END, messages, since, since, credit, {rank}, flagged, 0, 1,
           CASE WHEN mod(n, 5) = 0 THEN now() END
      FROM (SELECT *, {credit} AS credit, n > 9600 AND mod(n, 200) <> 1 AS flagged
              FROM (SELECT n, mod(n, 3) AS messages, now() - n * interval '9 seconds' AS since FROM generate_series(1, 30000) n) a) b
"""
CROWD_SIZE = 30_000


@pytest.fixture
def crowd(committed: None) -> Cast:
    """Thirty thousand conversations: two thirds beyond the delay cap, nine tenths in one inbox; with statistics."""
    cast = assemble()
    weights = Weights.of(cast.tenant)
    statement = CROWD.format(rank=weights.in_sql.rank("credit", "since", "flagged"), credit=weights.in_sql.credit("messages"))
    with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
        cursor.execute(statement, {"tenant": cast.tenant.pk, "support": cast.support.pk, "sales": cast.sales.pk})
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE conversations")
    return cast


def executed(cast: Cast, act: Callable[[], Any], of: str = "conversations") -> list[dict[str, Any]]:
    """The nodes of the plans, as they were executed, of what an act asks of a table, or of any."""
    plans: list[dict[str, Any]] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        for statement in sql.split("; ") if "EXPLAIN" not in sql else []:
            if statement.startswith("SET LOCAL") and "%" not in statement:  # what the plan is made under
                connection.connection.execute(statement)
            if not re.match(r"\s*(EXECUTE|SELECT|WITH|UPDATE|DELETE)", statement) or not ("EXECUTE" in statement or of in statement):
                continue
            with connection.cursor() as cursor:
                cursor.execute("SAVEPOINT explained")
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", params)
                plans.extend(nodes(cursor.fetchone()[0][0]["Plan"]))
                cursor.execute("ROLLBACK TO explained")
        return execute(sql, params, many, context)

    with isolation.act_as(cast.tenant.pk), connection.execute_wrapper(explain):
        act()
    assert plans, "the act asked nothing"
    return plans


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan and all that is below it."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def rows_read(plan: list[dict[str, Any]]) -> int:
    """How many rows of the table were looked at."""
    scans = [node for node in plan if node.get("Relation Name") == "conversations"]
    return int(sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans))


def walks(plan: list[dict[str, Any]]) -> list[str]:
    """What reads the table whole."""
    return [node["Node Type"] for node in plan if node.get("Relation Name") == "conversations" and node["Node Type"] == "Seq Scan"]


def indexes(plan: list[dict[str, Any]]) -> set[str]:
    """The indexes that were used."""
    return {node["Index Name"] for node in plan if "Index Name" in node}


def test_a_pick_probes_its_two_indexes_and_reads_few_rows(crowd: Cast) -> None:
    plan = executed(crowd, lambda: queue.lock_best(crowd.olga.pk, crowd.tenant))

    assert walks(plan) == []
    assert {"conversation_by_rank", "conversation_by_waiting"} <= indexes(plan)
    assert rows_read(plan) < CROWD_SIZE / 50


def test_the_pick_that_was_planned_once_for_every_tenant_reads_as_few(crowd: Cast) -> None:
    plan = executed(crowd, lambda: allocation.allocate_next(crowd.olga.pk, crowd.tenant))

    assert walks(plan) == []
    assert {"conversation_by_rank", "conversation_by_waiting"} <= indexes(plan)
    assert rows_read(plan) < CROWD_SIZE / 50


def test_the_tick_finds_what_crossed_the_cap_without_reading_the_queue(crowd: Cast) -> None:
    plan = executed(crowd, lambda: queue.flag_saturated(crowd.tenant, 5000))

    assert walks(plan) == []
    assert rows_read(plan) < CROWD_SIZE / 20


def test_whether_anything_stands_where_weights_of_before_put_it_is_one_probe(crowd: Cast) -> None:
    plan = executed(crowd, lambda: queue.late(crowd.tenant))

    assert indexes(plan) == {"queue_by_weights"}
    assert rows_read(plan) == 0


def test_a_place_is_counted_in_the_queue_s_own_indexes(crowd: Cast) -> None:
    with isolation.act_as(crowd.tenant.pk):
        best = queue.lock_best(crowd.olga.pk, crowd.tenant)
        assert best is not None

    plan = executed(crowd, lambda: standing.explain(best.pk, crowd.mia, crowd.tenant))

    assert {"conversation_by_rank", "conversation_by_waiting"} <= indexes(plan)


def test_control_without_its_index_a_pick_reads_the_queue(crowd: Cast) -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        (definition,) = owner.execute("SELECT pg_get_indexdef('conversation_by_rank'::regclass)").fetchone() or ("",)
        owner.execute("DROP INDEX conversation_by_rank")
        try:
            plan = executed(crowd, lambda: queue.lock_best(crowd.olga.pk, crowd.tenant))
        finally:
            owner.execute(definition)

    assert rows_read(plan) > CROWD_SIZE / 50
