"""Versions on the wire: `version` in the body, ETag, If-Match (412) and If-None-Match (304). Source: RFC 9110, 8.8.3 and 13.1.

An entity tag is the version, a full stop, and a digest of what is shown. The version counts the changes of the row itself, and is all
that If-Match looks at: `"7"` says as much as `"7.3f9a0c2d51be"`. The digest is for whoever asks whether their copy is still
right: it also tells a label that was renamed. Only the score is in neither: it moves with the clock.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc import preconditions
from convalloc.api.answers import SAFE
from convalloc.api.envelope import EnvelopeRenderer, success
from convalloc.errors import Invalid

MOVES_WITH_THE_CLOCK = {"priority_score"}
ONE = r'(?:W/)?"[\x21\x23-\x7e]{0,100}"'
TAGS = re.compile(rf"[ \t]*{ONE}(?:[ \t]*,[ \t]*{ONE}){{0,19}}[ \t]*")
STRONG = re.compile(r'(?<!W/)"([0-9]{1,10})(?:\.[^"]*)?"(?=[ \t]*(?:,|$))')
TEXT = {"type": "string", "maxLength": 400}
IF_MATCH = OpenApiParameter(
    "If-Match",
    TEXT,
    OpenApiParameter.HEADER,
    description='Only if it is still what you saw: its `ETag`, or its `version` in quotes (`"7"`). Else it is a 412 `version_mismatch`.',
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    TEXT,
    OpenApiParameter.HEADER,
    description="The `ETag` of the copy that you have: 304 without a body as long as it is right.",
)
ETAG = OpenApiParameter(
    "ETag", {"type": "string"}, OpenApiParameter.HEADER, response=[200, 201], description="For `If-Match` and `If-None-Match`."
)


class Malformed(Invalid):
    """Validation failed"""

    def __init__(self, header: str, problem: str = 'must be entity tags such as "7", in quotes, or *') -> None:
        super().__init__(fields={header: f'"{header}" {problem}'})


def note_seen(request: Request, *, taken: bool) -> None:
    """Tell the rooms which versions the caller names in If-Match. Raises Malformed, also where nobody would look at it."""
    said = request.headers.get("If-Match")
    if said is None or request.method in SAFE:
        return
    if not taken:
        raise Malformed("If-Match", "is not taken here: this changes no single row that has a version")
    if said.strip() == "*":
        return
    if not TAGS.fullmatch(said):
        raise Malformed("If-Match")
    preconditions.have_seen(frozenset(int(version) for version in STRONG.findall(said)))


def shown(
    request: Request,
    data: Mapping[str, Any],
    row: Mapping[str, Any] | None = None,
    *,
    message: str | None = None,
    meta: Mapping[str, Any] | None = None,
    status: int = 200,
) -> Response:
    """An answer that shows one row, of which the tag is; `row` where that is not all of `data`. 304 to whoever has just this."""
    tag = entity_tag(data if row is None else row)
    known = request.method == "GET" and _names(request.headers.get("If-None-Match", ""), tag)
    response = Response(status=304) if known else success(data, message=message, meta=meta, status=status)
    response["ETag"] = tag
    return response


def entity_tag(row: Mapping[str, Any]) -> str:
    """The tag of a row as it is shown, with its quotes."""
    lasting = {name: value for name, value in row.items() if name not in MOVES_WITH_THE_CLOCK}
    return f'"{row["version"]}.{hashlib.sha256(EnvelopeRenderer().render(lasting)).hexdigest()[:12]}"'


def _names(said: str, tag: str) -> bool:
    """Whether If-None-Match names this tag, compared weakly: a proxy that compresses may have put W/ before it."""
    if said.strip() == "*":
        return True
    if said and not TAGS.fullmatch(said):
        raise Malformed("If-None-Match")
    return tag in re.findall(r'"[^"]*"', said)
