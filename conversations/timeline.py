"""What happened to a conversation, told to people: a sentence for each event, with names as they are now. The why stands beside it."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import models
from django.db.models import TextField, Value
from django.db.models.functions import Coalesce, NullIf

from labels.models import Label
from operators.models import Operator
from tenants.models import Event, Inbox

NOBODY = "The system"  # a message, a command, the clock
SENTENCES = {
    "conversation.created": "It began at {inbox}.",
    "conversation.allocated": "The queue gave it to {holder}.",
    "conversation.claimed": "{holder} took it.",
    "conversation.claimed by another": "{actor} took it for {holder}.",
    "conversation.assigned": "{actor} gave it to {holder}.",
    "conversation.reassigned": "{actor} took it from {former} and gave it to {holder}.",
    "conversation.released": "{former} gave it back to the queue.",
    "conversation.deallocated": "{actor} put it back into the queue; {former} had held it.",
    "conversation.requeued": "{former} stayed away: it is back in the queue.",
    "conversation.requeued by somebody": "{actor} did not wait for {former}: it is back in the queue.",
    "conversation.moved": "{actor} moved it from {left} to {inbox}.",
    "conversation.moved and lost labels": "{actor} moved it from {left} to {inbox}, where there is no {lost}.",
    "conversation.resolved": "{actor} resolved it.",
    "conversation.reopened": "The customer wrote again: it waits at {inbox}.",
    "conversation.labelled": "{actor} put on {gained}.",
    "conversation.unlabelled": "{actor} took off {lost}.",
    "conversation.erased": "Its customer was forgotten.",
    "message.received": "Message {message_count} was counted.",
    "grace.opened": "{keeper} went offline and keeps it until {expires_at}.",
    "grace.extended": "{actor} lets {keeper} keep it until {expires_at}.",
    "grace.cancelled": "{keeper} keeps it no longer: the work went on without them.",
    "grace.cancelled by a return": "{keeper} is back in time.",
    "grace.expired": "The time ran out in which {keeper} kept it.",
}


class Entry(NamedTuple):
    """One line: when, who, what, why."""

    id: int
    at: datetime
    kind: str
    actor_id: int | None
    actor_name: str | None
    text: str
    cause: str


class Names(NamedTuple):
    """Of whom and what the events tell, as they are called now."""

    operators: Mapping[int, str]
    inboxes: Mapping[int, str]
    labels: Mapping[int, str]


def entries(conversation_id: int, *, beyond: int | None, limit: int, newest_first: bool) -> list[Entry]:
    """The next lines of a conversation beyond an event's id, in either direction. Its own events and its grace periods' alike."""
    rows = Event.objects.filter(conversation_id=conversation_id)
    if beyond is not None:
        rows = rows.filter(pk__lt=beyond) if newest_first else rows.filter(pk__gt=beyond)
    events = list(rows.order_by("-pk" if newest_first else "pk")[:limit])
    names = _names(events)
    return [
        Entry(event.pk, event.at, event.kind, event.actor_id, _of(names.operators, event.actor_id), _sentence(event, names), event.cause)
        for event in events
    ]


def _sentence(event: Event, names: Names) -> str:
    before, after = event.before, event.after
    gained, lost = _labels(event, names, after, before), _labels(event, names, before, after)
    words = {
        "actor": _of(names.operators, event.actor_id) or NOBODY,
        "holder": _of(names.operators, after.get("assigned_operator_id")) or "nobody",
        "former": _of(names.operators, before.get("assigned_operator_id")) or "nobody",
        "keeper": _of(names.operators, event.holder_id) or "nobody",
        "inbox": _of(names.inboxes, event.inbox_id) or "an inbox",
        "left": _of(names.inboxes, before.get("inbox_id")) or "an inbox",
        "gained": gained,
        "lost": lost,
        "message_count": after.get("message_count"),
        "expires_at": str(after.get("expires_at", ""))[:16].replace("T", " ") + " UTC",
    }
    return SENTENCES.get(_variant(event, lost), event.kind).format(**words)


def _variant(event: Event, lost: str) -> str:
    """Which of a kind's sentences fits."""
    somebody_else = event.actor_id is not None and event.actor_id != event.after.get("assigned_operator_id")
    variants = {
        "conversation.claimed": (somebody_else, "by another"),
        "conversation.requeued": (event.actor_id is not None, "by somebody"),
        "conversation.moved": (bool(lost), "and lost labels"),
        "grace.cancelled": (event.after.get("end_reason") == "returned", "by a return"),
    }
    fits, words = variants.get(event.kind, (False, ""))
    return f"{event.kind} {words}" if fits else event.kind


def _labels(event: Event, names: Names, more: Mapping[str, Any], less: Mapping[str, Any]) -> str:
    """The labels that stand on one side and not on the other, by name; a label that is gone by the name that it had."""
    kept = {_of(names.labels, id_) for id_ in less.get("label_ids", ())}
    found = [
        _of(names.labels, id_) or event.cause or "a label" for id_ in more.get("label_ids", ()) if id_ not in less.get("label_ids", ())
    ]
    return ", ".join(name for name in found if name not in kept)


def _names(events: Iterable[Event]) -> Names:
    """Every name in as many statements as there are kinds of things."""
    operators, inboxes, labels = set[int | None](), set[int | None](), set[int | None]()
    for event in events:
        operators |= {event.actor_id, event.holder_id, *(facts.get("assigned_operator_id") for facts in (event.before, event.after))}
        inboxes |= {event.inbox_id, event.before.get("inbox_id")}
        labels |= {*event.before.get("label_ids", ()), *event.after.get("label_ids", ())}
    shown = Coalesce(NullIf("name", Value("")), "email", output_field=TextField())
    return Names(_named(Operator, operators, shown), _named(Inbox, inboxes), _named(Label, labels))


def _named(model: type[models.Model], ids: set[int | None], name: Any = "name") -> dict[int, str]:
    return dict(model._default_manager.filter(pk__in=ids - {None}).values_list("pk", name))


def _of(names: Mapping[int, str], id_: int | None) -> str | None:
    return None if id_ is None else names.get(id_)
