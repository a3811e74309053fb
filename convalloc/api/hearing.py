"""Every client is heard out before it is answered."""

from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.http import HttpRequest, HttpResponse, UnreadablePostError

PIECE = 65_536  # bytes


class HeardOut:
    """Middleware: what nobody has read of a body is read and dropped before the answer goes, as far as a body may be long.

    A server that answers earlier hangs up on a client that still sends; and who cannot send on may never read the 401 that waits.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        left = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        with suppress(UnreadablePostError):  # the client has gone
            while left > 0 and (piece := request.read(min(left, PIECE))):
                left -= len(piece)
        return response
