"""Short questions to the API's processes, and many at once, so that every session of every worker has its turn."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from typing import Any, NamedTuple

from operators.models import Operator
from tests.conftest import Answer
from tests.production import BEHIND_THE_PROXY
from tests.races.over_http import Caller, released

SESSIONS = 8  # two workers with four threads each
LATER = (503, "unavailable", "1")


def ask(port: int, operator: Operator, method: str, path: str, body: Any = None) -> Answer:
    """One call on a line of its own."""
    with closing(Caller(port, operator)) as caller:
        return caller.call(method, path, body)


def told(answer: Answer) -> tuple[int, str, str | None]:
    """Status, code, and when to ask again."""
    return answer.status, answer.body.get("code", ""), answer.headers["Retry-After"]


def everywhere(port: int, operators: Sequence[Operator], method: str, path: str, body: Any = None) -> Counter[int]:
    """How often each status was answered, when three times as many ask at once as there are sessions."""
    acts = [partial(_status, port, operators[number % len(operators)], method, path, body) for number in range(3 * SESSIONS)]
    return Counter(released(acts))


def _status(port: int, operator: Operator, method: str, path: str, body: Any) -> int:
    return ask(port, operator, method, path, body).status


class Page(NamedTuple):
    """A page of the console as a browser gets it."""

    status: int
    type: str
    retry_after: str | None
    text: str


def page(port: int, path: str, method: str = "GET") -> Page:
    """A page, asked for by somebody whom a cookie says to be signed in."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request(method, path, headers=BEHIND_THE_PROXY | {"Cookie": f"sessionid={'x' * 32}"})
        response = connection.getresponse()
        return Page(response.status, response.headers["Content-Type"], response.headers["Retry-After"], response.read().decode())
