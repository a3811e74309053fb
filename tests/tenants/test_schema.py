"""The schema is ready to be sharded by tenant: every key, every index and every reference is led by tenant_id."""

from typing import Any

from django.core.management import call_command
from django.db import connection

from tests.tenants.specimens import OWNED_TABLES

# Looked at before a tenant is known, so that they cannot be led by one; see docs/decisions/0002 and 0004.
LED_BY_ANOTHER = {
    "operator_id_alone",
    "operators_email_key",
    "conversation_in_inbox",
    "grace_by_id",
    "inbox_by_id",
    "label_by_id",
    "api_key_by_id",
    "signing_secret_by_id",
    "session_by_id",
    "webhook_by_id",
    "delivery_by_id",
}
MADE_BY_DJANGO = "operators_email_%_like"  # its companion of a unique text column


def ask(query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


def test_every_primary_key_is_tenant_and_id(db: None) -> None:
    keys = dict(
        ask(
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype = 'p' AND conrelid::regclass::text = ANY(%s)",
            OWNED_TABLES,
        )
    )

    assert keys == dict.fromkeys(OWNED_TABLES, "PRIMARY KEY (tenant_id, id)")


def test_every_index_is_led_by_the_tenant(db: None) -> None:
    others = ask(
        "SELECT i.indexrelid::regclass::text FROM pg_index i"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
        " WHERE i.indrelid::regclass::text = ANY(%s) AND a.attname <> 'tenant_id' AND i.indexrelid::regclass::text NOT LIKE %s",
        OWNED_TABLES,
        MADE_BY_DJANGO,
    )

    assert {name for (name,) in others} == LED_BY_ANOTHER


def test_no_row_is_without_a_tenant(db: None) -> None:
    nullable = ask(
        "SELECT table_name FROM information_schema.columns"
        " WHERE column_name = 'tenant_id' AND is_nullable = 'NO' AND table_name = ANY(%s) ORDER BY 1",
        OWNED_TABLES,
    )

    assert [name for (name,) in nullable] == OWNED_TABLES


def test_no_rule_of_the_business_hides_in_a_trigger(db: None) -> None:
    assert ask("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal") == []
    assert ask("SELECT tablename, rulename FROM pg_rules WHERE schemaname = 'public'") == []


def test_models_and_migrations_agree(db: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
