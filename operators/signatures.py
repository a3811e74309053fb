"""Signed requests: a program proves that it has a secret, and does not show it. A message is let in once, and in its time.

Signed is `id.timestamp.body`, the body byte for byte as it came, by HMAC-SHA256. Method and path are not: so a POST alone is
believed, as the specification has it, or what was signed to ask could be sent to delete. Its words (reason) tell a caller what
is wrong with what it sent, and nothing of which keys and secrets there are.
A message that was let in is written down in the request's own transaction: what was rolled back may be sent again.
Source: Standard Webhooks, specification 1.0.0.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import connection

from convalloc import clock, security
from operators import api_keys, signing_secrets
from operators.errors import SignatureInvalid, SignatureReplayed
from operators.models import ApiKey, SeenMessage

KEY, ID, TIMESTAMP, SIGNATURE = "X-Api-Key-Id", "webhook-id", "webhook-timestamp", "webhook-signature"
VERSION = "v1"
TOLERANCE = timedelta(seconds=300)  # either way, from the database's clock
KEPT = 2 * TOLERANCE  # a message that was let in, from the time that it bears: past its time, whatever still runs
ENTRY = "[a-z0-9]{1,8},[A-Za-z0-9+/=_-]{1,128}"
WELL_FORMED = {
    KEY: re.compile(rf"{api_keys.PREFIX}_[1-9][0-9]{{0,17}}_[1-9][0-9]{{0,17}}"),
    # What can be seen, without a full stop, which ends the id in what is signed, and a comma, by which two headers become one.
    ID: re.compile(r"[!-+\-/-~]{1,256}"),
    TIMESTAMP: re.compile("[1-9][0-9]{0,10}"),
    SIGNATURE: re.compile(f"{ENTRY}(?: {ENTRY}){{0,9}}"),
}
SEE = """
    INSERT INTO seen_messages (tenant_id, api_key_id, message_id, signed_at)
    VALUES (%(tenant_id)s, %(api_key_id)s, %(message_id)s, %(signed_at)s) ON CONFLICT DO NOTHING RETURNING id
"""


class Signed(NamedTuple):
    """A well formed signature, which proves nothing yet: whose it claims to be, of what, and what it may be."""

    tenant_id: int
    api_key_id: int
    message_id: str
    timestamp: str
    offered: list[str]

    @property
    def at(self) -> datetime:
        """When it was signed, as its sender says."""
        return datetime.fromtimestamp(int(self.timestamp), UTC)


class Accepted(NamedTuple):
    """Which key a message was let in for, and which of its secrets signed it."""

    key: ApiKey
    secret_id: int


def read(headers: Mapping[str, str]) -> Signed | None:
    """The signature in a request's headers; None where there is no trace of one. Raises SignatureInvalid."""
    offered = {name: headers[name] for name in WELL_FORMED if name in headers}
    if not offered:
        return None
    for name, form in WELL_FORMED.items():
        if name not in offered:
            raise SignatureInvalid(reason=f"{name} is missing")
        if form.fullmatch(offered[name]) is None:
            raise SignatureInvalid(reason=f"{name} is malformed")
    _, tenant_id, key_id = offered[KEY].split("_")
    entries = [entry.partition(",") for entry in offered[SIGNATURE].split(" ")]
    made = [text for version, _, text in entries if version == VERSION]
    return Signed(int(tenant_id), int(key_id), offered[ID], offered[TIMESTAMP], made)


def accept(signed: Signed, body: bytes) -> Accepted:
    """Let this message of the bound tenant in, this once. Raises SignatureInvalid, SignatureReplayed."""
    if abs(clock.now() - signed.at) > TOLERANCE:
        raise SignatureInvalid(reason=f"{TIMESTAMP} is more than {TOLERANCE.seconds} s away from our clock")
    key = api_keys.living(signed.api_key_id)
    secret_id = _signed_by(signed, body)
    if key is None or secret_id is None:
        security.tell("authn_signature_fail", tenant_id=signed.tenant_id, api_key_id=signed.api_key_id)
        raise SignatureInvalid(reason="no signing secret of this API key made the signature")
    if not _is_new(signed):
        security.tell("authn_signature_replayed", tenant_id=signed.tenant_id, api_key_id=signed.api_key_id)
        raise SignatureReplayed
    api_keys.note_use(key)
    return Accepted(key, secret_id)


def sweep(limit: int) -> int:
    """Forget up to `limit` messages of the bound tenant that are too old to be let in anyway; how many."""
    over = SeenMessage.objects.filter(signed_at__lt=clock.now() - KEPT).order_by("signed_at").values_list("pk", flat=True)[:limit]
    deleted, _ = SeenMessage.objects.filter(pk__in=list(over)).delete()
    return deleted


def _signed_by(signed: Signed, body: bytes) -> int | None:
    """The id of the key's secret that made one of the signatures."""
    content = f"{signed.message_id}.{signed.timestamp}.".encode() + body
    for secret_id, secret in signing_secrets.opened(signed.api_key_id):
        expected = base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
        if any(hmac.compare_digest(expected, text) for text in signed.offered):
            return secret_id
    return None


def _is_new(signed: Signed) -> bool:
    """Write down that it was let in. Whoever brings a copy meanwhile waits here, until it is known whether this one stands."""
    row: dict[str, int | str | datetime] = {
        "tenant_id": signed.tenant_id,
        "api_key_id": signed.api_key_id,
        "message_id": signed.message_id,
        "signed_at": signed.at,
    }
    with connection.cursor() as cursor:
        cursor.execute(SEE, row)
        return cursor.fetchone() is not None
