"""Checking what a client sent."""

from typing import Any

from rest_framework.serializers import Serializer


def checked(serializer: type[Serializer[Any]], data: Any) -> dict[str, Any]:
    """The validated values. Raises DRF's ValidationError: 400 with a line for each field."""
    filled = serializer(data=data)
    filled.is_valid(raise_exception=True)
    return dict(filled.validated_data)
