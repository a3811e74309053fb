"""Pages of conversations, by keyset: a walk under writes meets every unchanged row exactly once.

Sorted by priority, the walk is pinned to the instant of its first page: order and scores are those of that instant.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from rest_framework import serializers

from convalloc import prepared
from convalloc.api import cursors
from conversations.api import wire
from conversations.priority import Weights
from conversations.walk import View, beyond


class Cursor(NamedTuple):
    """The cursor of one sort: its parts with their parsers, how a row gives them, and which of them are its place (walk.beyond)."""

    parsers: list[Callable[[str], Any]]
    parts: Callable[[Mapping[str, Any], datetime, float], list[Any]]
    place: Callable[[list[Any]], list[Any]]


BY_TIME = Cursor(
    parsers=[cursors.point_in_time, cursors.whole_number],
    parts=lambda row, now, score: [row["last_message_at"], row["id"]],
    place=lambda parts: parts,
)
CURSORS = {
    # What old clients know of a cursor stands first; the rest is what makes it exact.
    "priority": Cursor(
        parsers=[
            cursors.number,
            cursors.point_in_time,
            cursors.whole_number,
            cursors.point_in_time,
            cursors.whole_number,
            cursors.point_in_time,
        ],
        parts=lambda row, now, score: [score, row["last_message_at"], row["id"], now, row["effective"], row["waits_from"]],
        place=lambda parts: [parts[4], parts[5], parts[2]],
    ),
    "newest": BY_TIME,
    "oldest": BY_TIME,
}
PINNED_INSTANT = 3  # its place among the parts of a priority cursor


class PageRequest(cursors.PageSize):
    """How much of which order."""

    sort = serializers.ChoiceField(
        choices=list(CURSORS), default="priority", help_text="`priority`: the order of the queue at this instant."
    )


class Page(NamedTuple):
    """A page, and the cursor of the next one; None at the end."""

    conversations: list[dict[str, Any]]
    next_cursor: str | None


def binding(sort: str, filters: Mapping[str, Any], weights: Weights) -> str:
    """What binds a cursor to its list; by priority also to the weights: under other ones its place is another."""
    return cursors.digest(sort, {**filters, "weights": weights} if sort == "priority" else filters)


def page(view: View, wish: Mapping[str, Any], weights: Weights, now: datetime) -> Page:
    """One page of a list as `wish` (a validated PageRequest) asks for it. Raises Invalid for a cursor that does not fit."""
    sort, cursor, bound = wish["sort"], CURSORS[wish["sort"]], binding(wish["sort"], view.filters, weights)
    after = cursors.read(wish["cursor"], cursor.parsers, bound) if wish["cursor"] else None
    if after and sort == "priority":
        now = after[PINNED_INSTANT]
    parameters = view.parameters(weights, now, wish["limit"] + 1)
    if after:
        parameters |= beyond(sort, cursor.place(after), weights, now)
    rows = prepared.rows(wire.page_of(view.shape(sort, wish["limit"] + 1, beyond=after is not None)), parameters)
    conversations = [wire.spell(row, weights, now) for row in rows[: wish["limit"]]]
    if len(rows) == len(conversations):
        return Page(conversations, None)
    parts = cursor.parts(rows[wish["limit"] - 1], now, conversations[-1]["priority_score"])
    return Page(conversations, cursors.write(parts, bound))
