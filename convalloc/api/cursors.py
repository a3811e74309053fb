"""Keyset cursors: where a walk stands, as text that a client may look at.

A cursor's parts are joined by `|`; the last one is a digest of the sort and the filters it belongs to. It grants nothing:
tenant and role are checked on every page. What does not parse is the caller's error (400), never ours.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings
from rest_framework import serializers

from convalloc.api.envelope import instant
from convalloc.api.fields import WholeNumber
from convalloc.errors import Invalid

SEPARATOR = "|"
MAX_LENGTH = 400
T = TypeVar("T")


class PageSize(serializers.Serializer[Any]):
    """How much, from where on: `limit`, `cursor`."""

    limit = WholeNumber(min_value=1, max_value=settings.MAX_PAGE_LIMIT, default=settings.DEFAULT_PAGE_LIMIT, help_text="Rows of a page.")
    cursor = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=MAX_LENGTH,
        help_text="`next_cursor` of the page before; fits the same sort and filters only, and by priority the same weights.",
    )


def digest(sort: str, filters: Mapping[str, Any]) -> str:
    """What binds a cursor to its sort and filters."""
    text = json.dumps([sort, sorted((name, str(value)) for name, value in filters.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write(parts: list[Any], binding: str) -> str:
    """The cursor of these parts: datetimes, numbers."""
    return SEPARATOR.join([instant(part) if isinstance(part, datetime) else str(part) for part in parts] + [binding])


def read(text: str, parsers: list[Callable[[str], Any]], binding: str) -> list[Any]:
    """The parts of a cursor, parsed. Raises Invalid on `cursor` for garbage and for the cursor of another list."""
    parts = text.split(SEPARATOR) if len(text) <= MAX_LENGTH else []
    if len(parts) != len(parsers) + 1:
        raise Invalid(fields={"cursor": '"cursor" is not one that this endpoint gave'})
    if parts[-1] != binding:
        raise Invalid(fields={"cursor": '"cursor" belongs to another sort, other filters or other weights'})
    try:
        return [parse(part) for parse, part in zip(parsers, parts, strict=False)]
    except (ValueError, OverflowError) as error:
        raise Invalid(fields={"cursor": '"cursor" is not one that this endpoint gave'}) from error


def whole_number(text: str) -> int:
    """A bigint, as we write it."""
    return _as_written(int(text), str, text, fits=lambda value: -(2**63) <= value < 2**63)


def number(text: str) -> float:
    """A finite number, as we write it."""
    return _as_written(float(text), str, text, fits=math.isfinite)


def point_in_time(text: str) -> datetime:
    """A time as `envelope.instant` writes it, to the microsecond."""
    return _as_written(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z"), instant, text)


def _as_written(value: T, spell: Callable[[T], str], text: str, *, fits: Callable[[T], bool] = lambda value: True) -> T:
    """The value, if its text is the one that we write. Python reads much more: `1_0`, digits of every script, odd zones, NaN."""
    if not fits(value) or spell(value) != text:
        raise ValueError(text)
    return value
