"""Whether this process is about to stop. convalloc.server says so, and its workers show it to whoever sends them work."""

import mmap
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

# One byte that a process shares with those that it forks.
_near = mmap.mmap(-1, 1)


def announce() -> None:
    """From now on the end is near, here and in every process that was forked from this one."""
    _near[0] = 1


def is_near() -> bool:
    """Whether the end was announced: everything is still answered, but nothing more should be sent here."""
    return _near[0] == 1


class HangUp:
    """Middleware: near the end each answer asks its client to hang up, so that the next request finds another process."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if is_near():
            response["Connection"] = "close"
        return response
