"""The two walls that stand in the database: composite keys, and row level security for a runtime role that owns nothing.

`Raise("Conversation")` in a migration, after the table is complete, gives a tenant-owned table
- the physical primary key (tenant_id, id), so that the schema can be sharded by tenant;
- for each OwnedForeignKey the constraint (tenant_id, x_id) -> (tenant_id, id);
- the policy, ENABLEd and FORCEd.
Django keeps believing that `id` is the key, which it is: one sequence hands the ids out.

`open_doors` runs after every `migrate` and grants the runtime role what it needs, and no more.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import connections, models, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from psycopg import sql

BOUND_TENANT = "nullif(current_setting('app.tenant_id', true), '')::bigint"
APPEND_ONLY = {"events"}  # the audit: the runtime role can add to it, and neither change nor remove
# Django's tables that all tenants share: only the owner writes them. /health/ready compares the first with the code.
READ_ONLY = {"django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


class Raise(Operation):
    """Put the walls around one tenant-owned table. `tenant_column` is `id` for the table of tenants itself."""

    reversible = True

    def __init__(self, model_name: str, tenant_column: str = "tenant_id") -> None:
        self.model_name = model_name
        self.tenant_column = tenant_column

    def deconstruct(self) -> tuple[str, list[str], dict[str, str]]:
        return type(self).__name__, [self.model_name], {"tenant_column": self.tenant_column}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Django's picture of the table does not change."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = to_state.apps.get_model(app_label, self.model_name)
        table = model._meta.db_table
        if self.tenant_column == "tenant_id":
            schema_editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY (tenant_id, id)")
            for field in owned_foreign_keys(model):
                target = field.related_model._meta.db_table
                schema_editor.execute(
                    f"ALTER TABLE {table} ADD CONSTRAINT {same_tenant(model, field)} "
                    f"FOREIGN KEY (tenant_id, {field.column}) REFERENCES {target} (tenant_id, id)"
                )
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        condition = f"{self.tenant_column} = {BOUND_TENANT}"
        schema_editor.execute(f"CREATE POLICY tenant_wall ON {table} USING ({condition}) WITH CHECK ({condition})")

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        model = from_state.apps.get_model(app_label, self.model_name)
        table = model._meta.db_table
        schema_editor.execute(f"DROP POLICY tenant_wall ON {table}")
        schema_editor.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
        if self.tenant_column == "tenant_id":
            for field in owned_foreign_keys(model):
                schema_editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {same_tenant(model, field)}")
            schema_editor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY (id)")

    def describe(self) -> str:
        return f"Raise the tenant walls around {self.model_name}"


class Lookup(Operation):
    """A function that answers before a tenant is bound, with ids and nothing else.

    It runs as the owner of the tables (SECURITY DEFINER, fixed search_path), for whom a policy of its own lets rows be read
    on the one table it `reads`. The runtime role, and nobody else, can call it (`open_doors`), and gains no other sight.
    """

    reversible = True

    def __init__(self, signature: str, *, returns: str, reads: str, body: str) -> None:
        self.signature = signature
        self.returns = returns
        self.reads = reads
        self.body = body
        self.policy = signature.split("(")[0] + "_looks_up"

    def deconstruct(self) -> tuple[str, list[str], dict[str, str]]:
        return type(self).__name__, [self.signature], {"returns": self.returns, "reads": self.reads, "body": self.body}

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Django's picture of the tables does not change."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        schema_editor.execute(f"CREATE POLICY {self.policy} ON {self.reads} FOR SELECT TO CURRENT_USER USING (true)")
        schema_editor.execute(
            f"CREATE FUNCTION {self.signature} RETURNS {self.returns} LANGUAGE sql STABLE SECURITY DEFINER "
            f"SET search_path = public, pg_temp AS $$ {self.body} $$"
        )
        schema_editor.execute(f"REVOKE ALL ON FUNCTION {self.signature} FROM PUBLIC")

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        schema_editor.execute(f"DROP FUNCTION {self.signature}")
        schema_editor.execute(f"DROP POLICY {self.policy} ON {self.reads}")

    def describe(self) -> str:
        return f"Let {self.signature} look up ids in {self.reads}"


def whose(word: str, table: str) -> Lookup:
    """The function `tenant_of_<word>`: whose an id is. The table needs an index that is led by the id."""
    body = f"SELECT tenant_id FROM {table} WHERE id = {word}_id"
    return Lookup(f"tenant_of_{word}({word}_id bigint)", returns="bigint", reads=table, body=body)


def owned_foreign_keys(model: type[models.Model]) -> Iterator[Any]:
    """The references of a model that stay inside its tenant."""
    for field in model._meta.local_fields:
        if field.is_relation and field.many_to_one and field.name != "tenant":
            yield field


def same_tenant(model: type[models.Model], field: Any) -> str:
    """Name of the constraint that holds a reference inside its tenant."""
    return f"{model._meta.db_table}_{field.column}_same_tenant"


def runtime_role() -> str:
    """Name of the role that the API and Celery log in as."""
    return str(settings.DATABASES["default"].get("USER", ""))


def open_doors(sender: AppConfig, using: str, **_: Any) -> None:
    """Give the runtime role exactly its rights on every table of ours and Django's, taking away what it had beyond them.

    Harmless to repeat. No TRUNCATE, which ignores policies.
    """
    role, connection = runtime_role(), connections[using]
    if not role or role == connection.settings_dict.get("USER"):
        return  # one role for both: check `tenants.E003` tells under --deploy why that is no wall
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)} | READ_ONLY
    with transaction.atomic(using=using), connection.cursor() as cursor:  # whoever works meanwhile never stands without rights
        for statement in (
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}",
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}",
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {}",
        ):
            cursor.execute(sql.SQL(statement).format(sql.Identifier(role)))
        for table in sorted(tables & set(connection.introspection.table_names(cursor))):
            rights = "SELECT" if table in READ_ONLY else "SELECT, INSERT" if table in APPEND_ONLY else "SELECT, INSERT, UPDATE, DELETE"
            grant = sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(table), sql.Identifier(role))
            cursor.execute(grant)
