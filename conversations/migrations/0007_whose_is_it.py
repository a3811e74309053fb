"""Whose an id is, for the security events: a refused caller hears nothing of it."""

from django.db import migrations

from tenants import walls

TABLES = {
    "conversation": "conversations",
    "grace_period": "grace_period_assignments",
    "label": "labels",
    "api_key": "api_keys",
    "signing_secret": "signing_secrets",
    "inbox": "inboxes",
}


def whose(word: str, table: str) -> walls.Lookup:
    """By the key of each tenant in turn, because no index is led by an id alone, and to the end, so that it takes as long for nobody's id."""
    return walls.Lookup(
        f"tenant_of_{word}({word}_id bigint)",
        returns="bigint",
        reads=table,
        body=f"SELECT max(t.id) FROM tenants t CROSS JOIN LATERAL (SELECT FROM {table} r WHERE r.tenant_id = t.id AND r.id = {word}_id LIMIT 1) r",
    )


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0006_tenant_by_composite_keys"),
        ("labels", "0002_tenant_by_composite_keys"),
        ("operators", "0010_signing_secrets"),
        ("tenants", "0008_failed_ticks"),
    ]

    operations = [whose(word, table) for word, table in TABLES.items()]
