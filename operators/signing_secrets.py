"""Signing secrets: with one of them a program signs its requests (operators.signatures), and never sends its API key.

Several of a key are good at once: a new one is made, the program signs with both or with the new one, the old one is dropped.
They are read again to check a signature, and so they are sealed, not hashed. A dropped one is forgotten.
"""

import base64
import logging
import secrets
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from convalloc import clock, vault
from convalloc.errors import Missing
from operators import api_keys
from operators.errors import ApiKeyEnded, EnoughSecrets
from operators.models import Operator, SigningSecret
from tenants import eventlog

log = logging.getLogger(__name__)

PREFIX = "whsec_"
SECRET_BYTES = 32
MOST = 5  # of one key, at a time: an HMAC of the body is computed with each


def make(key_id: int, *, by: Operator) -> tuple[SigningSecret, str]:
    """A new secret of an API key, and its text, which is not told again. Raises Missing, ApiKeyEnded, EnoughSecrets."""
    key = api_keys.lock(key_id)
    if key.revoked_at is not None or key.expires_at <= clock.now():
        raise ApiKeyEnded
    if SigningSecret.objects.filter(api_key=key, dropped_at=None).count() >= MOST:
        raise EnoughSecrets(limit=MOST)
    raw = secrets.token_bytes(SECRET_BYTES)
    secret: SigningSecret = SigningSecret.objects.create(api_key=key, sealed=vault.seal(raw), created_by=by)
    eventlog.append("signing_secret.made", secret, after={"api_key_id": key.pk})
    return secret, PREFIX + base64.b64encode(raw).decode()


def all_of_them() -> QuerySet[SigningSecret]:
    """Every secret of the tenant, the newest first, dropped ones too."""
    return SigningSecret.objects.order_by("-pk")


def drop(secret_id: int) -> SigningSecret:
    """What it signs is refused from now on. Repeating it changes nothing. Raises Missing."""
    secret = SigningSecret.objects.filter(pk=secret_id).first()
    if secret is None:
        raise Missing(what="Signing secret", sought=[secret_id])
    api_keys.lock(secret.api_key_id)
    secret.refresh_from_db()
    if secret.dropped_at is None:
        secret.dropped_at, secret.sealed = clock.now(), ""
        secret.save(update_fields=["dropped_at", "sealed"])
        eventlog.append("signing_secret.dropped", secret, after={"api_key_id": secret.api_key_id})
    return secret


def opened(key_id: int) -> Iterator[tuple[int, bytes]]:
    """Id and bytes of each secret that a key may sign with, the newest first."""
    for secret in SigningSecret.objects.filter(api_key_id=key_id, dropped_at=None).order_by("-pk"):
        try:
            yield secret.pk, vault.open_(secret.sealed)
        except vault.Unreadable:
            log.exception("signing secret %s checks nothing: drop it and make another", secret.pk)


def described(secret: SigningSecret) -> dict[str, Any]:
    """A secret as clients know it."""
    return {
        "id": secret.pk,
        "api_key_id": secret.api_key_id,
        "sign_as": f"{api_keys.PREFIX}_{secret.tenant_id}_{secret.api_key_id}",
        "created_by": secret.created_by_id,
        "created_at": secret.created_at,
        "dropped_at": secret.dropped_at,
    }
