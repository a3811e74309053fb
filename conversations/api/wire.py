"""A conversation as clients know it: names and shapes are a contract, fields are only ever added."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from convalloc import prepared
from convalloc.prepared import Statement
from conversations.priority import Weights
from conversations.walk import ORDERS, Shape, source
from tenants import isolation

# An answer is one statement: most of what a request costs is the way to the database and back. Braces hold SQL of the ids
# that are asked for, and of their order. OFFSET 0 has the rows probed one by one: the planner, who does not know how few
# there are, might read a table whole to meet them.
ROWS = """
    SELECT c.id, c.tenant_id, c.inbox_id, i.name AS inbox_name, c.external_conversation_id, c.customer_phone_number, c.state,
           c.assigned_operator_id, coalesce(nullif(o.name, ''), o.email) AS operator_name, c.message_count,
           c.last_message_at, c.waits_from, c.credit, c.waiting_since, c.version, c.created_at, c.updated_at, c.resolved_at,
           a.id AS assignment_id, a.source, a.started_at, clock_timestamp() AS now,
           (SELECT jsonb_agg(jsonb_build_object('id', l.id, 'name', l.name, 'color', l.color) ORDER BY l.name, l.id)
              FROM conversation_labels w JOIN labels l ON l.tenant_id = w.tenant_id AND l.id = w.label_id
             WHERE w.tenant_id = c.tenant_id AND w.conversation_id = c.id) AS labels{and_more}
      FROM ({asked}) asked
     CROSS JOIN LATERAL (SELECT * FROM conversations WHERE tenant_id = %(tenant_id)s AND id = asked.id OFFSET 0) c
      JOIN inboxes i ON i.tenant_id = c.tenant_id AND i.id = c.inbox_id
      LEFT JOIN operators o ON o.tenant_id = c.tenant_id AND o.id = c.assigned_operator_id
      LEFT JOIN assignments a ON a.tenant_id = c.tenant_id AND a.conversation_id = c.id AND a.ended_at IS NULL
     ORDER BY {order}
"""
GIVEN = "SELECT * FROM unnest(%(conversation_ids)s::bigint[]) WITH ORDINALITY AS given (id, place)"
SEVERAL = Statement(ROWS.format(and_more="", asked=GIVEN, order="asked.place"))


def one(conversation_id: int, weights: Weights) -> dict[str, Any]:
    """A conversation of the bound tenant that is known to exist, with its score at this instant."""
    return several([conversation_id], weights)[0]


def several(conversation_ids: Sequence[int], weights: Weights) -> list[dict[str, Any]]:
    """Conversations of the bound tenant that are known to exist, in this order, with their scores at this instant."""
    if not conversation_ids:
        return []
    rows = prepared.rows(SEVERAL, {"tenant_id": isolation.current_tenant_id(), "conversation_ids": list(conversation_ids)})
    return [spell(row, weights, row["now"]) for row in rows]


@cache
def page_of(shape: Shape) -> Statement:
    """The rows of a page of this shape, ready for `spell`, with what orders them."""
    order = ORDERS[shape.sort].by
    more = ", asked.effective" if shape.sort == "priority" else ""
    by = ", ".join(f"asked.{column}" for column in order.split(", "))
    return Statement(ROWS.format(and_more=more, asked=source(shape), order=by))


def spell(row: Mapping[str, Any], weights: Weights, now: datetime) -> dict[str, Any]:
    """A row of ROWS as clients know it, with its score at an instant."""
    return {
        "id": row["id"],
        "tenant_id": row["tenant_id"],
        "inbox_id": row["inbox_id"],
        "inbox_name": row["inbox_name"],
        "external_conversation_id": row["external_conversation_id"],
        "customer_phone_number": row["customer_phone_number"],
        "state": row["state"],
        "assigned_operator_id": row["assigned_operator_id"],
        "operator_name": row["operator_name"],
        "message_count": row["message_count"],
        "last_message_at": row["last_message_at"],
        "priority_score": weights.score(row["credit"], row["waits_from"], now),
        "labels": orjson.loads(row["labels"] or "[]"),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "resolved_at": row["resolved_at"],
        "version": row["version"],
        "waiting_since": row["waiting_since"],
        "assignment": _assignment(row),
    }


def _assignment(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["assignment_id"] is None:
        return None
    names = {"id": "assignment_id", "operator_id": "assigned_operator_id", "source": "source", "started_at": "started_at"}
    return {name: row[column] for name, column in names.items()}
