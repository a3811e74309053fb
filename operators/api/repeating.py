"""Idempotency-Key at the door: what makes two requests the same question, and which answers are kept for the second."""

import re
from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api.answers import SAFE
from convalloc.api.envelope import EnvelopeRenderer
from operators.api.permissions import CHANGES_NOTHING, operation_of
from operators.errors import MalformedKey
from operators.repeats import Answer, Question

HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
# What the draft has callers send is a string of RFC 9651, in quotes; many leave those out.
WELL_FORMED = re.compile(r'("?)([A-Za-z0-9._~:+/=@-]{1,255})\1')
# Refusals of a room that had looked at the question and at the world: they are this question's outcome, as a success is.
# All others happened before a room was asked, or stand for nothing (429, 5xx): the same key may come again.
KEPT_REFUSALS = {403, 404, 409, 410, 412}
CARRIED = ("ETag", "Location")
DESCRIPTION = (
    "For a safe retry, any text of your own, such as a UUID: 1 to 255 of A-Z, a-z, 0-9 and ._~:+/=@-. Within 24 hours the same key with "
    "the same question is answered as the first time, byte for byte and with `Idempotency-Replayed: true`, and nothing is done again; with "
    "another question it is a 422 `idempotency_key_reused`."
)

HEADERS = [
    OpenApiParameter(HEADER, {"type": "string", "minLength": 1, "maxLength": 257}, OpenApiParameter.HEADER, description=DESCRIPTION),
    OpenApiParameter(
        REPLAYED,
        {"const": "true"},
        OpenApiParameter.HEADER,
        response=True,
        description="The answer is the one that was given to this Idempotency-Key before. Nothing was done now.",
    ),
]


def is_open_to(operation: str, method: str) -> bool:
    """Whether a key means something there."""
    return method not in SAFE and operation not in CHANGES_NOTHING


def question_of(door: Any, request: Request) -> Question | None:
    """The question that the caller may repeat; None where they said no key. Raises MalformedKey, and what a malformed body raises."""
    offered, operation, method = request.headers.get(HEADER), operation_of(door), str(request.method)
    if offered is None or not is_open_to(operation, method):
        return None
    found = WELL_FORMED.fullmatch(offered)
    if found is None:
        raise MalformedKey
    asked = (
        method,
        request.path.rstrip("/"),
        request.META.get("QUERY_STRING", ""),
        request.headers.get("If-Match", ""),
        _canonical(request.data),
    )
    return Question(door.caller.pk, operation, found[2], "\n".join(asked))


def _canonical(body: Any) -> str:
    """A body as text in which the order of its names makes no difference. Raises ParseError for one that is nested beyond reason."""
    try:
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError as problem:
        raise ParseError("The body is not valid JSON: it is nested too deeply") from problem


def kept(response: Response) -> Answer | None:
    """What to keep of an answer; None: nothing, the question may be asked again as if it had never come."""
    if response.status_code >= 300 and response.status_code not in KEPT_REFUSALS:
        return None
    headers = {name: response[name] for name in CARRIED if name in response}
    return Answer(response.status_code, headers, EnvelopeRenderer().render(response.data))


def told(answer: Answer, *, again: bool) -> HttpResponse:
    """An answer as it goes out, the first time or again."""
    response = HttpResponse(answer.body, status=answer.status, content_type=EnvelopeRenderer.media_type, headers=dict(answer.headers))
    if again:
        response[REPLAYED] = "true"
    return response
