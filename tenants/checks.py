"""System checks: every table of ours stands behind its walls, and the runtime role cannot climb them.

The database is asked by `manage.py check --database default --deploy`; a plain `check` looks at the models alone.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, models

from tenants.models import OwnedForeignKey, OwnedManager, Tenant, TenantOwned
from tenants.walls import BOUND_TENANT, owned_foreign_keys, runtime_role, same_tenant


def our_models() -> list[type[models.Model]]:
    """Every model of an app that lives in this project, and not in a library."""
    ours = [config for config in apps.get_app_configs() if Path(config.path).parent == settings.BASE_DIR]
    return [model for config in ours for model in config.get_models()]


def owned_models() -> list[type[TenantOwned]]:
    """Every model that belongs to a tenant."""
    return [model for model in apps.get_models() if issubclass(model, TenantOwned)]


@register(Tags.models)
def every_model_is_owned(app_configs: Any, **_: Any) -> Sequence[CheckMessage]:
    """A model of ours is a TenantOwned, refers to others only through OwnedForeignKey, and is asked for only through the scope."""
    return [fault for model in our_models() if model is not Tenant for fault in faults_of(model)]


def faults_of(model: type[models.Model]) -> Iterator[Error]:
    """What is wrong with one model's walls, as far as Python sees them."""
    if not issubclass(model, TenantOwned):
        hint = "class X(TenantOwned): gives it the tenant and the scope."
        yield Error(f"{model._meta.label} is not TenantOwned.", hint=hint, id="tenants.E001")
        return
    for field in [*model._meta.local_fields, *model._meta.local_many_to_many]:
        if field.is_relation and field.name != "tenant" and not isinstance(field, OwnedForeignKey):
            hint = "A plain reference accepts another tenant's row: write OwnedForeignKey, and a model of its own for many to many."
            yield Error(f"{model._meta.label}.{field.name} is no OwnedForeignKey.", hint=hint, id="tenants.E001")
    for manager in [*model._meta.managers, model._base_manager]:
        if not isinstance(manager, OwnedManager):
            hint = "Derive the manager from OwnedManager, and Meta from TenantOwned.Meta."
            yield Error(f"{model._meta.label}.{manager.name} does not ask for a tenant.", hint=hint, id="tenants.E001")


@register(Tags.database)
def every_table_has_its_walls(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> Sequence[CheckMessage]:
    """In the database: the policy as walls.Raise writes it and no other, ENABLE and FORCE on, the key led by tenant_id."""
    if not databases or "default" not in databases:
        return []
    with connections["default"].cursor() as cursor:
        return list(missing_walls(cursor))


def missing_walls(cursor: Any) -> Iterator[Error]:
    """What is wrong with the tables' walls. A table that is not migrated yet has no fault."""
    cursor.execute(
        """
        SELECT t.relname, t.relrowsecurity AND t.relforcerowsecurity AS forced, a.attname AS key,
               (SELECT pg_get_expr(p.polqual, t.oid) FROM pg_policy p
                 WHERE p.polrelid = t.oid AND p.polname = 'tenant_wall' AND p.polcmd = '*' AND p.polroles = '{0}'
                   AND pg_get_expr(p.polqual, t.oid) = pg_get_expr(p.polwithcheck, t.oid)) AS policy,
               (SELECT string_agg(p.polname, ', ') FROM pg_policy p
                 WHERE p.polrelid = t.oid AND p.polname <> 'tenant_wall' AND p.polpermissive
                   AND EXISTS (SELECT FROM unnest(p.polroles) AS r (id)
                                WHERE r.id = 0 OR pg_has_role(coalesce(nullif(%s, ''), current_user), r.id, 'MEMBER'))) AS gaps
          FROM pg_class t
          LEFT JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
          LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
         WHERE t.relkind IN ('r', 'p') AND t.relnamespace = 'public'::regnamespace
        """,
        [runtime_role()],
    )
    tables = {name: facts for name, *facts in cursor.fetchall()}
    columns = {Tenant._meta.db_table: "id"} | {model._meta.db_table: "tenant_id" for model in owned_models()}
    for table in columns.keys() & tables.keys():
        forced, key, policy, gaps = tables[table]
        if not forced or key != columns[table] or _bare(policy or "") != _bare(f"{columns[table]} = {BOUND_TENANT}") or gaps:
            facts = f"forced: {forced}, policy: {policy}, other ways in: {gaps}, key led by: {key}"
            hint = "End its migration with tenants.walls.Raise('ModelName')."
            yield Error(f"The table {table} lacks a wall ({facts}).", hint=hint, id="tenants.E002")


def missing_guards(cursor: Any) -> list[str]:
    """Names of the constraints and indexes of our tables that the database lacks, or has without having checked every row."""
    cursor.execute(
        """
        SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND convalidated
        UNION SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE c.relnamespace = 'public'::regnamespace AND i.indisvalid
        """
    )
    there = {name for (name,) in cursor.fetchall()}
    declared = {guard.name for model in our_models() for guard in (*model._meta.constraints, *model._meta.indexes)}
    keys = {same_tenant(model, field) for model in owned_models() for field in owned_foreign_keys(model)}
    return sorted((declared | keys) - there)


def _bare(expression: str) -> str:
    """An expression without what Postgres adds when it prints it: casts of literals, parentheses, capitals."""
    return re.sub(r"::text|[()\s]", "", expression).lower()


@register(Tags.security, deploy=True)
def the_runtime_role_cannot_climb(app_configs: Any, **_: Any) -> Sequence[CheckMessage]:
    """The role of DATABASE_URL cannot become one that row level security does not bind, nor the owner of our tables."""
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                """
                SELECT current_user,
                       EXISTS (SELECT FROM pg_roles r WHERE (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole)
                                  AND pg_has_role(current_user, r.oid, 'MEMBER')),
                       EXISTS (SELECT FROM pg_class t
                                WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p')
                                  AND pg_has_role(current_user, t.relowner, 'MEMBER'))
                """
            )
            role, bypasses, owns = cursor.fetchone()
    except (DatabaseError, ImproperlyConfigured) as error:
        return [Warning(f"The runtime role could not be checked: {error}", hint="Run this where DATABASE_URL answers.", id="tenants.W001")]
    if bypasses or owns:
        reason = "is, or can become, a superuser, BYPASSRLS or CREATEROLE" if bypasses else "owns the tables, or is a member of who does"
        hint = "Set DATABASE_URL to a plain role and DATABASE_OWNER_URL to the owner; convalloc/embedded/roles.sql makes both."
        return [Error(f"The runtime role {role} {reason}: it can bypass row level security.", hint=hint, id="tenants.E003")]
    return []


@register(Tags.security, deploy=True)
def nobody_is_believed_without_proof(app_configs: Any, **_: Any) -> Sequence[CheckMessage]:
    """X-Operator-Id names a caller without proof: for a developer's machine only."""
    if settings.OPERATOR_HEADER_AUTH or settings.DEVELOPMENT:
        hint = "Unset DEVELOPMENT and OPERATOR_HEADER_AUTH."
        return [Error("The header X-Operator-Id is believed without proof, or DEVELOPMENT is on.", hint=hint, id="tenants.E004")]
    return []
