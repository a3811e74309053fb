"""What must never happen, the database refuses: every CHECK and every unique index, in raw SQL. One without a case here fails."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from tenants import isolation
from tests.conftest import Cast
from tests.tenants.specimens import OWNED_TABLES, insert, specimen
from tests.tenants.test_composite_keys import constraint

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Bent = dict[str, Any]
LAST_REASON = {"assignments": "grace_expired", "grace_period_assignments": "expired"}

# constraint -> (table, what is bent about a good row)
REFUSED: dict[str, tuple[str, Bent]] = {
    "allocated_exactly_with_an_operator": ("conversations", {"state": "ALLOCATED", "assigned_operator_id": None}),
    "assignment_ends_with_a_reason": ("assignments", {"ended_at": LONG_AGO, "end_reason": None}),
    "assignment_known_source": ("assignments", {"source": "dice"}),
    "conversation_known_state": ("conversations", {"state": "LOST"}),
    "conversations_episode_check": ("conversations", {"episode": -1}),
    "conversations_message_count_check": ("conversations", {"message_count": -1}),
    "conversations_version_check": ("conversations", {"version": -1}),
    "dropped_secret_is_forgotten": ("signing_secrets", {"dropped_at": LONG_AGO}),
    "answered_with_a_body": ("idempotency_keys", {"status": 200}),
    "idempotency_keys_status_check": ("idempotency_keys", {"status": -1, "sealed": "sealed"}),
    "grace_ends_with_a_reason": ("grace_period_assignments", {"ended_at": LONG_AGO, "end_reason": None}),
    "grace_lasts": ("grace_period_assignments", {"opened_at": LONG_AGO, "expires_at": LONG_AGO}),
    "inbox_grace_range": ("inboxes", {"grace_period_minutes": 0}),
    "labels_version_check": ("labels", {"version": -1}),
    "label_color_is_rrggbb": ("labels", {"color": "#33669g"}),
    "label_has_a_name": ("labels", {"name": ""}),
    "message_known_direction": ("received_messages", {"direction": "sideways"}),
    "operator_inbox_subscriptions_capacity_check": ("operator_inbox_subscriptions", {"capacity": -1}),
    "operator_capacity_range": ("operators", {"capacity": 10_001}),
    "operator_email_lower_case": ("operators", {"email": "New@tenant.example"}),
    "operator_status_version_check": ("operator_status", {"version": -1}),
    "operators_limits_version_check": ("operators", {"limits_version": -1}),
    "operator_known_role": ("operators", {"role": "KING"}),
    "operator_known_status": ("operator_status", {"status": "ASLEEP"}),
    "operator_of_platform_is_admin": ("operators", {"tenant_id": 0, "role": "OPERATOR"}),
    "presence_known_status": ("presence_periods", {"status": "ASLEEP"}),
    "presence_runs_forward": ("presence_periods", {"ended_at": LONG_AGO}),
    "received_messages_episode_check": ("received_messages", {"episode": -1}),
    "resolved_exactly_with_a_time": ("conversations", {"state": "RESOLVED", "resolved_at": None}),
    "subscription_capacity_range": ("operator_inbox_subscriptions", {"capacity": 10_001}),
    "tenant_capacity_range": ("tenants", {"operator_capacity": 0}),
    "tenant_cooldown_range": ("tenants", {"cooldown_minutes": 1441}),
    "tenant_delay_cap_range": ("tenants", {"delay_cap_minutes": 43_201}),
    "tenant_grace_range": ("tenants", {"grace_period_minutes": 0}),
    "tenant_lease_range": ("tenants", {"lease_seconds": 29}),
    "tenant_leases_begin": ("tenants", {"lease_seconds": 60}),
    "tenant_events_kept_range": ("tenants", {"events_kept_days": 6}),
    "tenant_known_clock": ("tenants", {"waiting_clock": "hourglass"}),
    "tenant_message_cap_range": ("tenants", {"message_cap": 0}),
    "tenant_retention_range": ("tenants", {"resolved_conversations_days": 0}),
    "tenant_weights_are_sane": ("tenants", {"priority_alpha": -1}),
    "tenant_weights_order_something": ("tenants", {"priority_alpha": 0, "priority_beta": 0}),
    "tenants_ranking_done_check": ("tenants", {"ranking_done": -1}),
    "tenants_ranking_run_check": ("tenants", {"ranking_run": -1}),
    "tenants_ranking_total_check": ("tenants", {"ranking_total": -1}),
    "tenants_ranked_version_check": ("tenants", {"ranked_version": -1}),
    "tenants_settings_version_check": ("tenants", {"settings_version": -1}),
    "tenants_weights_version_check": ("tenants", {"weights_version": -1}),
    "webhook_known_payload": ("webhooks", {"payload": "fat"}),
    "webhook_stopped_because": ("webhooks", {"stopped_at": LONG_AGO}),
    "webhook_delivery_ends": ("webhook_deliveries", {"state": "delivered"}),
    "webhook_deliveries_attempts_check": ("webhook_deliveries", {"attempts": -1}),
}
# Django's own CHECKs of a positive number, where a tighter range of ours speaks first.
IMPLIED = {
    "inboxes_grace_period_minutes_check": "inbox_grace_range",
    "operators_capacity_check": "operator_capacity_range",
    "tenants_cooldown_minutes_check": "tenant_cooldown_range",
    "tenants_lease_seconds_check": "tenant_lease_range",
    "tenants_operator_capacity_check": "tenant_capacity_range",
    "tenants_delay_cap_minutes_check": "tenant_delay_cap_range",
    "tenants_grace_period_minutes_check": "tenant_grace_range",
    "tenants_events_kept_days_check": "tenant_events_kept_range",
    "tenants_message_cap_check": "tenant_message_cap_range",
    "tenants_resolved_conversations_days_check": "tenant_retention_range",
}
OTHER_SIDE: list[tuple[str, str, Bent]] = [  # constraints with two ways to break them: the other way
    ("allocated_exactly_with_an_operator", "conversations", {"state": "QUEUED", "assigned_operator_id": "olga"}),
    ("allocated_exactly_with_an_operator", "conversations", {"state": "RESOLVED", "assigned_operator_id": "olga", "resolved_at": LONG_AGO}),
    ("answered_with_a_body", "idempotency_keys", {"sealed": "sealed"}),
    ("assignment_ends_with_a_reason", "assignments", {"end_reason": "resolved"}),
    ("assignment_ends_with_a_reason", "assignments", {"ended_at": LONG_AGO, "end_reason": "boredom"}),
    ("dropped_secret_is_forgotten", "signing_secrets", {"sealed": ""}),
    ("grace_ends_with_a_reason", "grace_period_assignments", {"end_reason": "expired"}),
    ("grace_ends_with_a_reason", "grace_period_assignments", {"ended_at": LONG_AGO, "end_reason": "boredom"}),
    ("resolved_exactly_with_a_time", "conversations", {"state": "QUEUED", "resolved_at": LONG_AGO}),
    ("inbox_grace_range", "inboxes", {"grace_period_minutes": 10_081}),
    ("label_color_is_rrggbb", "labels", {"color": "336699"}),
    ("tenant_delay_cap_range", "tenants", {"delay_cap_minutes": 0}),
    ("tenant_grace_range", "tenants", {"grace_period_minutes": 10_081}),
    ("tenant_lease_range", "tenants", {"lease_seconds": 3601, "leases_from": LONG_AGO}),
    ("tenant_message_cap_range", "tenants", {"message_cap": 1_000_001}),
    ("tenant_retention_range", "tenants", {"resolved_conversations_days": 3651}),
    ("tenant_events_kept_range", "tenants", {"events_kept_days": 3651}),
    ("tenant_weights_are_sane", "tenants", {"priority_beta": 101}),
    ("webhook_stopped_because", "webhooks", {"stopped_because": "gone"}),
    ("webhook_stopped_because", "webhooks", {"stopped_at": LONG_AGO, "stopped_because": "boredom"}),
    ("webhook_delivery_ends", "webhook_deliveries", {"ended_at": LONG_AGO}),
    ("webhook_delivery_ends", "webhook_deliveries", {"state": "lost", "ended_at": LONG_AGO}),
]
# unique index -> (table, its columns)
UNIQUE: dict[str, tuple[str, list[str]]] = {
    "conversation_in_inbox": ("conversations", ["id", "tenant_id", "inbox_id"]),
    "external_conversation_once": ("conversations", ["tenant_id", "external_conversation_id"]),
    "idempotency_key_once": ("idempotency_keys", ["tenant_id", "operator_id", "operation", "digest"]),
    "inbox_phone_number_once": ("inboxes", ["tenant_id", "phone_number"]),
    "label_in_inbox": ("labels", ["tenant_id", "inbox_id", "id"]),
    "label_name_once_per_inbox": ("labels", ["tenant_id", "inbox_id", "name"]),
    "label_once_per_conversation": ("conversation_labels", ["tenant_id", "conversation_id", "label_id"]),
    "message_counted_once": ("received_messages", ["tenant_id", "provider", "message_id"]),
    "message_once": ("seen_messages", ["tenant_id", "api_key_id", "message_id", "signed_at"]),
    "one_key_signs": ("signing_keys", ["tenant_id"]),
    "one_live_refresh_token": ("refresh_tokens", ["tenant_id", "session_id"]),
    "one_open_assignment": ("assignments", ["tenant_id", "conversation_id"]),
    "one_open_grace_period": ("grace_period_assignments", ["tenant_id", "assignment_id"]),
    "one_open_presence_period": ("presence_periods", ["tenant_id", "operator_id"]),
    "one_status_per_operator": ("operator_status", ["tenant_id", "operator_id"]),
    "one_tick_row_per_task": ("ticks", ["tenant_id", "task"]),
    "one_totp_device_per_operator": ("totp_devices", ["tenant_id", "operator_id"]),
    "operator_id_alone": ("operators", ["id"]),
    "operators_email_key": ("operators", ["email"]),
    "signing_key_name_once": ("signing_keys", ["tenant_id", "kid"]),
    "webhook_event_once": ("webhook_deliveries", ["tenant_id", "webhook_id", "event_id"]),
    "subscription_once": ("operator_inbox_subscriptions", ["tenant_id", "operator_id", "inbox_id"]),
}


def catalogue(query: str) -> dict[str, Any]:
    """Name and fact of what the database's catalogue tells about our tables."""
    with connection.cursor() as cursor:
        cursor.execute(query, [[*OWNED_TABLES, "tenants"]])
        return dict(cursor.fetchall())


def write(table: str, cast: Cast, bent: Mapping[str, Any]) -> None:
    """A good row but for what is bent; the tenant's own row is changed instead."""
    bent = {column: cast.olga.pk if value == "olga" else value for column, value in bent.items()}
    if table != "tenants":
        insert(table, specimen(table, cast) | bent)
        return
    with connection.cursor() as cursor:
        settings = ", ".join(f"{column} = %s" for column in bent)
        cursor.execute(f"UPDATE tenants SET {settings} WHERE id = %s", [*bent.values(), cast.tenant.pk])


def refusing(table: str, cast: Cast, bent: Mapping[str, Any]) -> str:
    """Which constraint refuses the row."""
    with isolation.act_as(bent.get("tenant_id", cast.tenant.pk)):
        with pytest.raises(IntegrityError) as refused, transaction.atomic():
            write(table, cast, bent)
        return constraint(refused.value)


def test_every_check_has_a_case(db: None) -> None:
    found = catalogue(
        "SELECT conname, conrelid::regclass::text FROM pg_constraint WHERE contype = 'c' AND conrelid::regclass::text = ANY(%s)"
    )

    assert found == {name: REFUSED[IMPLIED.get(name, name)][0] for name in REFUSED.keys() | IMPLIED.keys()}


def test_every_unique_index_has_a_case(db: None) -> None:
    found = catalogue(
        "SELECT indexrelid::regclass::text, indrelid::regclass::text FROM pg_index"
        " WHERE indisunique AND NOT indisprimary AND indrelid::regclass::text = ANY(%s)"
    )

    assert found == {name: table for name, (table, _) in UNIQUE.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_a_check_refuses(name: str, cast: Cast) -> None:
    table, bent = REFUSED[name]

    assert refusing(table, cast, bent) == name


@pytest.mark.parametrize(("name", "table", "bent"), OTHER_SIDE)
def test_a_check_refuses_from_its_other_side(name: str, table: str, bent: Bent, cast: Cast) -> None:
    assert refusing(table, cast, bent) == name


@pytest.mark.parametrize(("looser", "tighter"), IMPLIED.items())
def test_a_negative_number_meets_the_tighter_range_first(looser: str, tighter: str, cast: Cast) -> None:
    table, bent = REFUSED[tighter]

    assert looser.startswith(f"{table}_")
    assert refusing(table, cast, dict.fromkeys(bent, -1)) == tighter


# The one because the primary key refuses it first; the other because its test is the next one.
TOLD_OTHERWISE = {"conversation_in_inbox", "one_key_signs"}


@pytest.mark.parametrize("name", sorted(UNIQUE.keys() - TOLD_OTHERWISE))
def test_a_unique_index_refuses_the_second(name: str, cast: Cast) -> None:
    table, columns = UNIQUE[name]
    with isolation.act_as(cast.tenant.pk):
        first = specimen(table, cast)
        first["id"] = insert(table, first)

        assert refusing(table, cast, {column: first[column] for column in columns}) == name


def test_of_the_keys_one_signs(cast: Cast) -> None:
    signs = {"retires_at": None}
    with isolation.act_as(cast.tenant.pk):
        insert("signing_keys", specimen("signing_keys", cast) | signs)

        assert refusing("signing_keys", cast, signs) == "one_key_signs"


@pytest.mark.parametrize(("table", "column"), [("inboxes", "phone_number"), ("conversations", "external_conversation_id")])
def test_what_is_unique_is_so_within_a_tenant(table: str, column: str, cast: Cast, neighbours: Cast) -> None:
    with isolation.act_as(neighbours.tenant.pk):
        theirs = specimen(table, neighbours)
        insert(table, theirs)

    with isolation.act_as(cast.tenant.pk):
        assert insert(table, specimen(table, cast) | {column: theirs[column]})


def test_an_email_names_one_account_over_all_tenants(cast: Cast, neighbours: Cast) -> None:
    assert refusing("operators", cast, {"email": neighbours.olga.email}) == "operators_email_key"


@pytest.mark.parametrize("table", ["assignments", "grace_period_assignments"])
def test_what_has_ended_leaves_room_for_the_next(table: str, cast: Cast) -> None:
    """The control of the partial indexes: they count open rows only."""
    with isolation.act_as(cast.tenant.pk):
        row = specimen(table, cast)
        for _ in range(2):
            insert(table, row | {"ended_at": datetime.now(UTC) + timedelta(hours=1), "end_reason": LAST_REASON[table]})

        assert insert(table, row)


def test_a_period_of_presence_that_has_ended_leaves_room_for_the_next(cast: Cast) -> None:
    """The same control, where no reason says why it ended; it may have lasted for no time at all."""
    with isolation.act_as(cast.tenant.pk):
        row = specimen("presence_periods", cast)
        for lasted in (timedelta(), timedelta(hours=1)):
            insert("presence_periods", row | {"ended_at": row["started_at"] + lasted})

        assert insert("presence_periods", row)
