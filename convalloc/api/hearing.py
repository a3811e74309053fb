"""Every client is heard out: before anything is begun for it, and before it is answered."""

from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, UnreadablePostError

PIECE = 65_536  # bytes


class HeardOut:
    """Middleware: reads a body before the view, which would wait for it inside a transaction, and PostgreSQL would not wait so long.

    So a refusal, too, goes when all was said: a server that answers earlier hangs up on a client that still sends, and who cannot
    send on may never read the 401 that waits. What is too large to be read is dropped afterwards, as far as a body may be long.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            with suppress(RequestDataTooBig):  # the view says so
                _ = request.body
        except UnreadablePostError:
            return HttpResponse(status=400)  # the client has gone
        response = self.get_response(request)
        left = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        with suppress(UnreadablePostError):
            while left > 0 and (piece := request.read(min(left, PIECE))):
                left -= len(piece)
        return response
