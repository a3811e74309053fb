"""Pages of conversations, by keyset: a walk under writes meets every unchanged row exactly once.

Sorted by priority, the walk is pinned to the instant of its first page: order and scores are those of that instant.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import BigIntegerField, Q, QuerySet
from django.db.models.expressions import RawSQL
from rest_framework import serializers

from convalloc.api import cursors
from convalloc.api.fields import WholeNumber
from conversations.api import wire
from conversations.models import Conversation
from conversations.priority import Weights
from conversations.walk import Moment, Position, Walk


class Sort(NamedTuple):
    """One way to order conversations: the order, the cursor's parts with their parsers, and what comes after a cursor.

    `after` says it of rows that are few; `nearest` finds the ids of the next so many in a walk, however deep it stands.
    """

    order: tuple[str, ...]
    parsers: list[Callable[[str], Any]]
    parts: Callable[[dict[str, Any], datetime, float], list[Any]]
    after: Callable[[list[Any]], Q]
    nearest: Callable[[Walk, Weights, datetime, list[Any] | None, int], RawSQL]


SORTS = {
    # What old clients know of a cursor stands first; the rest is what makes it exact.
    "priority": Sort(
        order=("-effective", "waits_from", "id"),
        parsers=[
            cursors.number,
            cursors.point_in_time,
            cursors.whole_number,
            cursors.point_in_time,
            cursors.whole_number,
            cursors.point_in_time,
        ],
        parts=lambda row, now, score: [score, row["last_message_at"], row["id"], now, row["effective"], row["waits_from"]],
        after=lambda c: Q(effective__lt=c[4]) | Q(effective=c[4], waits_from__gt=c[5]) | Q(effective=c[4], waits_from=c[5], id__gt=c[2]),
        nearest=lambda walk, weights, now, c, limit: walk.by_priority(weights, now, Position(c[4], c[5], c[2]) if c else None, limit),
    ),
    "newest": Sort(
        order=("-last_message_at", "-id"),
        parsers=[cursors.point_in_time, cursors.whole_number],
        parts=lambda row, now, score: [row["last_message_at"], row["id"]],
        after=lambda c: Q(last_message_at__lt=c[0]) | Q(last_message_at=c[0], id__lt=c[1]),
        nearest=lambda walk, weights, now, c, limit: walk.by_time(Moment(*c) if c else None, limit, newest_first=True),
    ),
    "oldest": Sort(
        order=("last_message_at", "id"),
        parsers=[cursors.point_in_time, cursors.whole_number],
        parts=lambda row, now, score: [row["last_message_at"], row["id"]],
        after=lambda c: Q(last_message_at__gt=c[0]) | Q(last_message_at=c[0], id__gt=c[1]),
        nearest=lambda walk, weights, now, c, limit: walk.by_time(Moment(*c) if c else None, limit, newest_first=False),
    ),
}
PINNED_INSTANT = 3  # its place among the parts of a priority cursor


class PageSize(serializers.Serializer[Any]):
    """How much, from where on: `limit`, `cursor`."""

    limit = WholeNumber(min_value=1, max_value=settings.MAX_PAGE_LIMIT, default=settings.DEFAULT_PAGE_LIMIT, help_text="Rows of a page.")
    cursor = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=cursors.MAX_LENGTH,
        help_text="`next_cursor` of the page before; fits the same sort and filters only.",
    )


class PageRequest(PageSize):
    """How much of which order."""

    sort = serializers.ChoiceField(choices=list(SORTS), default="priority", help_text="`priority`: the order of the queue at this instant.")


class Page(NamedTuple):
    """A page, and the cursor of the next one; None at the end."""

    conversations: list[dict[str, Any]]
    next_cursor: str | None


def page(
    rows: QuerySet[Conversation],
    wish: Mapping[str, Any],
    filters: Mapping[str, Any],
    weights: Weights,
    now: datetime,
    walk: Walk | None = None,
) -> Page:
    """One page of `rows` as `wish` (a validated PageRequest) asks for it. Raises Invalid for a cursor that does not fit.

    `walk` is the way to the same rows where they are many; without it they are read and sorted.
    """
    sort, binding = SORTS[wish["sort"]], cursors.digest(wish["sort"], filters)
    after = cursors.read(wish["cursor"], sort.parsers, binding) if wish["cursor"] else None
    if wish["sort"] == "priority":
        now = after[PINNED_INSTANT] if after else now
        rows = rows.annotate(effective=Walk.effective(weights, now) if walk else _effective(weights, now))
    if walk:
        rows = rows.filter(pk__in=sort.nearest(walk, weights, now, after, wish["limit"] + 1))
    elif after:
        rows = rows.filter(sort.after(after))

    columns = (*wire.COLUMNS, "effective") if wish["sort"] == "priority" else wire.COLUMNS
    found = list(rows.order_by(*sort.order).values(*columns)[: wish["limit"] + 1])
    shown = found[: wish["limit"]]
    conversations = wire.spell(shown, weights, now)
    if len(found) == len(shown):
        return Page(conversations, None)
    return Page(conversations, cursors.write(sort.parts(shown[-1], now, conversations[-1]["priority_score"]), binding))


def _effective(weights: Weights, now: datetime) -> RawSQL:
    effective = weights.in_sql.effective("conversations.credit", "conversations.waits_from", "%s::timestamptz")
    return RawSQL(effective, [now] * effective.count("%s"), output_field=BigIntegerField())
