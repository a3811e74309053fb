"""The product's routes, and one view that does nothing but let its caller in: the floor that other views are held against."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc import urls
from convalloc.api.envelope import success
from convalloc.api.schema import documented
from operators.api.doors import TenantDoor


class Bare(TenantDoor):
    """The transaction, the caller, their tenant, their right to see inboxes (a row of the matrix is needed): and then nothing."""

    @documented(None)
    def list(self, request: Request) -> Response:
        """Nothing, to whom it may concern."""
        return success(None)


urlpatterns = [path("bare/signed-in", Bare.as_view({"get": "list"}, basename="inbox")), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500
