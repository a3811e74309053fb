"""One turn of sending: read the log on, take what is due, post it, write down what became of it.

Nothing is posted within a transaction, and what was posted is written down at once: a worker that is killed leaves no more than
what it had in hand, which the next one sends again. Each webhook's batch is one thread's, and the threads never ask the database.
"""

import json
import logging
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple

from convalloc import clock, outbound, standard_webhooks, vault
from convalloc.outbound import Answer
from convalloc.rhythm import OFTEN_SECONDS
from tenants import deliveries, eventlog, isolation, rounds, webhooks
from tenants.deliveries import FORGOTTEN, Parcel
from tenants.models import Event, Webhook

log = logging.getLogger(__name__)

TASK = "send_webhooks"
APART_SECONDS = OFTEN_SECONDS / 4  # rings of the beat that are nearer to each other are one
TURN_SECONDS = 20.0  # of a task; what is left, the next ring takes up
THREADS = 16
BATCH = 20  # deliveries of one webhook in a round: in order, over one connection
BATCH_SECONDS = 10.0  # no delivery of a batch begins later: a slow receiver keeps the others waiting no longer
UNREADABLE, BROKEN = Answer(None, "secret_unreadable", 0), Answer(None, "not_sent", 0)
FORGET_AT_ONCE = 500  # old deliveries of a tenant, in a turn


class Batch(NamedTuple):
    """What one thread sends: everything that it has to know."""

    tenant_id: int
    webhook_id: int
    url: str
    payload: str
    keys: list[bytes]
    taken_at: float  # of time.monotonic()
    parcels: list[Parcel]


class Word(NamedTuple):
    """What became of a parcel. `answer` None: it was not tried."""

    batch: Batch
    parcel: Parcel
    answer: Answer | None


def send(until: float = math.inf) -> dict[str, int]:
    """Send what is due, over all tenants, in rounds, until nothing is or `until` (of time.monotonic); what became of it.

    Outside a transaction. Any number of workers may do so at once.
    """
    counts = {"delivered": 0, "failed": 0, "left": 0}
    more = True
    while more and time.monotonic() < until:
        batches, counts["left"], more = _gathered(until)
        for batch, parcel, answer in _posted(batches, until):
            with isolation.act_as(batch.tenant_id), eventlog.caused_by(None):
                if answer is None:
                    deliveries.give_back(parcel)
                    more = True
                else:
                    deliveries.note(batch.webhook_id, parcel, answer)
                    counts["delivered" if answer.is_good else "failed"] += 1
        more = more or any(len(batch.parcels) == BATCH for batch in batches)
    return counts


def body_of(event: Event, payload: str) -> bytes:
    """What is sent of an event: `type`, `timestamp` and `data`, as Standard Webhooks has it."""
    told = eventlog.as_told(event)
    if payload == Webhook.Payload.THIN:
        told = thin(told)
    return json.dumps({"type": event.kind, "timestamp": clock.instant(event.at), "data": told}, separators=(",", ":")).encode()


def thin(told: dict[str, Any]) -> dict[str, Any]:
    """Of an event what names nobody and quotes nothing: who wants to know more, asks the API for it."""
    plain = ("id", "position", "kind", "at", "subject", "conversation_id", "inbox_id", "actor_id", "request_id")
    return {name: told[name] for name in plain} | {"version": told["after"].get("version")}


def _gathered(until: float) -> tuple[list[Batch], int, bool]:
    """A batch of each webhook that has something due, how many tenants are left, and whether any log has more to read."""
    batches: list[Batch] = []
    more = False

    def visit(tenant_id: int) -> None:
        nonlocal more
        with isolation.act_as(tenant_id):
            ids = list(webhooks.all_of_them().filter(stopped_at=None).values_list("pk", flat=True))
            deliveries.forget_old(FORGET_AT_ONCE)
        for webhook_id in ids:
            with isolation.act_as(tenant_id):
                more = deliveries.plan(webhook_id) or more
            with isolation.act_as(tenant_id):
                batches.extend(_taken(tenant_id, webhook_id))

    left = rounds.visit(rounds.with_webhooks(), visit, until)
    return batches, left, more


def _taken(tenant_id: int, webhook_id: int) -> Iterator[Batch]:
    """What is due of a webhook, now ours, if anything is."""
    parcels = deliveries.take(webhook_id, BATCH)
    if parcels:
        webhook = webhooks.find(webhook_id)
        yield Batch(tenant_id, webhook_id, webhook.url, webhook.payload, _keys(webhook), time.monotonic(), parcels)


def _keys(webhook: Webhook) -> list[bytes]:
    try:
        return webhooks.keys(webhook)
    except vault.Unreadable:
        log.exception("webhook %s cannot be signed: replace its secret", webhook.pk)
        return []


def _posted(batches: list[Batch], until: float) -> Iterator[Word]:
    """The batches' parcels, each as soon as it is known what became of it."""
    words: SimpleQueue[Word] = SimpleQueue()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="webhooks") as threads:
        for batch in batches:
            threads.submit(_post, batch, until, words)
        for _ in range(sum(len(batch.parcels) for batch in batches)):
            yield words.get()


def _post(batch: Batch, until: float, words: "SimpleQueue[Word]") -> None:
    """Post a batch in order. After one that did not get through the rest is not tried: it waits for the next round, unharmed."""
    latest = min(until, time.monotonic() + BATCH_SECONDS, batch.taken_at + deliveries.LEASE.total_seconds() / 2)
    gets_through = True
    with outbound.Line() as line:
        for parcel in batch.parcels:
            answer = None
            if gets_through and time.monotonic() < latest:
                answer = _post_one(line, batch, parcel)
                gets_through = answer.is_good
            words.put(Word(batch, parcel, answer))


def _post_one(line: outbound.Line, batch: Batch, parcel: Parcel) -> Answer:
    """Post one, if there is something to post. Raises nothing: somebody waits for the word."""
    if parcel.event is None or not batch.keys:
        return FORGOTTEN if parcel.event is None else UNREADABLE
    try:
        body = body_of(parcel.event, batch.payload)
        signed = standard_webhooks.headers(str(parcel.event.pk), int(time.time()), body, batch.keys)
        return line.post(batch.url, {"content-type": "application/json", "user-agent": "convalloc", **signed}, body)
    except Exception:
        log.exception("delivery %s could not be posted", parcel.id)
        return BROKEN
