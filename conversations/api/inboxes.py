"""/inboxes: where customers write to."""

from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api.envelope import listing
from convalloc.api.schema import documented
from conversations import statistics
from conversations.api import shapes
from operators import desk
from operators.api.doors import TenantDoor


class Inboxes(TenantDoor):
    """Inboxes that the caller may see."""

    basename = "inbox"

    @documented(shapes.InboxRow, many=True)
    def list(self, request: Request) -> Response:
        """Inboxes with the number of conversations that wait and that are being answered."""
        return listing(statistics.of_inboxes(desk.visible_inboxes(self.caller)))
