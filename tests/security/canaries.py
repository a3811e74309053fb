"""Another tenant whose every text says whose it is, and whatever eye can find such a text in what comes back."""

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from conversations import grace, labelling, lifecycle
from conversations.models import ConversationLabel
from operators import api_keys, staff
from operators.models import Operator, Status
from tenants import eventlog, inboxes, isolation, tuning
from tests.conftest import Cast, assemble
from tests.contract import witness

BIRD = "kanarienvogel"  # in every text
NUMBER = "4915777777"  # in every phone number
PASSWORD = "a bird in a cage"
# Where free text stands: each must have its canary, or the hunt for it proves nothing.
SINGING = {
    "api_keys", "conversations", "events", "grace_period_assignments", "inboxes", "labels", "operators",
    "presence_periods", "tenants",
}  # fmt: skip


@dataclass
class Aviary:
    """The other tenant, and every id that it has, by table."""

    cast: Cast
    ids: dict[str, list[int]]


def phone(number: int) -> str:
    """A phone number that nobody else has."""
    return f"+{NUMBER}{number:03}"


def plant() -> Aviary:
    """A tenant that has done some of everything, in words that give it away."""
    cast = assemble(name=f"{BIRD} Ltd")
    with isolation.act_as(cast.tenant.pk):
        for number, inbox in enumerate((cast.support, cast.sales)):
            inboxes.change(inbox.pk, name=f"{BIRD} inbox {number}", phone_number=phone(number))
        for person in (cast.olga, cast.otto, cast.mia, cast.ada):
            Operator.objects.filter(pk=person.pk).update(name=f"{BIRD} {person.name}", email=f"{BIRD}.{person.pk}@tenant.example")
        staff.set_password(cast.ada.pk, PASSWORD)
        tuning.tune(name=f"{BIRD} and sons")
        with eventlog.caused_by(cast.ada.pk, f"{BIRD}-request"):
            api_keys.make(f"{BIRD} key", acts_as=cast.ada.pk, scopes=["labels:read"], days=1, by=cast.ada)
    _work(cast)
    return Aviary(cast, {table: [row["id"] for row in rows] for table, rows in witness.everything_of(cast.tenant).items()})


def _work(cast: Cast) -> None:
    """Conversations in every state, labels, an absence, a period of grace, all of them with reasons."""

    def facts(number: int) -> dict[str, Any]:
        return {"external_conversation_id": f"{BIRD}_{number}", "customer_phone_number": phone(100 + number)}

    cast.conversation(**facts(0))
    released, held = (witness.held(cast, cast.olga, **facts(number)) for number in (1, 2))
    witness.resolved(cast, cast.olga, **facts(3))
    label = cast.label(name=f"{BIRD} label")
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.olga.pk, f"{BIRD}-request"):
        labelling.attach(held.pk, label.pk)
        lifecycle.release(released.pk, by=cast.olga, reason=f"{BIRD} speaks Frisian")
        grace.change_status(cast.olga.pk, Status.OFFLINE, cast.tenant, reason=f"{BIRD} is at lunch")
        assert ConversationLabel.objects.exists()


def singing(cast: Cast) -> set[str]:
    """The tables in which the tenant can be heard."""
    rows = witness.everything_of(cast.tenant)
    return {table for table, found in rows.items() if heard(repr(found).encode())}


def heard(raw: bytes, tenant_id: int | None = None) -> list[str]:
    """What of the other tenant is in these bytes, in whatever spelling."""
    marks = [BIRD.encode(), NUMBER.encode()]
    if tenant_id is not None:
        marks += [f'"tenant_id":{tenant_id},'.encode(), f'"of_tenant_id":{tenant_id},'.encode()]
    return sorted({mark.decode() for layer in layers(raw) for mark in marks if mark in layer})


def layers(raw: bytes) -> Iterator[bytes]:
    """The bytes in lower case, as they are and without JSON's, HTML's, the URL's and base64's disguises."""
    yield raw.lower()
    yield unquote_to_bytes(raw).lower()
    text = raw.decode(errors="replace")
    yield html.unescape(text).lower().encode()
    yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text).lower().encode(errors="replace")
    for word in re.findall(rb"[A-Za-z0-9+/_-]{16,}", raw):
        for start in range(4):  # it may begin in the middle of a longer one
            piece = word[start:].replace(b"-", b"+").replace(b"_", b"/")
            piece = piece[:-1] if len(piece) % 4 == 1 else piece
            yield base64.b64decode(piece + b"=" * (-len(piece) % 4)).lower()
