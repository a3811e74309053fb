"""Fields that every body shares."""

from typing import Any

from rest_framework import serializers

BIGGEST_ID = 2**63 - 1


class Id(serializers.IntegerField):
    """An id: a positive bigint."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=BIGGEST_ID, **options)
