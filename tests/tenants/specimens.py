"""For every tenant-owned table one row that the database would take, as raw SQL sees it: what the walls' tests bend and break."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any

from django.db import connection
from django.utils import timezone
from psycopg import sql
from psycopg.types.json import Jsonb

from conversations import grace
from conversations.models import Assignment, Conversation
from operators.models import Status
from tenants import isolation
from tenants.checks import owned_models
from tests.conftest import Cast

OWNED_TABLES = sorted(model._meta.db_table for model in owned_models())
Row = dict[str, Any]

_numbers = count(1)


def insert(table: str, row: Mapping[str, Any]) -> int:
    """Write a row in raw SQL, past the ORM; its id.

    Without RETURNING, which would ask for the right to see the row as well.
    """
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(sql.Placeholder() * len(row))
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, list(row.values()))
        cursor.execute("SELECT lastval()")
        return int(cursor.fetchone()[0])


# What nothing else in such a tenant brings about.
ALONE = (
    "ticks",
    "refresh_tokens",
    "signing_secrets",
    "seen_messages",
    "idempotency_keys",
    "signing_keys",
    "totp_devices",
    "received_messages",
    "webhook_deliveries",
)


def furnish(cast: Cast) -> None:
    """Give a tenant at least one row in each of its tables: Olga holds a labelled conversation and has just gone offline."""
    conversation = cast.conversation()
    label = cast.label()
    with isolation.act_as(cast.tenant.pk):
        for table in ALONE:
            insert(table, specimen(table, cast))
        insert("conversation_labels", conversation_label(cast, conversation, label.pk))
        insert("assignments", assignment(cast, conversation))
        Conversation.objects.filter(pk=conversation.pk).update(state="ALLOCATED", assigned_operator=cast.olga)
        grace.change_status(cast.olga.pk, Status.OFFLINE, cast.tenant)


def specimen(table: str, cast: Cast) -> Row:
    """Values for a new row of this table in this tenant, refused by nothing; what it refers to is made."""
    return {"tenant_id": cast.tenant.pk} | MAKERS[table](cast)


def inbox(cast: Cast) -> Row:
    return {"name": "Returns", "phone_number": f"+1777{next(_numbers):07}"}


def event(cast: Cast) -> Row:
    return {
        "kind": "conversation.created",
        "subject_type": "conversation",
        "subject_id": 1,
        "cause": "",
        "before": Jsonb({}),
        "after": Jsonb({}),
        "request_id": "",
    }


def tick(cast: Cast) -> Row:
    return {"task": f"task {next(_numbers)}", "began_at": timezone.now()}


def operator(cast: Cast) -> Row:
    return {"email": f"new{next(_numbers)}@tenant.example", "password": "", "name": "New", "role": "OPERATOR", "is_active": True}


def operator_status(cast: Cast) -> Row:
    return {"operator_id": insert("operators", specimen("operators", cast)), "status": "OFFLINE"}


def presence_period(cast: Cast) -> Row:
    return {
        "operator_id": insert("operators", specimen("operators", cast)),
        "status": "AWAY",
        "reason": "lunch",
        "actor_id": cast.mia.pk,
        "started_at": timezone.now(),
    }


def session(cast: Cast) -> Row:
    return {"operator_id": cast.mia.pk, "expires_at": timezone.now(), "end_reason": ""}


def refresh_token(cast: Cast) -> Row:
    return {"session_id": insert("sessions", specimen("sessions", cast)), "digest": "hash", "expires_at": timezone.now()}


def api_key(cast: Cast) -> Row:
    return {
        "name": "CRM",
        "operator_id": cast.mia.pk,
        "scopes": Jsonb(["labels:read"]),
        "digest": "hash",
        "created_by_id": cast.ada.pk,
        "expires_at": timezone.now(),
    }


def signing_secret(cast: Cast) -> Row:
    return {"api_key_id": insert("api_keys", specimen("api_keys", cast)), "sealed": "sealed", "created_by_id": cast.ada.pk}


def seen_message(cast: Cast) -> Row:
    return {
        "api_key_id": insert("api_keys", specimen("api_keys", cast)),
        "message_id": f"msg_{next(_numbers)}",
        "signed_at": timezone.now(),
    }


def idempotency_key(cast: Cast) -> Row:
    return {
        "operator_id": cast.mia.pk,
        "operation": "label-create",
        "digest": f"hash {next(_numbers)}",
        "question": "hash",
        "headers": Jsonb({}),
        "status": None,
        "sealed": "",
        "expires_at": timezone.now(),
    }


def signing_key(cast: Cast) -> Row:
    return {"kid": f"key {next(_numbers)}", "private_key": "sealed", "public_key": "public", "retires_at": timezone.now()}


def totp_device(cast: Cast) -> Row:
    operator_id = insert("operators", specimen("operators", cast))
    return {"operator_id": operator_id, "secret": "sealed", "last_step": 0, "recovery_digests": Jsonb([])}


def webhook(cast: Cast) -> Row:
    return {
        "url": "https://192.0.2.1/hook",
        "description": "",
        "kinds": Jsonb([]),
        "payload": "thin",
        "sealed": "sealed",
        "former_sealed": "",
        "stopped_because": "",
        "read_transaction": 0,
        "read_id": 0,
    }


def webhook_delivery(cast: Cast) -> Row:
    return {
        "webhook_id": insert("webhooks", specimen("webhooks", cast)),
        "event_id": next(_numbers),
        "kind": "label.created",
        "state": "pending",
        "due_at": timezone.now(),
        "lease": 0,
        "attempts": 0,
        "tries": Jsonb([]),
    }


def subscription(cast: Cast) -> Row:
    return {"operator_id": cast.mia.pk, "inbox_id": cast.support.pk}


def label(cast: Cast) -> Row:
    return {"inbox_id": cast.support.pk, "name": f"word {next(_numbers)}", "color": "#336699", "created_by_id": cast.mia.pk}


def conversation(cast: Cast) -> Row:
    now = timezone.now()
    return {
        "inbox_id": cast.support.pk,
        "external_conversation_id": f"raw_{next(_numbers)}",
        "customer_phone_number": "+19876543210",
        "state": "QUEUED",
        "message_count": 1,
        "last_message_at": now,
        "waits_from": now,
        "credit": 0,
        "rank": 0,
        "saturated": False,
        "priority_score": 0.0,
        "version": 1,
    }


def assignment(cast: Cast, of: Conversation | None = None) -> Row:
    return {
        "tenant_id": cast.tenant.pk,
        "conversation_id": (of or cast.conversation()).pk,
        "operator_id": cast.olga.pk,
        "source": "auto",
        "started_at": timezone.now(),
        "score_at_start": 0.5,
        "waited_seconds_at_start": 60.0,
    }


def received_message(cast: Cast) -> Row:
    return {
        "conversation_id": cast.conversation().pk,
        "provider": "default",
        "message_id": f"msg_{next(_numbers)}",
        "direction": "inbound",
        "sent_at": timezone.now(),
        "episode": 1,
    }


def grace_period(cast: Cast) -> Row:
    worked = assignment(cast)
    now = timezone.now()
    return {
        "assignment_id": insert(Assignment._meta.db_table, worked),
        "conversation_id": worked["conversation_id"],
        "operator_id": worked["operator_id"],
        "reason": "offline",
        "opened_at": now,
        "expires_at": now + timedelta(minutes=15),
    }


def conversation_label(cast: Cast, of: Conversation | None = None, label_id: int | None = None) -> Row:
    return {
        "tenant_id": cast.tenant.pk,
        "conversation_id": (of or cast.conversation()).pk,
        "label_id": label_id or insert("labels", specimen("labels", cast)),
        "inbox_id": cast.support.pk,
    }


MAKERS = {
    "sessions": session,
    "refresh_tokens": refresh_token,
    "api_keys": api_key,
    "signing_secrets": signing_secret,
    "seen_messages": seen_message,
    "idempotency_keys": idempotency_key,
    "signing_keys": signing_key,
    "totp_devices": totp_device,
    "inboxes": inbox,
    "webhooks": webhook,
    "webhook_deliveries": webhook_delivery,
    "events": event,
    "ticks": tick,
    "operators": operator,
    "operator_status": operator_status,
    "presence_periods": presence_period,
    "operator_inbox_subscriptions": subscription,
    "labels": label,
    "conversations": conversation,
    "assignments": assignment,
    "received_messages": received_message,
    "grace_period_assignments": grace_period,
    "conversation_labels": conversation_label,
}
