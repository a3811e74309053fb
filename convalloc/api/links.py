"""Where the next page of a list is: the header `Link` with `rel="next"`, for clients that know headers and not our cursors (RFC 8288)."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

LINK = OpenApiParameter(
    "Link",
    {"type": "string"},
    OpenApiParameter.HEADER,
    response=[200],
    description='`<path?query>; rel="next"`, relative to where the API is, while there is a next page. Its cursor is the one in the body.',
)
# The name of a page's end in the answer, and of where a page begins in the question.
CURSORS = {"next_cursor": "cursor", "next_after": "after"}


def is_paged(*shapes: type[serializers.Serializer[Any]] | None) -> bool:
    """Whether an answer of these shapes, of its data and of its meta, tells where the next page begins."""
    return any(CURSORS.keys() & shape().fields.keys() for shape in shapes if shape)


def link_next(request: Request, response: Any) -> None:
    """Say where the next page is, if there is one. Only of what was asked with a URL: a body cannot be followed."""
    if request.method != "GET" or not isinstance(response, Response) or not isinstance(response.data, dict):
        return
    for told in (response.data.get("data"), response.data.get("meta")):
        if isinstance(told, dict) and told.get("has_more"):
            asked = request.query_params.copy()
            for name, parameter in CURSORS.items():
                if told.get(name):
                    asked[parameter] = told[name]
            response["Link"] = f'<{request.path}?{asked.urlencode()}>; rel="next"'
