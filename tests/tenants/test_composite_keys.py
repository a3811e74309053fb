"""The second wall: a row cannot refer to another tenant's row, whoever asks and whatever Python believes."""

from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from tenants import isolation
from tenants.checks import owned_models
from tenants.models import OwnedForeignKey
from tests.conftest import Cast
from tests.tenants.specimens import MAKERS, OWNED_TABLES, insert, specimen

REFERENCES = [
    (model._meta.db_table, field.column, field.related_model._meta.db_table)
    for model in owned_models()
    for field in model._meta.local_fields
    if isinstance(field, OwnedForeignKey)
]
OF_THE_SAME_INBOX = {  # they carry the inbox besides the tenant
    "label_of_the_same_inbox": "FOREIGN KEY (tenant_id, inbox_id, label_id) REFERENCES labels(tenant_id, inbox_id, id)",
    "conversation_of_the_same_inbox": (
        "FOREIGN KEY (tenant_id, inbox_id, conversation_id) REFERENCES conversations(tenant_id, inbox_id, id)"
    ),
}


def constraint(error: BaseException) -> str:
    """Name of the constraint that refused."""
    diagnosis: Any = error.__cause__
    return str(diagnosis.diag.constraint_name)


def _nullable(owner: psycopg.Connection[Any], table: str, column: str) -> bool:
    found = owner.execute(
        "SELECT is_nullable FROM information_schema.columns WHERE table_name = %s AND column_name = %s", (table, column)
    ).fetchone()
    return found == ("YES",)


def test_every_owned_table_has_a_specimen() -> None:
    assert sorted(MAKERS) == OWNED_TABLES


@pytest.mark.parametrize("table", OWNED_TABLES)
def test_a_specimen_is_taken(table: str, cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        row = specimen(table, cast)

        assert insert(table, row)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize(("table", "column", "target"), REFERENCES)
def test_a_reference_to_another_tenants_row_is_refused(table: str, column: str, target: str, cast: Cast, neighbours: Cast) -> None:
    with isolation.act_as(neighbours.tenant.pk):
        theirs = insert(target, specimen(target, neighbours))

    with isolation.act_as(cast.tenant.pk):
        row = specimen(table, cast) | {column: theirs}
        if column == "assigned_operator_id":
            row["state"] = "ALLOCATED"

        with pytest.raises(IntegrityError) as refused, transaction.atomic():
            insert(table, row)

    assert constraint(refused.value) == f"{table}_{column}_same_tenant"


def test_every_foreign_key_carries_the_tenant(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
    ).fetchall()

    definitions = {name: definition for _, name, definition in rows}

    expected = {
        f"{table}_{column}_same_tenant": f"FOREIGN KEY (tenant_id, {column}) REFERENCES {target}(tenant_id, id)"
        for table, column, target in REFERENCES
    } | OF_THE_SAME_INBOX
    assert {name: definitions.get(name) for name in expected} == expected
    assert {table for table, name, _ in rows if name not in expected} == {
        "auth_group_permissions",
        "auth_permission",
        "django_admin_log",
        "inboxes",  # the last three lead to the tenant itself
        "operators",
        "webhooks",
    }


def test_every_row_belongs_to_a_tenant_that_exists(owner: psycopg.Connection[Any]) -> None:
    led = {"inboxes", "operators", "webhooks"}  # to the tenant itself; whoever refers to these, and must, is led there too
    needed = {(table, target) for table, column, target in REFERENCES if not _nullable(owner, table, column)}
    while more := {table for table, target in needed if target in led} - led:
        led |= more

    assert set(OWNED_TABLES) - led == {"events", "ticks", "signing_keys"}, "these refer to nothing; the wall alone holds them"


def test_a_label_of_another_inbox_is_refused(cast: Cast) -> None:
    of_sales = cast.label(inbox=cast.sales)

    with isolation.act_as(cast.tenant.pk):
        row = specimen("conversation_labels", cast)
        for inbox, refusing in ((cast.support, "label_of_the_same_inbox"), (cast.sales, "conversation_of_the_same_inbox")):
            with pytest.raises(IntegrityError) as refused, transaction.atomic():
                insert("conversation_labels", row | {"label_id": of_sales.pk, "inbox_id": inbox.pk})

            assert constraint(refused.value) == refusing


def test_a_plain_foreign_key_would_have_let_it_in(cast: Cast, neighbours: Cast, owner: psycopg.Connection[Any]) -> None:
    """The control: referential checks look past the policies, so that only the composite key refuses."""
    owner.execute("CREATE TABLE parents (tenant_id bigint, id bigint UNIQUE, PRIMARY KEY (tenant_id, id))")
    owner.execute("INSERT INTO parents VALUES (1, 10), (2, 20)")
    owner.execute("CREATE TABLE plain (tenant_id bigint, parent_id bigint REFERENCES parents (id))")
    owner.execute(
        "CREATE TABLE composite (tenant_id bigint, parent_id bigint, FOREIGN KEY (tenant_id, parent_id) REFERENCES parents (tenant_id, id))"
    )
    owner.execute("ALTER TABLE parents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    owner.execute("CREATE POLICY tenant_wall ON parents USING (tenant_id = 1)")

    owner.execute("INSERT INTO plain VALUES (1, 20)")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute("INSERT INTO composite VALUES (1, 20)")
