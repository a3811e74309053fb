"""Checking what a client sent."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer

from convalloc.api.fields import worded


def checked(serializer: type[Serializer[Any]], data: Any) -> dict[str, Any]:
    """The validated values. Raises DRF's ValidationError: 400 with a line for each field."""
    filled = serializer(data=data)
    if not filled.is_valid():
        raise ValidationError({name: worded(filled.fields[name], name, found[0]) for name, found in filled.errors.items()})
    return dict(filled.validated_data)
