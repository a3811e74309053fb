"""A conversation as clients know it: names and shapes are a contract, fields are only ever added."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from convalloc import prepared
from convalloc.prepared import Statement
from conversations.models import Assignment, ConversationLabel
from conversations.priority import Weights
from conversations.states import State
from tenants import isolation

COLUMNS = (
    "id",
    "tenant_id",
    "inbox_id",
    "inbox__name",
    "external_conversation_id",
    "customer_phone_number",
    "state",
    "assigned_operator_id",
    "assigned_operator__name",
    "assigned_operator__email",
    "message_count",
    "last_message_at",
    "waiting_since",
    "waits_from",
    "credit",
    "version",
    "created_at",
    "updated_at",
    "resolved_at",
)


# The answer of an act, in one statement: most of what a request costs is the way to the database and back.
ROWS = Statement("""
    SELECT c.id, c.tenant_id, c.inbox_id, i.name AS inbox__name, c.external_conversation_id, c.customer_phone_number, c.state,
           c.assigned_operator_id, o.name AS assigned_operator__name, o.email AS assigned_operator__email, c.message_count,
           c.last_message_at, c.waiting_since, c.waits_from, c.credit, c.version, c.created_at, c.updated_at, c.resolved_at,
           a.id AS assignment_id, a.source, a.started_at, clock_timestamp() AS now,
           (SELECT jsonb_agg(jsonb_build_object('id', l.id, 'name', l.name, 'color', l.color) ORDER BY l.name, l.id)
              FROM conversation_labels w JOIN labels l ON l.tenant_id = w.tenant_id AND l.id = w.label_id
             WHERE w.tenant_id = c.tenant_id AND w.conversation_id = c.id) AS labels
      FROM conversations c
      JOIN inboxes i ON i.tenant_id = c.tenant_id AND i.id = c.inbox_id
      LEFT JOIN operators o ON o.tenant_id = c.tenant_id AND o.id = c.assigned_operator_id
      LEFT JOIN assignments a ON a.tenant_id = c.tenant_id AND a.conversation_id = c.id AND a.ended_at IS NULL
     WHERE c.tenant_id = %(tenant_id)s AND c.id = ANY (%(conversation_ids)s::bigint[])
""")


def one(conversation_id: int, weights: Weights) -> dict[str, Any]:
    """A conversation of the bound tenant that is known to exist, with its score at this instant."""
    return several([conversation_id], weights)[0]


def several(conversation_ids: Sequence[int], weights: Weights) -> list[dict[str, Any]]:
    """Conversations of the bound tenant that are known to exist, in this order, with their scores at this instant."""
    if not conversation_ids:
        return []
    rows = prepared.rows(ROWS, {"tenant_id": isolation.current_tenant_id(), "conversation_ids": list(conversation_ids)})
    spelled = {row["id"]: _spell(row, weights, row["now"], orjson.loads(row["labels"] or "[]"), _assignment(row)) for row in rows}
    return [spelled[conversation_id] for conversation_id in conversation_ids]


def _assignment(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["assignment_id"] is None:
        return None
    names = {"id": "assignment_id", "operator_id": "assigned_operator_id", "source": "source", "started_at": "started_at"}
    return {name: row[column] for name, column in names.items()}


def spell(rows: Sequence[dict[str, Any]], weights: Weights, now: datetime) -> list[dict[str, Any]]:
    """Rows of a list that hold at least COLUMNS, as clients know them: two statements more, however many rows."""
    labels = _labels([row["id"] for row in rows])
    assignments = _open_assignments([row["id"] for row in rows if row["state"] == State.ALLOCATED])
    return [_spell(row, weights, now, labels.get(row["id"], []), assignments.get(row["id"])) for row in rows]


def _spell(row: dict[str, Any], weights: Weights, now: datetime, labels: list[Any], assignment: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": row["id"],
        "tenant_id": row["tenant_id"],
        "inbox_id": row["inbox_id"],
        "inbox_name": row["inbox__name"],
        "external_conversation_id": row["external_conversation_id"],
        "customer_phone_number": row["customer_phone_number"],
        "state": row["state"],
        "assigned_operator_id": row["assigned_operator_id"],
        "operator_name": row["assigned_operator__name"] or row["assigned_operator__email"],
        "message_count": row["message_count"],
        "last_message_at": row["last_message_at"],
        "priority_score": weights.score(row["credit"], row["waits_from"], now),
        "labels": labels,
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "resolved_at": row["resolved_at"],
        "version": row["version"],
        "waiting_since": row["waiting_since"],
        "assignment": assignment,
    }


def _labels(conversation_ids: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    worn: dict[int, list[dict[str, Any]]] = {}
    rows = ConversationLabel.objects.filter(conversation_id__in=conversation_ids).order_by("label__name", "label_id")
    for conversation_id, label_id, name, color in rows.values_list("conversation_id", "label_id", "label__name", "label__color"):
        worn.setdefault(conversation_id, []).append({"id": label_id, "name": name, "color": color})
    return worn


def _open_assignments(conversation_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    if not conversation_ids:
        return {}
    rows = Assignment.objects.filter(conversation_id__in=conversation_ids, ended_at__isnull=True)
    return {
        row.conversation_id: {"id": row.pk, "operator_id": row.operator_id, "source": row.source, "started_at": row.started_at}
        for row in rows
    }
