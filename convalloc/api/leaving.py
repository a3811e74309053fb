"""Whether this process is about to stop. convalloc.server tells its workers by a signal; they show it to whoever sends them work."""

import signal
import threading
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

SIGNAL = signal.SIGUSR1
_announced = threading.Event()


def listen() -> None:
    """From now on the signal announces the end. Only a main thread can listen; in another nobody will be told."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(SIGNAL, lambda *_: _announced.set())


def is_near() -> bool:
    """Whether the end was announced: everything is still answered, but nothing more should be sent here."""
    return _announced.is_set()


class HangUp:
    """Middleware: near the end each answer asks its client to hang up, so that the next request finds another process."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if is_near():
            response["Connection"] = "close"
        return response
