"""Messages come in: each is counted once and for ever, and opens, moves on, or reopens the conversation that it belongs to.

In whatever order they come, however late and however often, the conversation ends up the same: `message_count`, the latest
`sent_at` and `waiting_since` follow from the set of its messages. `waiting_since` is the earliest inbound message of the episode
that was sent after the latest outbound one; None: answered. An episode ends when somebody resolves the conversation; what
comes afterwards belongs to the next one, and the first inbound message among it reopens the conversation.

Two unique constraints decide whatever races: a conversation by its external id, a message by its provider's id. A batch waits in
this order: for new conversations by external id, for the locks of conversations by id, for messages by provider and id.
Whoever waits at one of these holds nothing that comes later.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from convalloc import phones, prepared
from convalloc.errors import DomainError, Missing
from conversations import contacts, queue
from conversations.counting import COUNT, LOOK, OPEN
from conversations.errors import SentInTheFuture
from conversations.models import Conversation, ReceivedMessage
from tenants import eventlog, isolation
from tenants.models import Tenant

MOST = 500  # messages of one batch
SKEW = timedelta(minutes=5)  # by which a sender's clock may be ahead of the database's
Key = tuple[str, str]


class Message(NamedTuple):
    """A message as its sender tells of it. `inbox`: an id, or the number that the customer wrote to, in any spelling."""

    message_id: str
    external_conversation_id: str
    inbox: int | str
    customer_phone_number: str
    direction: str
    sent_at: datetime
    provider: str = "default"

    @property
    def key(self) -> Key:
        """By what it is known again."""
        return self.provider, self.message_id


class Status(StrEnum):
    """What became of a message."""

    CREATED = "created"  # counted, and its conversation began with it
    COUNTED = "counted"
    DUPLICATE = "duplicate"  # it was counted before
    REFUSED = "refused"


class Outcome(NamedTuple):
    """What became of a message, and where. `kept`: what the conversation knows otherwise than the message says, and keeps."""

    status: Status
    conversation_id: int | None = None
    reopened: bool = False
    kept: tuple[str, ...] = ()
    refusal: DomainError | None = None


def receive(tenant: Tenant, messages: Sequence[Message]) -> list[Outcome]:
    """Count these messages, each once, and tell what became of each, in their order; what is refused stops no other.

    The inbox and the number of a conversation are those of the message that opened it, and no other message changes them.
    In the caller's transaction, which holds the locks of all these conversations afterwards.
    """
    inboxes, there, now = _look(messages)
    refused = {place: refusal for place, message in enumerate(messages) if (refusal := _refusal(message, inboxes, now))}
    once: dict[Key, Message] = {}
    for place, message in enumerate(messages):
        if place not in refused:
            once.setdefault(message.key, message)
    counted = _counted(tenant, once, inboxes, there)

    outcomes, told = [], set[Key]()
    for place, message in enumerate(messages):
        if place in refused:
            outcomes.append(Outcome(Status.REFUSED, refusal=refused[place]))
            continue
        outcome = counted[message.key]
        again = message.key in told
        outcomes.append(Outcome(Status.DUPLICATE, outcome.conversation_id) if again else outcome)
        told.add(message.key)
    return outcomes


def _look(messages: Sequence[Message]) -> tuple[dict[int | str, int], set[str], datetime]:
    """Ids of the tenant's inboxes by what these messages call them, the names among theirs that conversations have, and the time.

    An inbox by a text is one by its number; a text that is no inbox's number, but digits, is an id.
    """
    spelled = {name: phones.spellings(name) if isinstance(name, str) else [] for name in {message.inbox for message in messages}}
    ids = {name: int(name) for name in spelled if isinstance(name, int) or (name.isascii() and name.isdigit() and len(name) < 19)}
    asked = {
        "tenant_id": isolation.current_tenant_id(),
        "ids": list(ids.values()),
        "numbers": [number for spellings in spelled.values() for number in spellings],
        "names": list({message.external_conversation_id for message in messages}),
    }
    (found,) = prepared.rows(LOOK, asked)
    by_number = dict(zip(found["numbers"], found["ids"], strict=True))
    inboxes = {}
    for name, spellings in spelled.items():
        matches = [by_number[number] for number in spellings if number in by_number]
        matches += [ids[name]] if ids.get(name) in found["ids"] else []
        if matches:
            inboxes[name] = matches[0]
    return inboxes, set(found["there"]), found["now"]


def _refusal(message: Message, inboxes: Mapping[int | str, int], now: datetime) -> DomainError | None:
    if message.inbox not in inboxes:
        return Missing(what="Inbox", sought=[message.inbox] if isinstance(message.inbox, int) else [])
    if message.sent_at > now + SKEW:
        return SentInTheFuture(minutes=SKEW // timedelta(minutes=1))
    return None


def _counted(tenant: Tenant, messages: Mapping[Key, Message], inboxes: Mapping[int | str, int], there: set[str]) -> dict[Key, Outcome]:
    """What became of each of these. What is left of a round was to go where an erasure took the name away meanwhile: it goes on."""
    outcomes: dict[Key, Outcome] = {}
    while left := [message for key, message in messages.items() if key not in outcomes]:
        opened = _open([message for message in left if message.external_conversation_id not in there], inboxes)
        held = queue.hold_named({message.external_conversation_id for message in left})
        here = [message for message in left if message.external_conversation_id in held]
        outcomes |= _count(tenant, here, held, opened, inboxes)
        _close(opened - {outcome.conversation_id for outcome in outcomes.values()})
        outcomes |= _known([message for message in left if message.key not in outcomes])
        there = set()
    return outcomes


def _open(lost: Sequence[Message], inboxes: Mapping[int | str, int]) -> set[int]:
    """Open a conversation, empty still, for each name that a new message among these brings; ids of those that are ours."""
    known = _known(lost)
    first = {message.external_conversation_id: message for message in reversed(lost) if message.key not in known}
    if not first:
        return set()
    columns = {
        "external_ids": list(first),
        "inbox_ids": [inboxes[message.inbox] for message in first.values()],
        "numbers": [phones.kept(message.customer_phone_number) for message in first.values()],
        # The earliest: should another delivery turn out to have counted one of them, the rest still makes the latest.
        "sent_ats": [min(message.sent_at for message in lost if message.external_conversation_id == name) for name in first],
    }
    return {row["id"] for row in prepared.rows(OPEN, columns | {"tenant_id": isolation.current_tenant_id()})}


def _close(conversation_ids: set[int]) -> None:
    """Take back what was opened for messages that another delivery had counted elsewhere meanwhile. Nobody has seen it."""
    if conversation_ids:
        Conversation.objects.filter(pk__in=conversation_ids).delete()


def _count(
    tenant: Tenant, messages: Sequence[Message], held: Mapping[str, int], opened: set[int], inboxes: Mapping[int | str, int]
) -> dict[Key, Outcome]:
    """Count those that are new. Under the locks of their conversations, in a snapshot that is younger than the wait for them."""
    if not messages:
        return {}
    columns = {
        "conversation_ids": [held[message.external_conversation_id] for message in messages],
        "providers": [message.provider for message in messages],
        "message_ids": [message.message_id for message in messages],
        "digests": [",".join(contacts.digests(tenant.pk, *message.key)) for message in messages],
        "directions": [message.direction for message in messages],
        "sent_ats": [message.sent_at for message in messages],
        "opened": list(opened),
    }
    rows = prepared.rows(COUNT, queue.placing(tenant) | eventlog.origin() | columns)
    return {messages[row["place"] - 1].key: _outcome(row, messages[row["place"] - 1], inboxes) for row in rows}


def _outcome(row: Mapping[str, Any], message: Message, inboxes: Mapping[int | str, int]) -> Outcome:
    number, theirs = row["customer_phone_number"], message.customer_phone_number
    other = {
        "inbox": row["inbox_id"] != inboxes[message.inbox],
        "customer_phone_number": number != theirs and phones.canonical(number) != phones.canonical(theirs),
    }
    status = Status.CREATED if row["created"] else Status.COUNTED
    return Outcome(status, row["conversation_id"], row["reopens"], tuple(name for name, differs in other.items() if differs))


def _known(messages: Sequence[Message]) -> dict[Key, Outcome]:
    """Those of these messages that were counted before, also where their customer is forgotten and a digest stands for their id."""
    if not messages:
        return {}
    tenant_id = isolation.current_tenant_id()
    kept_as = {(message.provider, id_): message.key for message in messages for id_ in contacts.ids_of_message(tenant_id, *message.key)}
    rows = ReceivedMessage.objects.filter(provider__in={provider for provider, _ in kept_as}, message_id__in=[id_ for _, id_ in kept_as])
    return {
        kept_as[provider, id_]: Outcome(Status.DUPLICATE, conversation_id)
        for provider, id_, conversation_id in rows.values_list("provider", "message_id", "conversation_id")
        if (provider, id_) in kept_as
    }
