"""What was told before events knew their conversation, inbox and holder: each says so afterwards, as it would have been written."""

from typing import Any

import psycopg

from tests.migrations.conftest import manage
from tests.servers import superuser

TENANT = 7
OF_BEFORE = """
    INSERT INTO grace_period_assignments (tenant_id, id, assignment_id, conversation_id, operator_id, reason, opened_at, expires_at)
    VALUES (7, 40, 1, 5, 31, 'offline', '2026-01-01Z', '2026-01-02Z');
    INSERT INTO labels (tenant_id, id, inbox_id, name, color, created_by_id) VALUES (7, 60, 11, 'VIP', '#ff0000', 31);
    INSERT INTO events (tenant_id, kind, subject_type, subject_id, cause, request_id, before, after) VALUES
        (7, 'conversation.created', 'conversation', 5, '', '', '{}', '{"inbox_id": 11, "state": "QUEUED", "version": 1}'),
        (7, 'conversation.claimed', 'conversation', 5, '', '', '{"assigned_operator_id": null}', '{"assigned_operator_id": 31}'),
        (7, 'grace.opened', 'graceperiod', 40, '', '', '{}', '{"conversation_id": 5, "operator_id": 31}'),
        (7, 'grace.extended', 'graceperiod', 40, '', '', '{}', '{}'),
        (7, 'conversation.labelled', 'conversation', 5, '', '', '{"label_ids": []}', '{"label_ids": [60]}'),
        (7, 'conversation.moved', 'conversation', 5, '', '', '{"inbox_id": 11, "assigned_operator_id": 31}',
         '{"inbox_id": 12, "assigned_operator_id": null}'),
        (7, 'conversation.resolved', 'conversation', 5, '', '', '{}', '{"state": "RESOLVED"}'),
        (7, 'label.created', 'label', 61, '', '', '{}', '{"inbox_id": 12}'),
        (7, 'label.changed', 'label', 61, '', '', '{}', '{"name": "gone since"}'),
        (7, 'label.changed', 'label', 60, '', '', '{}', '{"name": "VIP"}'),
        (7, 'inbox.changed', 'inbox', 12, '', '', '{}', '{"name": "Sales"}'),
        (7, 'operator.status_changed', 'operator', 31, '', '', '{}', '{"status": "AWAY"}')
"""
WHEREABOUTS = "SELECT kind, conversation_id, inbox_id, holder_id FROM events ORDER BY id"


def whereabouts(environment: dict[str, str]) -> list[tuple[Any, ...]]:
    """Of every event, oldest first."""
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as owner:
        owner.execute(f"SET LOCAL app.tenant_id = '{TENANT}'".encode())
        return owner.execute(WHEREABOUTS.encode()).fetchall()


def test_events_of_before_know_where_they_happened_and_in_whose_hands(empty_database: dict[str, str]) -> None:
    manage(empty_database, "migrate", "conversations", "0009", "--verbosity", "0")
    manage(empty_database, "migrate", "tenants", "0011", "--verbosity", "0")
    name = empty_database["DATABASE_OWNER_URL"].rsplit("/", 1)[1]
    with psycopg.connect(superuser(), dbname=name) as postgres:  # past the walls and the keys: what these rows refer to is not the matter
        postgres.execute("SET LOCAL session_replication_role = replica")
        postgres.execute(OF_BEFORE.encode())

    manage(empty_database, "migrate", "--verbosity", "0")

    assert whereabouts(empty_database) == [
        ("conversation.created", 5, 11, None),
        ("conversation.claimed", 5, 11, 31),
        ("grace.opened", 5, 11, 31),
        ("grace.extended", 5, 11, 31),
        ("conversation.labelled", 5, 11, 31),
        ("conversation.moved", 5, 12, None),
        ("conversation.resolved", 5, 12, None),
        ("label.created", None, 12, None),
        ("label.changed", None, 12, None),
        ("label.changed", None, 11, None),
        ("inbox.changed", None, 12, None),
        ("operator.status_changed", None, None, None),
    ]
    with psycopg.connect(empty_database["DATABASE_OWNER_URL"]) as owner:
        assert owner.execute("SELECT FROM events").fetchall() == [], "the wall binds the owner again"
