"""Checking what a client sent: every value, and that each name is one that the operation knows.

A name that nobody knows is refused, not skipped: who misspells `force`, or a filter, means something, and would get something
else. Two names are let through everywhere, because clients of the old system sign their calls with them. They grant nothing.
"""

from collections.abc import Container, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import ListField, ListSerializer, Serializer
from rest_framework.settings import api_settings

from convalloc.api.envelope import shortened
from convalloc.api.fields import worded
from convalloc.errors import Invalid

SIGNATURES = frozenset({"operator_id", "tenant_id"})
MOST_TOLD = 20  # unknown names in one answer


def checked(serializer: type[Serializer[Any]], data: Any) -> dict[str, Any]:
    """The validated values. Raises DRF's ValidationError: 400 with a line for each field.

    Names in a query are looked at by `refuse_unknown`, before several serializers may share it.
    """
    filled = serializer(data=data)
    problems = {} if filled.is_valid() else _told(filled, "body", filled.errors)
    unknown = {} if isinstance(data, QueryDict) else _unknown(filled, data)
    if problems or unknown:
        raise ValidationError({**unknown, **problems} if isinstance(problems, dict) else problems)
    return dict(filled.validated_data)


def each_checked(shape: type[Serializer[Any]], rows: Iterable[Any]) -> Iterator[dict[str, Any] | Invalid]:
    """The validated values of each row, or what is wrong with it: for a list in which a bad row shall not stop the others."""
    one = shape()  # for all of them: to make one costs more than to use it
    for row in rows:
        if not isinstance(row, dict):
            yield Invalid(fields={"body": '"body" must be an object'})
            continue
        problems: dict[str, Any] = _not_allowed(row, one.fields)
        try:
            values = dict(one.run_validation(row))
        except ValidationError as refusal:
            problems |= _told(one, "body", refusal.detail)
        if problems:
            yield Invalid(fields=problems)
        else:
            yield values


def refuse_unknown(query: QueryDict, serializers: tuple[type[Serializer[Any]], ...]) -> None:
    """Raises ValidationError for a name in a query that none of these has. Of a name that is given twice the last value counts."""
    if problems := _not_allowed(query, _names(serializers)):
        raise ValidationError(problems)


@cache
def _names(serializers: tuple[type[Serializer[Any]], ...]) -> frozenset[str]:
    names: list[Any] = [name for serializer in serializers for name in serializer().fields]
    return frozenset(names)


def _not_allowed(names: Iterable[str], known: Container[str]) -> dict[str, str]:
    unknown = (shortened(name) for name in names if name not in known and name not in SIGNATURES)
    return {name: f'"{name}" is not allowed' for name in islice(unknown, MOST_TOLD)}


def _unknown(shape: Any, data: Any) -> dict[str, Any]:
    """The names that a shape does not have, of objects in its lists too."""
    found: dict[str, Any] = _not_allowed(data, shape.fields)
    for name, field in shape.fields.items():
        if isinstance(field, ListSerializer) and isinstance(data.get(name), list):
            rows = {str(place): _unknown(field.child, row) for place, row in enumerate(data[name]) if isinstance(row, dict)}
            if rows := {place: names for place, names in rows.items() if names}:
                found[name] = rows
    return found


def _told(field: Any, name: str, problem: Any) -> Any:
    """What is wrong with a field; of a list, by place: answers.explain spells those `inboxes.0.limit`."""
    whole = problem.get(api_settings.NON_FIELD_ERRORS_KEY) if isinstance(problem, dict) else problem
    if whole:
        return worded(field, name, whole[0])
    if isinstance(field, ListSerializer | ListField):
        return {str(place): _told(field.child, name, found) for place, found in problem.items()}
    return {inner: _told(field.fields[inner], inner, found) for inner, found in problem.items()}
