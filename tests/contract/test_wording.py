"""What every field of every body and query says when it refuses: `"field" must …`, in our words, never in the framework's."""

import re
from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from convalloc import urls
from convalloc.api.answers import explain
from convalloc.api.bodies import checked
from convalloc.api.fields import WORDING, worded
from conversations.api.shapes import ConversationFilters
from tests.conftest import Api, Cast

WRONG: list[Any] = [
    None,
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "x" * 1000,
    "9" * 5000,
    "perhaps",
    -1,
    0,
    1.5,
    2**70,
    True,
    [],
    [1],
    {},
    {"a": 1},
]
OURS = re.compile(r'"(?P<field>\w+)" (?:is|must|or) (?:[^.]|\.(?=\w))+')
PLACE = re.compile(r"\.[0-9]+$")
SENTENCES = re.compile(
    r"is not valid|Ensure|valid (?:integer|choice|string|boolean|value)|[Tt]his (?:field|value)|Enter|Null characters|Surrogate"
)


def asked() -> list[type[serializers.Serializer[Any]]]:
    """Every serializer that an operation is documented to check a body or a query with, and those of lists in bodies."""
    views = [view for _, view, _ in urls.router.registry]
    notes = [note for view in views for operation in vars(view).values() for note in getattr(operation, "documented", {}).values()]
    found = {shape for note in notes for shape in (*note.query, *([note.body] if note.body else []))}
    found |= {type(field.child) for shape in found for field in shape().fields.values() if isinstance(field, serializers.ListSerializer)}
    return sorted(found - {ConversationFilters}, key=lambda shape: shape.__name__)  # that one only describes: see test_a_filter


ASKED = asked()


def refusals(serializer: type[serializers.Serializer[Any]], body: dict[str, Any]) -> list[dict[str, str]]:
    """The errors of the answer to a body; none for a body that is good."""
    try:
        checked(serializer, body)
    except ValidationError as problem:
        answer = explain(problem, {})
        assert answer is not None
        errors: list[dict[str, str]] = answer.data["errors"]
        return errors
    return []


def assert_ours(errors: list[dict[str, str]]) -> None:
    """Each message begins with its own field, or with the list whose element it is about, and is none of the framework's."""
    for error in errors:
        match = OURS.fullmatch(error["message"])
        assert match, error
        assert match["field"] == PLACE.sub("", error["field"]).split(".")[-1]
        assert not SENTENCES.search(error["message"]), error


def test_the_walk_finds_the_bodies() -> None:
    names = {serializer.__name__ for serializer in ASKED}

    assert {"Work", "Forcible", "NewLabel", "ChangedLabel", "OfInbox", "NewStatus", "PhoneSearch", "NewLimits", "InboxLimit"} <= names


@pytest.mark.parametrize("value", WRONG, ids=lambda value: ascii(value)[:20])
@pytest.mark.parametrize("serializer", ASKED, ids=lambda serializer: serializer.__name__)
def test_a_field_refuses_in_our_words(serializer: type[serializers.Serializer[Any]], value: Any) -> None:
    fields = serializer().fields

    errors = refusals(serializer, dict.fromkeys(fields, value))

    assert_ours(errors)
    assert {error["field"].split(".")[0] for error in errors} <= fields.keys()


@pytest.mark.parametrize("serializer", ASKED, ids=lambda serializer: serializer.__name__)
def test_nothing_at_all_is_refused_in_our_words(serializer: type[serializers.Serializer[Any]]) -> None:
    assert_ours(refusals(serializer, {}))


@pytest.mark.parametrize("serializer", ASKED, ids=lambda serializer: serializer.__name__)
def test_no_code_of_a_field_lacks_its_words(serializer: type[serializers.Serializer[Any]]) -> None:
    unused = {"max_string_length", "overflow", "min_length", "html_cutoff"}  # nothing of ours can run into them
    for name, field in serializer().fields.items():
        codes = field.error_messages.keys() - unused

        assert [code for code in codes if "is not valid" in worded(field, name, ErrorDetail("A sentence.", code))] == []


@pytest.mark.parametrize("value", ["abc", "0", "-1", "1.5", "%00", "%FF", "9" * 30, "[]"])
@pytest.mark.parametrize("name", list(ConversationFilters().fields))
def test_a_filter_refuses_in_our_words(cast: Cast, api: type[Api], name: str, value: str) -> None:
    answer = api(cast.mia).get(f"/conversations?{name}={value}")

    assert answer.status == 400
    assert_ours(answer.body["errors"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, '"operator_id" is required'),
        ({"operator_id": None}, '"operator_id" must not be null'),
        ({"operator_id": "abc"}, '"operator_id" must be an id'),
        ({"operator_id": 0}, '"operator_id" must be an id'),
        ({"operator_id": 2**63}, '"operator_id" must be an id'),
    ],
)
def test_an_id_has_one_wording(cast: Cast, api: type[Api], body: dict[str, Any], message: str) -> None:
    answer = api(cast.olga).post("/conversations/allocate", **body)

    assert answer.fields == {"operator_id": message}


def test_every_wording_is_a_predicate() -> None:
    wordings = [wording for by_code in WORDING.values() for wording in by_code.values()]

    assert [wording for wording in wordings if not re.fullmatch(r"(?:is|must) [^.]*(?:\{field\.\w+\}[^.]*)?", wording)] == []
