"""/schema and /docs: what the API is, for programs and for people. Open to anyone, without a database and without a CDN."""

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


@cache
def openapi() -> dict[str, Any]:
    """The schema: the same for everybody, so that it is made once for each process."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema


class Schema(APIView):
    """For programs."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (OpenApiJsonRenderer2,)
    schema = None

    def get(self, request: Request) -> Response:
        return Response(openapi())


class Docs(SpectacularSwaggerSplitView):
    """For people. Its scripts and styles are files of ours, and none stands in the page: see convalloc.api.headers."""

    authentication_classes = ()
    permission_classes = ()
    template_name = "docs/page.html"
