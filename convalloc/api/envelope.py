"""The envelope around every answer, and JSON in and out.

{"status": "success", "message"?, "data", "meta"?} or {"status": "error", "message", "code", "errors": [{"field", "message"}]}.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from django.conf import settings
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response

from convalloc.clock import instant as instant

LONGEST_NAME = 60  # characters of what a caller made up


def success(data: Any, *, message: str | None = None, meta: Mapping[str, Any] | None = None, status: int = 200) -> Response:
    """An answer that did what was asked."""
    body: dict[str, Any] = {"status": "success"}
    if message is not None:
        body["message"] = message
    body["data"] = data
    if meta is not None:
        body["meta"] = meta
    return Response(body, status=status)


def listing(rows: list[Any], *, message: str | None = None, **meta: Any) -> Response:
    """An answer that is a whole list, with its count."""
    return success(rows, message=message, meta={"count": len(rows), "timestamp": datetime.now(UTC), **meta})


def error(
    message: str, code: str, *, status: int, fields: Mapping[str, str] | None = None, details: Mapping[str, Any] | None = None
) -> Response:
    """An answer that refuses. `code` is stable, `message` is for people, `details` are further facts."""
    errors = [{"field": field, "message": text} for field, text in (fields or {}).items()]
    body: dict[str, Any] = {"status": "error", "message": message, "code": code, "errors": errors}
    if details:
        body["details"] = dict(details)
    return Response(body, status=status)


def _spell(value: Any) -> Any:
    if isinstance(value, datetime):
        return instant(value)
    raise TypeError(f"{type(value).__name__} has no place on the wire")


class EnvelopeRenderer(BaseRenderer):
    """JSON by orjson; datetimes in the one spelling of `instant`."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None) -> bytes:
        if data is None:
            return b""
        return orjson.dumps(data, default=_spell, option=orjson.OPT_PASSTHROUGH_DATETIME)  # its own spelling drops zero microseconds


class BodyTooLarge(APIException):
    """413: nobody reads on."""

    status_code = 413
    default_detail = "The body is too large"


class JSONBody(BaseParser):
    """A JSON object. orjson refuses NaN, lone surrogates and broken UTF-8; anything but an object is refused here.

    So is an object that says a name twice: which one counts, a proxy or a log may see otherwise than we do (RFC 8259, section 4).
    """

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        raw = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(raw) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise BodyTooLarge
        if not raw.strip():
            return {}
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError as problem:
            raise ParseError(f"The body is not valid JSON: {problem}") from problem
        if not isinstance(body, dict):
            raise ParseError("The body must be a JSON object")
        _refuse_twice(raw)
        return body


def _refuse_twice(raw: bytes) -> None:
    """Raises ValidationError for an object with two values of one name; orjson takes the last without a word."""
    try:
        json.loads(raw, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except RecursionError as problem:
        raise ParseError("The body is not valid JSON: it is nested too deeply") from problem


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ValidationError({shortened(name): f'"{shortened(name)}" is given twice'})
        members[name] = value
    return members


def shortened(name: str) -> str:
    """A name of the caller's own as an answer may repeat it."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


class AlwaysJSON(BaseContentNegotiation):
    """Whatever a client accepts, it gets JSON, as it always did."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        content_type = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == content_type), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type
