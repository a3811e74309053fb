"""Who is calling: credential -> operator -> their tenant is bound for the rest of the request.

A credential proves who it is, and no more. Role, activity and the session's end are read from the database each time, so
that a closed account, another role or a sign-out counts at once, and not when a token expires.
"""

import re
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import connection
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from convalloc import prepared
from convalloc.api.answers import CHALLENGE
from convalloc.api.envelope import BodyTooLarge
from convalloc.prepared import Statement
from operators import api_keys, bearers, signatures, tokens
from operators.errors import PlatformAccount, SignatureInvalid, UnknownCaller
from operators.models import ApiKey, Operator
from tenants import isolation
from tenants.models import Tenant

WELL_FORMED_ID = re.compile(r"[1-9][0-9]{0,18}")
CALLER, TENANT = ([field.attname for field in model._meta.concrete_fields] for model in (Operator, Tenant))
ACCOUNT = f"""
    SELECT {", ".join(f"o.{name}" for name in CALLER)}, {", ".join(f"t.{name} AS tenant__{name}" for name in TENANT)}
      FROM operators o JOIN tenants t ON t.id = o.tenant_id
     WHERE o.tenant_id = %(tenant_id)s AND o.id = %(operator_id)s AND o.is_active
"""
IN_SESSION = """
       AND EXISTS (SELECT FROM sessions s WHERE s.tenant_id = o.tenant_id AND s.id = %(session_id)s AND s.operator_id = o.id
                      AND s.ended_at IS NULL AND s.expires_at > statement_timestamp())
"""
OF_ACCOUNT, OF_SESSION = Statement(ACCOUNT), Statement(ACCOUNT + IN_SESSION)


class Credential(NamedTuple):
    """By what a caller was let in. `scopes` bound an API key; None: no bounds but the role's."""

    session_id: int | None = None
    api_key_id: int | None = None
    scopes: frozenset[str] | None = None
    signing_secret_id: int | None = None


Caller = tuple[Operator, Credential]


class SignedRequest(BaseAuthentication):
    """Standard Webhooks' three headers, and the name of the API key whose secret signed (operators.signatures)."""

    def authenticate(self, request: Request) -> Caller | None:
        """The caller; None without a trace of a signature: who begins to sign is believed for nothing else. Raises UnknownCaller (401)."""
        signed = signatures.read(request.headers)
        if signed is None:
            return None
        if request.method != "POST":
            raise SignatureInvalid(reason="only a POST can be signed")
        try:
            body = request._request.body
        except RequestDataTooBig as problem:
            raise BodyTooLarge from problem
        isolation.enter(signed.tenant_id)
        accepted = signatures.accept(signed, body)
        operator, credential = _as_whom(accepted.key)
        return operator, credential._replace(signing_secret_id=accepted.secret_id)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return CHALLENGE


class Bearer(BaseAuthentication):
    """Authorization: Bearer, with an access token of a session or with an API key."""

    def authenticate(self, request: Request) -> Caller | None:
        """The caller; None without the header. Raises UnknownCaller, TokenExpired (401)."""
        offered = request.headers.get("Authorization")
        if offered is None:
            return None
        scheme, _, secret = offered.partition(" ")
        if scheme.lower() != "bearer":
            raise UnknownCaller
        if key := bearers.read(api_keys.PREFIX, secret):
            return _by_key(key)
        claims = tokens.read(secret)
        operator = _bind(OF_SESSION, claims.tenant_id, claims.operator_id, session_id=claims.session_id)
        return operator, Credential(session_id=claims.session_id)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return CHALLENGE


class OperatorHeader(BaseAuthentication):
    """X-Operator-Id: names the caller without proof. For development; `check --deploy` refuses it."""

    header = "X-Operator-Id"

    def authenticate(self, request: Request) -> Caller:
        """The calling operator. Raises UnknownCaller (401) for a missing, malformed or unknown id, PlatformAccount (403)."""
        offered = request.headers.get(self.header, "") if settings.OPERATOR_HEADER_AUTH else ""
        if not WELL_FORMED_ID.fullmatch(offered) or int(offered) >= 2**63:
            raise UnknownCaller
        # Found by a narrow function of the database, because before a tenant is bound no row is visible.
        with connection.cursor() as cursor:
            cursor.execute("SELECT tenant_of_operator(%s)", [int(offered)])
            (tenant_id,) = cursor.fetchone()
        if tenant_id is None:
            raise UnknownCaller
        return _bind(OF_ACCOUNT, tenant_id, int(offered)), Credential()


def _by_key(offered: bearers.Bearer) -> Caller:
    isolation.enter(offered.tenant_id)
    key = api_keys.find(offered)
    if key is None:
        raise UnknownCaller
    return _as_whom(key)


def _as_whom(key: ApiKey) -> Caller:
    operator = _bind(OF_ACCOUNT, key.tenant_id, key.operator_id)
    return operator, Credential(api_key_id=key.pk, scopes=frozenset(key.scopes))


def _bind(statement: Statement, tenant_id: int, operator_id: int, **more: int) -> Operator:
    """Act as this tenant from here on; its operator, with the tenant loaded. Raises UnknownCaller, PlatformAccount."""
    isolation.enter(tenant_id)
    for row in prepared.rows(statement, {"tenant_id": tenant_id, "operator_id": operator_id, **more}):
        operator: Operator = Operator.from_db(connection.alias, CALLER, [row[name] for name in CALLER])
        operator.tenant = Tenant.from_db(connection.alias, TENANT, [row[f"tenant__{name}"] for name in TENANT])
        if operator.is_superuser:
            raise PlatformAccount
        return operator
    raise UnknownCaller


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


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Access tokens and API keys, as the OpenAPI schema says it."""

    target_class = Bearer
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "The access token of POST /auth/token, or an API key."}


class SignedRequestScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The headers of a signed POST, all of them together, as the OpenAPI schema says it."""

    target_class = SignedRequest
    name = ["signedAs", "signedId", "signedAt", "signature"]
    described = {
        signatures.KEY: "`sign_as` of POST /signing-secrets.",
        signatures.ID: "The message's id: without a full stop or a comma, at most 256 characters.",
        signatures.TIMESTAMP: "When it is signed, in whole seconds since 1970; at most 300 s away from our clock.",
        signatures.SIGNATURE: "`v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`; several with a space between.",
    }

    def get_security_requirement(self, auto_schema: Any) -> Any:
        return super().get_security_requirement(auto_schema) if auto_schema.method == "POST" else []

    def get_security_definition(self, auto_schema: Any) -> Any:
        return [{"type": "apiKey", "in": "header", "name": name, "description": told} for name, told in self.described.items()]
