"""Secrets that a client keeps and shows: refresh tokens and API keys. What is kept of them here opens nothing.

`<prefix>_<tenant>_<row>_<secret>`: the row is found by its key, under the tenant's wall, and its hash is compared in constant
time. 256 bits of chance need no slow hash. The prefix lets scanners of source code know what they found.
Source: OWASP's cheat sheets, Session Management and Cryptographic Storage.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

SECRET_BYTES = 32
WELL_FORMED = re.compile(r"(?P<prefix>cv[a-z])_(?P<tenant>[1-9][0-9]{0,17})_(?P<row>[1-9][0-9]{0,17})_(?P<secret>[A-Za-z0-9_-]{43})")


class Bearer(NamedTuple):
    """A well formed one, which proves nothing yet: whose row it claims to be, and its secret's hash."""

    tenant_id: int
    row_id: int
    digest: str


def fresh() -> tuple[str, str]:
    """A new secret and the hash that is kept of it."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    return secret, _digest(secret)


def spell(prefix: str, tenant_id: int, row_id: int, secret: str) -> str:
    """What the client is given, once."""
    return f"{prefix}_{tenant_id}_{row_id}_{secret}"


def read(prefix: str, offered: str) -> Bearer | None:
    """What was offered, taken apart; None where it is none of these."""
    found = WELL_FORMED.fullmatch(offered)
    if found is None or found["prefix"] != prefix:
        return None
    return Bearer(int(found["tenant"]), int(found["row"]), _digest(found["secret"]))


def fits(offered: Bearer, kept: str) -> bool:
    """Whether its secret is the one whose hash was kept."""
    return hmac.compare_digest(offered.digest, kept)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
