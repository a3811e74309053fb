"""Phone numbers as clients spell them in a search."""

from typing import Any
from urllib.parse import unquote

from rest_framework import serializers


class PhoneNumber(serializers.CharField):
    """A number without its plus sign, which may have arrived as `+`, `%2B`, a space, or not at all."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=40, **options)

    def to_internal_value(self, data: Any) -> str:
        bare = unquote(super().to_internal_value(data)).strip().lstrip("+").strip()
        if not bare:
            self.fail("blank")
        return bare
