"""Holds an answer of the API against the OpenAPI schema, to the last field."""

import re
from copy import deepcopy
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]

from convalloc.api.docs import openapi
from tests.conftest import Answer

formats = FormatChecker(formats=())


def is_the_one_spelling_of_time(value: object) -> bool:
    """UTC, Z, microseconds."""
    return not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value) is not None


formats.checks("date-time")(is_the_one_spelling_of_time)


@cache
def strict() -> dict[str, Any]:
    """The schema, but a field that it does not know is a fault. (Clients must bear new fields, so it does not say so itself.)"""

    def close(node: Any) -> Any:
        if isinstance(node, dict):
            closed = {name: close(value) for name, value in node.items()}
            return closed | {"additionalProperties": False} if "properties" in node and node.get("type") == "object" else closed
        return [close(item) for item in node] if isinstance(node, list) else node

    spec: dict[str, Any] = close(deepcopy(openapi()))
    return spec


def operation(method: str, template: str) -> dict[str, Any]:
    """What the schema says of POST /conversations/claim, under /api/v1."""
    found: dict[str, Any] = strict()["paths"][f"/api/v1{template}"][method.lower()]
    return found


def faults(value: Any, schema: dict[str, Any]) -> list[str]:
    """Where a value breaks a schema."""
    validator = Draft202012Validator({**schema, "components": strict()["components"]}, format_checker=formats)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def breaks(answer: Answer, method: str, template: str) -> list[str]:
    """Where an answer breaks what its operation promises: the status, each field, and a refusal's code."""
    promised = operation(method, template)["responses"].get(str(answer.status))
    if promised is None:
        return [f"{method} {template} answers {answer.status}, which the schema does not know: {answer.body}"]
    if answer.status == 304:
        return [f"304 with a body: {answer.raw!r}"] if answer.raw else []
    found = faults(answer.body, promised["content"]["application/json"]["schema"])
    if promised["description"].startswith("`code`: "):  # a probe's 503 has no envelope
        codes = promised["description"].removeprefix("`code`: ").split(", ")
        found += [f"code {answer.body['code']} is not one of {codes}"] if answer.body["code"] not in codes else []
    return found
