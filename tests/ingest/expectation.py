"""What messages make of a conversation, as a head can hold it: sets of messages, with somebody resolving it in between."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from conversations.ingest import Message
from conversations.models import Conversation


class Row(NamedTuple):
    """What a conversation says of its messages."""

    state: str
    message_count: int
    last_message_at: datetime
    waiting_since: datetime | None
    episode: int


def row_of(conversation: Conversation) -> Row:
    """The same of a row of the database."""
    return Row(*(getattr(conversation, name) for name in Row._fields))


def unanswered_since(messages: Iterable[Message]) -> datetime | None:
    """The first inbound message after the last outbound one."""
    told = list(messages)
    answers = [message.sent_at for message in told if message.direction == "outbound"]
    asked = [message.sent_at for message in told if message.direction == "inbound"]
    return min((at for at in asked if not answers or at > max(answers)), default=None)


def expected(phases: Sequence[set[Message]]) -> Row:
    """The row after these sets of messages, at the end of each of which but the last a manager resolves what is not resolved."""
    state, episode, waiting, current = "QUEUED", 1, None, set[Message]()
    for number, phase in enumerate(phases):
        if number and state == "QUEUED":
            state, current = "RESOLVED", set()
        current |= phase
        if state == "RESOLVED" and any(message.direction == "inbound" for message in current):
            state, episode = "QUEUED", episode + 1
        if state == "QUEUED":
            waiting = unanswered_since(current)
    every = set().union(*phases)
    return Row(state, len(every), max(message.sent_at for message in every), waiting, episode)
