"""The keys that sign access tokens: Ed25519, one signs, those before it are believed until their last token is over.

The platform's. A process remembers what it read for a minute, and looks again, at most once a second, when a token names a
key that it does not know: a new key works everywhere at once, and a withdrawn one nowhere after that minute.
"""

import base64
import logging
import threading
import time
import uuid
from datetime import timedelta
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db.models import Q

from convalloc import clock, vault
from operators.models import SigningKey
from tenants import eventlog, isolation, tuning
from tenants.models import PLATFORM_TENANT_ID

log = logging.getLogger(__name__)

REMEMBERED_SECONDS = 60.0
AGAIN_AFTER_SECONDS = 1.0
LEEWAY = timedelta(seconds=30)  # for clients' and neighbours' clocks, besides the tokens' own life


class Signer(NamedTuple):
    """A private key, and its name."""

    kid: str
    private: Ed25519PrivateKey


class _Ring:
    """The public keys as this process last read them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys: dict[str, Ed25519PublicKey] = {}
        self.read_at = float("-inf")


_ring = _Ring()


def current() -> Signer:
    """What signs; made when it is first needed, and anew when it was sealed under a SECRET_KEY that nobody has any more."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        key = SigningKey.objects.filter(retires_at__isnull=True).first() or rotate(only_if_none=True)
    try:
        return _signer(key)
    except vault.Unreadable:
        log.exception("access tokens are signed with a new key from now on")
        return _signer(rotate())


def rotate(*, withdraw: bool = False, only_if_none: bool = False) -> SigningKey:
    """Sign with a new key from now on; the former is believed until its last token is over, or, withdrawn, no more.

    Keys whose time is over are deleted.
    """
    with isolation.act_as(PLATFORM_TENANT_ID):
        tuning.lock()
        signing = SigningKey.objects.filter(retires_at__isnull=True)
        if only_if_none and (key := signing.first()):
            return key
        now = clock.now()
        signing.update(retires_at=now + timedelta(seconds=settings.ACCESS_TOKEN_SECONDS) + LEEWAY)
        SigningKey.objects.filter(Q() if withdraw else Q(retires_at__lte=now)).delete()
        private = Ed25519PrivateKey.generate()
        key = SigningKey.objects.create(
            kid=uuid.uuid4().hex,
            private_key=vault.seal(private.private_bytes_raw()),
            public_key=_encoded(private.public_key().public_bytes_raw()),
        )
        eventlog.append("signing_key.rotated", key, after={"kid": key.kid}, cause="withdrawn" if withdraw else "")
    forget()
    return key


def public(kid: str) -> Ed25519PublicKey | None:
    """The key of this name; None where none is believed."""
    age = time.monotonic() - _ring.read_at
    if age > REMEMBERED_SECONDS or (kid not in _ring.keys and age > AGAIN_AFTER_SECONDS):
        with _ring.lock:
            _ring.read_at, _ring.keys = time.monotonic(), {key.kid: _decoded(key.public_key) for key in believed()}
    return _ring.keys.get(kid)


def believed() -> list[SigningKey]:
    """The keys whose tokens are believed, the one that signs first."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        return list(SigningKey.objects.filter(Q(retires_at__isnull=True) | Q(retires_at__gt=clock.now())).order_by("-pk"))


def published() -> dict[str, Any]:
    """The same as a JSON Web Key Set, for whoever else wants to check our tokens. Sources: RFC 7517, RFC 8037."""
    return {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.kid, "x": key.public_key.rstrip("=")}
            for key in believed()
        ]
    }


def forget() -> None:
    """Read the keys anew when one is next needed."""
    _ring.read_at = float("-inf")


def _signer(key: SigningKey) -> Signer:
    return Signer(key.kid, Ed25519PrivateKey.from_private_bytes(vault.open_(key.private_key)))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _decoded(text: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text))
