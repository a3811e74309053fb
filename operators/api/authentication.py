"""Who is calling: credential -> operator -> their tenant is bound for the rest of the request."""

import re
from typing import Any

from django.conf import settings
from django.db import connection
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from convalloc import prepared
from convalloc.prepared import Statement
from operators.errors import PlatformAccount, UnknownCaller
from operators.models import Operator
from tenants import isolation
from tenants.models import Tenant

WELL_FORMED_ID = re.compile(r"[1-9][0-9]{0,18}")
CALLER, TENANT = ([field.attname for field in model._meta.concrete_fields] for model in (Operator, Tenant))
ACCOUNT = Statement(f"""
    SELECT {", ".join(f"o.{name}" for name in CALLER)}, {", ".join(f"t.{name} AS tenant__{name}" for name in TENANT)}
      FROM operators o JOIN tenants t ON t.id = o.tenant_id
     WHERE o.tenant_id = %(tenant_id)s AND o.id = %(operator_id)s AND o.is_active
""")


def sign_in(operator_id: int) -> Operator | None:
    """Bind the tenant of an operator and return them, with their tenant; None for no such or a disabled account.

    The tenant is found by a narrow function of the database, because before it is bound no row is visible.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_of_operator(%s)", [operator_id])
        (tenant_id,) = cursor.fetchone()
    if tenant_id is None:
        return None
    isolation.enter(tenant_id)
    for row in prepared.rows(ACCOUNT, {"tenant_id": tenant_id, "operator_id": operator_id}):
        operator: Operator = Operator.from_db(connection.alias, CALLER, [row[name] for name in CALLER])
        operator.tenant = Tenant.from_db(connection.alias, TENANT, [row[f"tenant__{name}"] for name in TENANT])
        return operator
    return None


class OperatorHeader(BaseAuthentication):
    """X-Operator-Id: names the caller without proof. For development; `check --deploy` refuses it."""

    header = "X-Operator-Id"

    def authenticate(self, request: Request) -> tuple[Operator, Any]:
        """The calling operator. Raises UnknownCaller (401) for a missing, malformed or unknown id."""
        offered = request.headers.get(self.header, "") if settings.OPERATOR_HEADER_AUTH else ""
        if not WELL_FORMED_ID.fullmatch(offered) or int(offered) >= 2**63:
            raise UnknownCaller
        operator = sign_in(int(offered))
        if operator is None:
            raise UnknownCaller
        if operator.is_superuser:
            raise PlatformAccount
        return operator, None

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return self.header


class OperatorHeaderScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The header, as the OpenAPI schema says it."""

    target_class = OperatorHeader
    name = "operatorId"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": OperatorHeader.header,
            "description": "The caller's id. Development only.",
        }
