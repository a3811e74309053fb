"""Walks the API by its own OpenAPI document: every operation, every place for an id, every id that another tenant has.

It knows no route: what is added to the product is walked from then on. A place for an id is a whole number in the path, or one
in the query or the body whose name ends in `_id` or that the caller's own ids are known for.
"""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx

PREFIX = "/api/v1"
VERBS = ("get", "post", "put", "patch", "delete")
THREADS = 4
logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each question would bury the figure
# The table of what an id names, by the field's name or the path's first word. What is not here is tried with every id.
TABLE = {
    "conversation_id": "conversations",
    "operator_id": "operators",
    "created_by": "operators",
    "inbox_id": "inboxes",
    "label_id": "labels",
    "conversations": "conversations",
    "operators": "operators",
    "labels": "labels",
    "grace-periods": "grace_period_assignments",
    "api-keys": "api_keys",
}
Place = tuple[str, ...]  # ("path", "id"), ("query", "inbox_id"), ("body", "inboxes", "0", "inbox_id")


class Question(NamedTuple):
    """One call."""

    method: str
    path: str
    query: dict[str, Any]
    body: Any


class Heard(NamedTuple):
    """What came back, to the last byte: status line, headers and body."""

    question: Question
    status: int
    raw: bytes


@dataclass
class Operation:
    """An operation of the document, with a question that its examples make."""

    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    places: list[Place] = field(default_factory=list)

    def table(self, place: Place) -> str | None:
        """Whose ids stand here."""
        return TABLE.get(self.path.split("/")[1] if place[0] == "path" else place[-1])

    def ask(self, ids: Mapping[Place, int], *, query: bool = False) -> Question:
        """The question with these ids; the query's places are only filled where `ids` names them."""
        path, asked, body = self.path, dict(self.query), deepcopy(self.body)
        for (where, *inside), value in ids.items():
            if where == "path":
                path = path.replace("{id}", str(value))
            elif where == "query":
                asked[inside[0]] = value
            else:
                put(body, inside, value)
        return Question(self.method.upper(), path, asked, body)


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Every operation of an OpenAPI document."""
    for path, methods in document["paths"].items():
        for method in VERBS:
            if told := methods.get(method):
                yield _operation(method, path.removeprefix(PREFIX), told, document["components"]["schemas"])


def _operation(method: str, path: str, told: dict[str, Any], shapes: dict[str, Any]) -> Operation:
    found = Operation(method, path)
    for parameter in told.get("parameters", []):
        if parameter["in"] == "path" or _names_a_row(parameter["name"]):
            found.places.append((parameter["in"], parameter["name"]))
        elif parameter.get("required"):
            found.query[parameter["name"]] = "+19870000000"
    content = told.get("requestBody", {}).get("content", {}).get("application/json", {})
    for example in content.get("examples", {}).values():
        found.body = example["value"]
    shape = shapes[content["schema"]["$ref"].rpartition("/")[2]] if content else {}
    unnamed = [(name,) for name in shape.get("properties", {}) if _names_a_row(name) and name not in found.body]
    found.places += [("body", *place) for place in (*_places(found.body), *unnamed)]
    return found


def _places(body: Any) -> Iterator[Place]:
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in items:
        if _names_a_row(str(name)) and isinstance(value, int):
            yield (str(name),)
        yield from ((str(name), *inside) for inside in _places(value))


def _names_a_row(name: str) -> bool:
    return name.endswith("_id") or name in TABLE


def put(body: Any, place: list[str], value: Any) -> None:
    """Set a place deep inside a body."""
    *above, last = place
    for name in above:
        body = body[int(name) if isinstance(body, list) else name]
    body[last] = value


def trials(operation: Operation, own: Mapping[str, int], foreign: Mapping[str, list[int]]) -> Iterator[Question]:
    """The operation with one's own ids, and then, in each place in turn, with every id of the other tenant that may stand there."""
    needed = {place: own.get(operation.table(place) or "", 1) for place in operation.places if place[0] != "query"}
    yield operation.ask(needed)
    every = sorted({id_ for ids in foreign.values() for id_ in ids})
    for place in operation.places:
        for id_ in foreign.get(operation.table(place) or "", every):
            yield operation.ask(needed | {place: id_})


def call(base: str, questions: list[Question], headers: Mapping[str, str], cookies: Mapping[str, str] | None = None) -> list[Heard]:
    """What a caller hears, of all questions, a few at a time."""
    with (
        httpx.Client(base_url=base, headers=dict(headers), cookies=dict(cookies or {}), timeout=60) as client,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        return list(threads.map(lambda question: hear(client, question), questions))


def hear(client: httpx.Client, question: Question) -> Heard:
    """One call. What redirects is followed by whoever asks."""
    answer = client.request(question.method, question.path, params=question.query or None, json=question.body)
    head = b"\r\n".join(name + b": " + value for name, value in answer.headers.raw)
    return Heard(question, answer.status_code, head + b"\r\n\r\n" + answer.content)
