"""A client that is refused before its body has arrived can send it to the end, and reads why."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException, HTTPResponse

import orjson
import pytest
from django.conf import settings

from tests.conftest import Cast, assemble
from tests.faults.stack import PATIENCE_SECONDS, Stack
from tests.production import BEHIND_THE_PROXY

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
PIECES = 10  # that a body is sent in
LONG = 500  # pieces of a control, which the server will not wait for
PAUSE_SECONDS = 0.02  # before each of them
LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0


@pytest.fixture
def cast(stack: Stack) -> Cast:
    """Somebody to ask for."""
    stack.heal(stack.api)
    return assemble()


class Slow:
    """A client that sends its headers, and then its body in pieces."""

    def __init__(self, port: int) -> None:
        self.line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(
        self,
        method: str,
        path: str,
        caller: object = "",
        *,
        says: int,
        sends: int,
        pieces: int = PIECES,
        pause: float = PAUSE_SECONDS,
        ends: bytes = b"",
    ) -> tuple[int, str]:
        """Status and code of the answer to a body that is said to have so many bytes: so many blanks in pieces, and an end."""
        facts = BEHIND_THE_PROXY | {"X-Operator-Id": str(caller), "Content-Type": "application/json", "Content-Length": str(says)}
        head = "".join(f"{name}: {value}\r\n" for name, value in facts.items())
        self.line.sendall(f"{method} /api/v1{path} HTTP/1.1\r\n{head}\r\n".encode())
        for _ in range(pieces if sends else 0):
            time.sleep(pause)
            self.line.sendall(b" " * (sends // pieces))
        self.line.sendall(ends)
        with closing(HTTPResponse(self.line, method=method)) as response:
            response.begin()
            return response.status, orjson.loads(response.read()).get("code", "")


@pytest.fixture
def slow(stack: Stack, cast: Cast) -> Iterator[Slow]:
    """On a line to the product."""
    client = Slow(stack.port)
    with client.line:
        yield client


REFUSED = {
    "nobody": ("POST", "/conversations/allocate", None, (401, "not_authenticated")),
    "no manager": ("POST", "/conversations/deallocate", "olga", (403, "role_too_low")),
    "no such path": ("POST", "/nothing", "olga", (404, "not_found")),
    "no such method": ("DELETE", "/conversations", "olga", (405, "method_not_allowed")),
    "all of it blanks": ("POST", "/conversations/allocate", "olga", (400, "validation_failed")),
}


@pytest.mark.parametrize("size", [1_000, 100_000], ids=["1 KB", "100 KB"])
@pytest.mark.parametrize("who", REFUSED)
def test_who_is_refused_early_reads_the_answer_and_keeps_the_line(cast: Cast, slow: Slow, who: str, size: int) -> None:
    method, path, name, refusal = REFUSED[who]

    told = slow.ask(method, path, getattr(cast, name).pk if name else "", says=size, sends=size)
    next_told = slow.ask("GET", "/inboxes", cast.mia.pk, says=0, sends=0)

    assert (told, next_told) == (refusal, (200, ""))


def test_a_body_that_is_too_large_is_told_so(cast: Cast, slow: Slow) -> None:
    size = LIMIT * 3 // 2

    assert slow.ask("POST", "/conversations/allocate", cast.olga.pk, says=size, sends=size) == (413, "body_too_large")


def test_nobody_is_heard_for_ever(slow: Slow) -> None:
    assert slow.ask("POST", "/conversations/allocate", says=1000 * LIMIT, sends=LIMIT + PIECES) == (401, "not_authenticated")


@pytest.mark.parametrize("size", [1_000, 100_000], ids=["1 KB", "100 KB"])
def test_control_answered_early_they_lose_the_line(stack: Stack, cast: Cast, size: int) -> None:
    deaf = Slow(stack.start_api("deaf api", "tests.faults.deaf:application"))

    with deaf.line, pytest.raises((OSError, HTTPException)):
        deaf.ask("POST", "/conversations/allocate", says=size, sends=size, pieces=LONG)


def five_seconds(slow: Slow, cast: Cast) -> tuple[int, str]:
    """A question whose body takes longer than PostgreSQL lets a session sit idle in a transaction."""
    question = orjson.dumps({"operator_id": cast.olga.pk})
    return slow.ask("POST", "/conversations/allocate", cast.olga.pk, says=1000 + len(question), sends=1000, pause=0.5, ends=question)


def test_a_body_that_comes_slowly_costs_nobody_their_session(cast: Cast, slow: Slow) -> None:
    assert five_seconds(slow, cast) == (200, "")


def test_control_read_inside_the_transaction_a_slow_body_is_a_503_however_often_it_is_sent(stack: Stack, cast: Cast) -> None:
    deaf = Slow(stack.start_api("deaf api", "tests.faults.deaf:application"))

    with deaf.line:
        assert five_seconds(deaf, cast) == (503, "unavailable")
