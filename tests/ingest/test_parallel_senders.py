"""A messaging system delivers each message one to seven times, shuffled, through many senders, while the API's workers are killed.

INGEST_IDS: how many message ids; 5000 in `make deliver`.
"""

import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict, deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from convalloc import clock
from convalloc.server import LOOP_SECONDS
from conversations.doctor import examination
from conversations.ingest import Message
from conversations.models import Conversation, ReceivedMessage
from tenants import isolation
from tests import production
from tests.conftest import Cast, assemble
from tests.faults.program import children
from tests.ingest.expectation import expected, row_of
from tests.races.crowd import PATIENCE_SECONDS
from tests.races.over_http import PRODUCT, WITHOUT_LOCKS, Caller

IDS = int(os.environ.get("INGEST_IDS", "300"))
THREADS = max(3, IDS // 100)  # of conversations: few, so that deliveries meet
SENDERS = 6
MOST = 20  # messages of one delivery
KILLS = max(2, IDS // 1000)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass
class Delivery:
    """All that is to be delivered, and what has become of it."""

    cast: Cast
    messages: list[Message]
    waiting: deque[list[Message]]
    batches: int
    answered: int = 0
    again: int = 0  # deliveries whose answer never came
    said: Counter[str] = field(default_factory=Counter)


def delivery(cast: Cast, luck: random.Random) -> Delivery:
    """So many messages in a few conversations, each one to seven times."""
    messages = [
        Message(
            f"SM{number}",
            f"thread {luck.randrange(THREADS)}",
            cast.support.pk,
            "+12025550123",
            luck.choice(["inbound", "inbound", "outbound"]),
            NOON + timedelta(seconds=luck.randrange(86_400)),
        )
        for number in range(IDS)
    ]
    every = [message for message in messages for _ in range(luck.randint(1, 7))]
    luck.shuffle(every)
    waiting: deque[list[Message]] = deque()
    while every:
        size = luck.randint(1, MOST)
        waiting.append(every[:size])
        every = every[size:]
    return Delivery(cast, messages, waiting, len(waiting))


def spelled(message: Message) -> dict[str, Any]:
    return message._asdict() | {"sent_at": clock.instant(message.sent_at)}


def sends(all_of_it: Delivery, port: int) -> None:
    """Deliver batch after batch; what is not answered is delivered again, as a messaging system does."""
    with ExitStack() as lines:
        line: Caller | None = None
        while True:
            try:
                batch = all_of_it.waiting.popleft()
            except IndexError:
                return
            try:
                if line is None:
                    line = Caller(port, all_of_it.cast.ada)
                    lines.callback(line.close)
                answer = line.post("/ingest/messages", messages=[spelled(message) for message in batch])
                if answer.status != 200:
                    raise ConnectionError(answer.status)
            except (OSError, HTTPException):
                all_of_it.again += 1
                all_of_it.waiting.append(batch)
                line = None
                time.sleep(0.02)
            else:
                all_of_it.answered += 1
                all_of_it.said.update(receipt["status"] for receipt in answer.data)


def delivered(application: str, folder: Path) -> Delivery:
    """Deliver everything; workers die meanwhile, the youngest each time, because an older one keeps the server alive."""
    all_of_it = delivery(assemble(), random.Random(7))
    environment, log = os.environ | production.SETTINGS, folder / "api.log"
    with production.serve(application, environment=environment, log=log, workers=2, threads=SENDERS) as api:
        time.sleep(LOOP_SECONDS)  # nobody is a beginner any more
        senders = [threading.Thread(target=sends, args=(all_of_it, api.port), daemon=True) for _ in range(SENDERS)]
        for sender in senders:
            sender.start()
        for kill in range(1, KILLS + 1):
            until(lambda: all_of_it.answered > kill * all_of_it.batches // (KILLS + 2))  # noqa: B023  called at once
            os.kill(max(children(api.pid)), signal.SIGKILL)
            until(lambda: len(children(api.pid)) == 2)
        for sender in senders:
            sender.join(PATIENCE_SECONDS + IDS / 10)
            assert not sender.is_alive()
    return all_of_it


def until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def faults(all_of_it: Delivery) -> list[str]:
    """What is not as it must be."""
    found = []
    with isolation.act_as(all_of_it.cast.tenant.pk):
        rows = {row.external_conversation_id: row for row in Conversation.objects.all()}
        threads: dict[str, set[Message]] = defaultdict(set)
        for message in all_of_it.messages:
            threads[message.external_conversation_id].add(message)
        if ReceivedMessage.objects.count() != IDS:
            found.append(f"{ReceivedMessage.objects.count()} messages are kept")
    if rows.keys() != threads.keys():
        found.append(f"conversations {rows.keys() ^ threads.keys()}")
    found += [f"{name}: {row_of(rows[name])}" for name in rows if row_of(rows[name]) != expected([threads[name]])]
    findings = examination.examine([all_of_it.cast.tenant.pk])
    return found + [finding.message for finding in findings if finding.name in ("versions", "fold", "messages") and not finding.is_fine]


def test_every_message_counts_once(committed: None, tmp_path: Path) -> None:
    all_of_it = delivered(PRODUCT, tmp_path)

    assert faults(all_of_it) == []
    assert all_of_it.said["refused"] == 0
    assert all_of_it.said["created"] <= THREADS
    print(f"{IDS} ids in {all_of_it.batches} deliveries, {all_of_it.again} again, {KILLS} workers killed: {dict(all_of_it.said)}")  # noqa: T201


def test_control_without_locks_messages_are_lost(committed: None, tmp_path: Path) -> None:
    assert faults(delivered(WITHOUT_LOCKS, tmp_path)) != []


@pytest.mark.parametrize("seed", [7])
def test_the_delivery_itself_repeats_and_shuffles(committed: None, seed: int) -> None:
    all_of_it = delivery(assemble(), random.Random(seed))

    every = [message for batch in all_of_it.waiting for message in batch]
    assert {message.key for message in every} == {message.key for message in all_of_it.messages}
    assert len(every) > 3 * IDS
