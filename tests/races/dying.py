"""The product's WSGI application, whose processes die at a word of the caller's, for granian. `X-Die` says when."""

import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection

from convalloc.wsgi import application as product

WORD = "HTTP_X_DIE"
BEFORE_THE_COMMIT, BEFORE_THE_ANSWER = "before the commit", "before the answer"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_once_all_is_done(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
    """A wrapper for the statements of a connection: after the answer was written down, which is the last of them."""
    result = execute(sql, *rest)
    if sql.startswith('UPDATE "idempotency_keys" SET "status"'):
        die()
    return result


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Granian's entrance."""
    word = environ.get(WORD)
    if word == BEFORE_THE_COMMIT:
        with connection.execute_wrapper(dies_once_all_is_done):
            return product(environ, start_response)
    answer = product(environ, start_response)
    if word == BEFORE_THE_ANSWER:
        die()
    return answer
