"""Fields that every body shares, and the words in which a field says what it does not take."""

import re
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

BIGGEST_ID = 2**63 - 1
DIGITS = re.compile(r"-?[0-9]{1,20}")
# RFC 3339. The plus of an offset may arrive as a space: that is what it means in a URL.
INSTANT = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+ -][0-9]{2}:[0-9]{2})")


def is_id(text: str) -> bool:
    """Whether a text is an id: a positive bigint in ASCII digits."""
    return DIGITS.fullmatch(text) is not None and 1 <= int(text) <= BIGGEST_ID


class WholeNumber(serializers.IntegerField):
    """A whole number, as JSON's or in ASCII digits. DRF's own field takes `5.0`, `1_0` and the digits of every script too."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str) and DIGITS.fullmatch(data):
            return int(data)
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class Id(WholeNumber):
    """An id: a positive bigint."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=BIGGEST_ID, **options)


class Instant(serializers.DateTimeField):
    """A time with its offset, of this century or the last. DRF's own field takes times of no zone, and years that none can count in."""

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not INSTANT.fullmatch(data):
            self.fail("invalid", format="RFC 3339")
        try:
            return datetime.fromisoformat(data.replace(" ", "+")).astimezone(UTC)
        except ValueError:
            self.fail("invalid", format="RFC 3339")


# By a field's type, or the nearest of its bases, and DRF's code: what stands after the field's name.
WORDING: dict[type, dict[str, str]] = {
    Id: dict.fromkeys(("invalid", "min_value", "max_value"), "must be an id"),
    Instant: dict.fromkeys(("invalid", "date", "make_aware"), "must be a time such as 2026-01-05T12:00:00Z"),
    serializers.IntegerField: {
        "invalid": "must be a whole number",
        "min_value": "must be at least {field.min_value}",
        "max_value": "must be at most {field.max_value}",
    },
    serializers.DecimalField: {
        "invalid": "must be a number",
        "min_value": "must be at least {field.min_value}",
        "max_value": "must be at most {field.max_value}",
        "max_decimal_places": "must have at most {field.decimal_places} decimals",
        "max_digits": "must be at most {field.max_value}",
        "max_whole_digits": "must be at most {field.max_value}",
    },
    serializers.BooleanField: {"invalid": "must be true or false"},
    serializers.ChoiceField: {"invalid_choice": "must be one of {choices}"},
    serializers.CharField: {
        "invalid": "must be text",
        "blank": "is not allowed to be empty",
        "max_length": "must be at most {field.max_length} characters long",
        "null_characters_not_allowed": "must not contain NUL",
        "surrogate_characters_not_allowed": "must not contain half a character",
    },
    serializers.ListSerializer: {
        "not_a_list": "must be a list of objects",
        "empty": "must not be empty",
        "max_length": "must be a list of at most {field.max_length}",
    },
    serializers.ListField: {
        "not_a_list": "must be a list",
        "empty": "must not be empty",
        "max_length": "must be a list of at most {field.max_length}",
    },
    serializers.Serializer: dict.fromkeys(("invalid", "null"), "must be a list of objects"),  # one stands in a list, nowhere else
    serializers.Field: {"required": "is required", "null": "must not be null"},
}


def worded(field: serializers.Field[Any, Any, Any, Any], name: str, problem: ErrorDetail) -> str:
    """What is wrong with a field, as `"name" must …`. A message of the field's own that begins like that is kept."""
    if problem.startswith(f'"{name}" '):
        return str(problem)
    wordings = (WORDING[kind][problem.code] for kind in type(field).__mro__ if problem.code in WORDING.get(kind, {}))
    wording = next(wordings, "is not valid").format(field=field, choices=", ".join(getattr(field, "choices", ())))
    return f'"{name}" {wording}'
