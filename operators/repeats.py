"""A caller who heard no answer asks again, with the same Idempotency-Key: it is done once, and both hear the same.

A key is a caller's for one operation. Its row is written before anything is done, in the transaction in which it is done, and so
stands or falls with the effect and the answer. A copy that comes meanwhile waits at the unique index `idempotency_key_once` until it
is known whether the first one stands. Then it is answered as the first one was, or does what that did not do.
A row holds neither the key nor a word of the question or of the answer that could be read without the key: answers tell secrets
(an API key) and customers' numbers. Source: draft-ietf-httpapi-idempotency-key-header-07; where it leaves a choice, docs/decisions/0012.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from django.db import connection

from convalloc import clock, vault
from operators.errors import KeyInUse, KeyReused
from operators.models import IdempotencyKey
from tenants.isolation import current_tenant_id

KEPT = timedelta(hours=24)  # an answer, from when it was given
# A question to a room that takes many short transactions is claimed in one of its own. Whoever died over it is waited for so long.
HELD = timedelta(minutes=5)
CLAIM = """
    INSERT INTO idempotency_keys (tenant_id, operator_id, operation, digest, question, headers, sealed, expires_at)
    VALUES (%(tenant_id)s, %(operator_id)s, %(operation)s, %(digest)s, %(question)s, '{}', '', %(expires_at)s)
    ON CONFLICT DO NOTHING RETURNING id
"""


class Question(NamedTuple):
    """What is asked for the first time, or again: by whom, which operation, under which key, and all that it says."""

    operator_id: int
    operation: str
    key: str
    text: str

    @property
    def owner(self) -> dict[str, str | int]:
        """By what its row is found."""
        return {"operator_id": self.operator_id, "operation": self.operation, "digest": hashlib.sha256(self.key.encode()).hexdigest()}

    @property
    def fingerprints(self) -> list[str]:
        """By what it is known again, under SECRET_KEY and each of its fallbacks."""
        return [digest.hex() for digest in vault.fingerprints(f"{self.key}\n{self.text}")]


class Answer(NamedTuple):
    """What was answered, byte for byte, with the headers that tell of what was done."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def claim(question: Question, held: timedelta = KEPT) -> Answer | None:
    """What was answered to this question before; None: it is this caller's to answer, and to `settle`. Raises KeyReused, KeyInUse.

    Waits for whoever has claimed the same key and is not done.
    """
    if _is_new(question, held) or _takes_over(question, held):
        return None
    row = IdempotencyKey.objects.filter(**question.owner).first()
    if row is None:  # swept at this moment
        raise KeyInUse
    if not any(hmac.compare_digest(row.question, known) for known in question.fingerprints):
        raise KeyReused
    if row.status is None:
        raise KeyInUse
    return Answer(row.status, row.headers, vault.open_(row.sealed, question.key))


def settle(question: Question, answer: Answer | None) -> None:
    """From now on, and for `KEPT`, this is what the question is answered. Without an answer nothing came of it: the key is free."""
    rows = IdempotencyKey.objects.filter(**question.owner, status=None)
    if answer is None:
        rows.delete()
        return
    rows.update(
        status=answer.status,
        headers=dict(answer.headers),
        sealed=vault.seal(answer.body, question.key),
        expires_at=clock.now() + KEPT,
    )


def sweep(limit: int) -> int:
    """Forget up to `limit` keys of the bound tenant whose time is over; how many."""
    over = IdempotencyKey.objects.filter(expires_at__lte=clock.now()).order_by("expires_at").values_list("pk", flat=True)[:limit]
    deleted, _ = IdempotencyKey.objects.filter(pk__in=list(over), expires_at__lte=clock.now()).delete()
    return deleted


def _is_new(question: Question, held: timedelta) -> bool:
    """Write down who answers it. Whoever brings a copy meanwhile waits here."""
    row = {"tenant_id": current_tenant_id(), "question": question.fingerprints[0], "expires_at": clock.now() + held, **question.owner}
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, row)
        return cursor.fetchone() is not None


def _takes_over(question: Question, held: timedelta) -> bool:
    """What has expired and was not swept yet counts as forgotten. Of several who come, one takes it over; the others wait for that one."""
    now, text = clock.now(), question.fingerprints[0]
    expired = IdempotencyKey.objects.filter(**question.owner, expires_at__lte=now)
    return bool(expired.update(question=text, status=None, headers={}, sealed="", created_at=now, expires_at=now + held))
