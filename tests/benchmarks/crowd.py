"""The data of a run: one tenant, ten inboxes, operators who answer at five each, and a queue of any length with skewed counts."""

from collections.abc import Callable
from typing import Any

import psycopg
from django.db import connection

from conversations import recalculation
from conversations.priority import Weights
from tenants import isolation
from tenants.models import Tenant
from tests.benchmarks.ground import Ground

TENANT = 1
INBOXES = 10
ANSWERED = 5  # inboxes of one operator
LABELS = 3  # of an inbox; every fourth conversation wears one of them, every sixteenth two
SATURATED = 0.3  # of the queue has waited for longer than a day, the delay cap
MANAGER_SHIFT = 1  # the manager's id comes after those of the operators

PEOPLE = """
    INSERT INTO tenants (id, name, priority_alpha, priority_beta, message_cap, delay_cap_minutes, waiting_clock,
                         grace_period_minutes, cooldown_minutes, weights_version, ranked_version, ranking_run, ranking_done, ranking_total)
    VALUES ({tenant}, 'Benchmark', 0.4, 0.6, 100, 1440, 'last_message_at', 15, 5, 1, 1, 0, 0, 0);
    INSERT INTO inboxes (tenant_id, id, name, phone_number)
    SELECT {tenant}, n, 'Inbox ' || n, '+1555' || n FROM generate_series(1, {inboxes}) n;
    INSERT INTO operators (tenant_id, id, password, email, name, role, is_active)
    SELECT {tenant}, n, '!', 'operator' || n || '@bench.example', 'Operator ' || n,
           CASE WHEN n > {operators} THEN 'MANAGER' ELSE 'OPERATOR' END, true FROM generate_series(1, {operators} + 1) n;
    INSERT INTO operator_status (tenant_id, operator_id, status)
    SELECT {tenant}, n, 'AVAILABLE' FROM generate_series(1, {operators} + 1) n;
    INSERT INTO operator_inbox_subscriptions (tenant_id, operator_id, inbox_id)
    SELECT {tenant}, o, 1 + mod(o + i, {inboxes}) FROM generate_series(1, {operators}) o, generate_series(1, {answered}) i;
    INSERT INTO labels (tenant_id, id, inbox_id, name, color, created_by_id)
    SELECT {tenant}, n, 1 + mod(n, {inboxes}), 'Label ' || n, '#336699', 1 FROM generate_series(1, {inboxes} * {labels}) n;
"""
# Message counts: half of the conversations have one message, one in a hundred has sixty or more (a Pareto tail).
QUEUE = """
    INSERT INTO conversations (tenant_id, inbox_id, external_conversation_id, customer_phone_number, state, message_count, last_message_at,
                               waiting_since, waits_from, credit, rank, saturated, priority_score, version)
    SELECT {tenant}, inbox, 'ext ' || n, '+1987' || n, 'QUEUED', messages, since, since, since, credit, {rank}, flagged, {score}, 1
      FROM (SELECT *, {credit} AS credit, now() - since >= {delay_cap} AS flagged
              FROM (SELECT n, 1 + mod(n, {inboxes}) AS inbox, least(500, floor(power(1 - random(), -0.9)))::int AS messages,
                           now() - (CASE WHEN random() < {saturated} THEN {delay_cap} * (1 + 2 * random())
                                         ELSE {delay_cap} * random() END) AS since
                      FROM generate_series(%(first)s::bigint, %(last)s::bigint) n) drawn) placed
"""
WORN = """
    INSERT INTO conversation_labels (tenant_id, inbox_id, conversation_id, label_id)
    SELECT c.tenant_id, c.inbox_id, c.id, l.id
      FROM conversations c JOIN labels l ON l.tenant_id = c.tenant_id AND l.inbox_id = c.inbox_id
     WHERE (mod(c.id / {inboxes}, 4) = 0 AND l.id <= {inboxes}) OR (mod(c.id / {inboxes}, 16) = 0 AND l.id > 2 * {inboxes})
"""
SEQUENCES = "SELECT setval(pg_get_serial_sequence(t, 'id'), 1000) FROM unnest(ARRAY['tenants', 'inboxes', 'operators', 'labels']) t"


def fill(ground: Ground, database: str, queued: int, operators: int) -> None:
    """A queue of this length, as the tables' owner; vacuumed and analysed, so that every run starts from the same."""
    numbers = {"tenant": TENANT, "inboxes": INBOXES, "operators": operators, "answered": ANSWERED, "labels": LABELS}
    with ground.owner(database) as owner:
        in_the_tenant(owner, PEOPLE.format(**numbers))
        owner.execute(SEQUENCES)
        in_the_tenant(owner, "SELECT setseed(0.42)")
        grow(owner, 1, queued)
        in_the_tenant(owner, WORN.format(**numbers))
        owner.execute("VACUUM ANALYZE")


def grow(owner: psycopg.Connection[Any], first: int, last: int) -> None:
    """More that waits, by number."""
    weights = Weights(alpha=4000, beta=6000, message_cap=100, delay_cap=86_400_000_000)
    statement = QUEUE.format(
        tenant=TENANT,
        inboxes=INBOXES,
        saturated=SATURATED,
        delay_cap=weights.in_sql.delay_cap_interval,
        credit=weights.in_sql.credit("messages"),
        rank=weights.in_sql.rank("credit", "since", "flagged"),
        score=weights.in_sql.score(weights.in_sql.effective("credit", "since", "now()")),
    )
    in_the_tenant(owner, statement, {"first": first, "last": last})


def in_the_tenant(owner: psycopg.Connection[Any], statement: str, parameters: dict[str, Any] | None = None) -> None:
    """One transaction that acts as the tenant."""
    with owner.transaction():
        owner.execute(f"SET LOCAL app.tenant_id = '{TENANT}'")
        owner.execute(statement, parameters)


def act_in(database: str, act: Callable[[Tenant], Any]) -> Any:
    """Do something of the product's in this process, as the tenant, on a database; the connection is closed afterwards."""
    connection.close()
    connection.settings_dict["NAME"] = database
    try:
        with isolation.act_as(TENANT):
            return act(Tenant.objects.get(pk=TENANT))
    finally:
        connection.close()


def tick(database: str) -> None:
    """What the beat does every minute; without it a long run would measure a dead tick."""
    connection.close()
    connection.settings_dict["NAME"] = database
    recalculation.tick(limit=100_000)
    connection.close()
