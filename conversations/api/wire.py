"""A conversation as clients know it: names and shapes are a contract, fields are only ever added."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from conversations.models import Assignment, Conversation, ConversationLabel
from conversations.priority import Weights
from conversations.states import State

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


def one(conversation_id: int, weights: Weights, now: datetime) -> dict[str, Any]:
    """A conversation of the bound tenant that is known to exist, with its score at this instant."""
    return many(Conversation.objects.filter(pk=conversation_id), weights, now)[0]


def several(conversation_ids: Sequence[int], weights: Weights, now: datetime) -> list[dict[str, Any]]:
    """Conversations that are known to exist, in this order."""
    spelled = {row["id"]: row for row in many(Conversation.objects.filter(pk__in=conversation_ids), weights, now)}
    return [spelled[conversation_id] for conversation_id in conversation_ids]


def many(rows: QuerySet[Conversation], weights: Weights, now: datetime) -> list[dict[str, Any]]:
    """Conversations in the order of the query: three statements, however many rows."""
    return spell(list(rows.values(*COLUMNS)), weights, now)


def spell(rows: Sequence[dict[str, Any]], weights: Weights, now: datetime) -> list[dict[str, Any]]:
    """Rows that hold at least COLUMNS, as clients know them."""
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
