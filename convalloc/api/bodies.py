"""Checking what a client sent."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.serializers import ListField, ListSerializer, Serializer
from rest_framework.settings import api_settings

from convalloc.api.fields import worded


def checked(serializer: type[Serializer[Any]], data: Any) -> dict[str, Any]:
    """The validated values. Raises DRF's ValidationError: 400 with a line for each field."""
    filled = serializer(data=data)
    if not filled.is_valid():
        raise ValidationError(_told(filled, "body", filled.errors))
    return dict(filled.validated_data)


def _told(field: Any, name: str, problem: Any) -> Any:
    """What is wrong with a field; of a list, by place: answers.explain spells those `inboxes.0.limit`."""
    whole = problem.get(api_settings.NON_FIELD_ERRORS_KEY) if isinstance(problem, dict) else problem
    if whole:
        return worded(field, name, whole[0])
    if isinstance(field, ListSerializer | ListField):
        return {str(place): _told(field.child, name, found) for place, found in problem.items()}
    return {inner: _told(field.fields[inner], inner, found) for inner, found in problem.items()}
