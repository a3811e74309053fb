"""Access tokens: who signed in, for some minutes, without a look at the database. What they may do is looked up each time.

JSON Web Tokens of the type at+jwt, signed with EdDSA and nothing else; which key it is says `kid`, of our own set. Whatever
else a header names (jwk, jku, x5c, crit) is not followed. Sources: RFC 7519, RFC 8725 (best practice), RFC 9068 (the profile).
"""

import uuid
from datetime import timedelta
from typing import Any, NamedTuple

import jwt
from django.conf import settings

from convalloc import clock
from operators import signing_keys
from operators.errors import TokenExpired, UnknownCaller
from operators.models import Session

TYPE = "at+jwt"
ALGORITHM = "EdDSA"
AUDIENCE = "convalloc-api"
CLAIMS = ["iss", "aud", "sub", "tenant", "sid", "iat", "nbf", "exp", "jti"]
LONGEST = 2048  # characters; ours have about 500
LARGEST_ID = 2**63 - 1


class Claims(NamedTuple):
    """Whom a token names, and by which session."""

    tenant_id: int
    operator_id: int
    session_id: int


def issue(session: Session) -> str:
    """A token for the session's operator, good for ACCESS_TOKEN_SECONDS."""
    now = clock.now()
    key = signing_keys.current()
    claims = {
        "iss": settings.TOKEN_ISSUER,
        "aud": AUDIENCE,
        "sub": str(session.operator_id),
        "tenant": session.tenant_id,
        "sid": session.pk,
        "iat": now,
        "nbf": now,
        "exp": now + timedelta(seconds=settings.ACCESS_TOKEN_SECONDS),
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": key.kid})


def read(token: str) -> Claims:
    """Whom the token names. Raises TokenExpired, and UnknownCaller for all that is not a token of ours."""
    try:
        return _claims(_verified(token))
    except jwt.ExpiredSignatureError as problem:
        raise TokenExpired from problem
    except (jwt.PyJWTError, ValueError, TypeError) as problem:
        raise UnknownCaller from problem


def _verified(token: str) -> dict[str, Any]:
    if len(token) > LONGEST or not token.isascii():
        raise UnknownCaller
    header = jwt.get_unverified_header(token)
    key = signing_keys.public(header["kid"]) if isinstance(header.get("kid"), str) else None
    if key is None or header.get("typ") != TYPE:
        raise UnknownCaller
    verified: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[ALGORITHM],
        issuer=settings.TOKEN_ISSUER,
        audience=AUDIENCE,
        leeway=signing_keys.LEEWAY,
        options={"require": CLAIMS, "strict_aud": True},
    )
    return verified


def _claims(verified: dict[str, Any]) -> Claims:
    claims = Claims(verified["tenant"], int(verified["sub"]), verified["sid"])
    if not all(isinstance(id_, int) and not isinstance(id_, bool) and 0 < id_ <= LARGEST_ID for id_ in claims):
        raise UnknownCaller
    return claims
