"""Who is calling: credential -> operator -> their tenant is bound for the rest of the request."""

import re
from typing import Any

from django.conf import settings
from django.db import connection
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from operators.errors import PlatformAccount, UnknownCaller
from operators.models import Operator
from tenants import isolation

WELL_FORMED_ID = re.compile(r"[1-9][0-9]{0,18}")


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
    operator: Operator | None = Operator.objects.select_related("tenant").filter(pk=operator_id, is_active=True).first()
    return operator


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
