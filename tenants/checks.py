"""System checks: every table of ours stands behind its walls, and the runtime role cannot climb them."""

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections

from tenants.models import OwnedForeignKey, Tenant, TenantOwned

OUR_APPS = {"tenants", "operators", "labels", "conversations"}


def owned_models() -> list[type[TenantOwned]]:
    """Every model that belongs to a tenant."""
    return [model for model in apps.get_models() if issubclass(model, TenantOwned)]


@register(Tags.models)
def every_model_is_owned(app_configs: Any, **_: Any) -> Sequence[CheckMessage]:
    """A model of ours is a TenantOwned, and refers to others only through OwnedForeignKey."""
    found: list[CheckMessage] = []
    for model in apps.get_models():
        if model._meta.app_label not in OUR_APPS or model is Tenant:
            continue
        if not issubclass(model, TenantOwned):
            found.append(
                Error(
                    f"{model._meta.label} is not TenantOwned.",
                    hint="class X(TenantOwned): gives it the tenant and the scope.",
                    id="tenants.E001",
                )
            )
            continue
        for field in model._meta.local_fields:
            if field.is_relation and field.name != "tenant" and not isinstance(field, OwnedForeignKey):
                hint = "A plain foreign key accepts another tenant's row: write OwnedForeignKey."
                found.append(Error(f"{model._meta.label}.{field.name} is no OwnedForeignKey.", hint=hint, id="tenants.E001"))
    return found


@register(Tags.database)
def every_table_has_its_walls(app_configs: Any, databases: Sequence[str] | None, **_: Any) -> Sequence[CheckMessage]:
    """In the database: policy present, ENABLE and FORCE on, physical key led by tenant_id."""
    if not databases or "default" not in databases:
        return []
    with connections["default"].cursor() as cursor:
        cursor.execute(
            """
            SELECT t.relname,
                   t.relrowsecurity AND t.relforcerowsecurity,
                   EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = t.oid AND p.polname = 'tenant_wall'),
                   (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
                     WHERE i.indrelid = t.oid AND i.indisprimary)
              FROM pg_class t
             WHERE t.relkind IN ('r', 'p') AND t.relnamespace = 'public'::regnamespace
            """
        )
        tables = {name: facts for name, *facts in cursor.fetchall()}
    found: list[CheckMessage] = []
    for table in [Tenant._meta.db_table, *(model._meta.db_table for model in owned_models())]:
        if table not in tables:
            continue  # not migrated yet: `migrate` runs this check before it makes the table
        forced, policy, key = tables[table]
        if not (forced and policy) or (table != Tenant._meta.db_table and key != "tenant_id"):
            hint = "End its migration with tenants.walls.Raise('ModelName')."
            found.append(
                Error(
                    f"The table {table} lacks a wall (forced: {forced}, policy: {policy}, key led by: {key}).", hint=hint, id="tenants.E002"
                )
            )
    return found


@register(Tags.security, deploy=True)
def the_runtime_role_cannot_climb(app_configs: Any, **_: Any) -> Sequence[CheckMessage]:
    """The role of DATABASE_URL is neither superuser nor BYPASSRLS, and neither owns our tables nor belongs to who does."""
    try:
        with connections["default"].cursor() as cursor:
            cursor.execute(
                """
                SELECT current_user, r.rolsuper OR r.rolbypassrls,
                       EXISTS (SELECT 1 FROM pg_class t
                                WHERE t.relnamespace = 'public'::regnamespace AND t.relkind IN ('r', 'p')
                                  AND pg_has_role(current_user, t.relowner, 'MEMBER'))
                  FROM pg_roles r WHERE r.rolname = current_user
                """
            )
            role, bypasses, owns = cursor.fetchone()
    except DatabaseError as error:
        return [Warning(f"The runtime role could not be checked: {error}", hint="Run this where DATABASE_URL answers.", id="tenants.W001")]
    if bypasses or owns:
        reason = "is a superuser or has BYPASSRLS" if bypasses else "owns the tables, or is a member of who does"
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
