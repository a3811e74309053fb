"""Fields that every body shares."""

import re
from typing import Any

from rest_framework import serializers

BIGGEST_ID = 2**63 - 1
DIGITS = re.compile(r"-?[0-9]{1,20}")


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
