"""X-Request-Id and W3C's traceparent: taken, told in the log, and handed on to the tasks that a request sends."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from convalloc import tracing
from convalloc.api.docs import openapi
from convalloc.api.requests import RequestIdFilter
from tests.conftest import Api, Cast, assemble
from tests.conversations.test_tasks import WORKER, running, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("parent", "believed"),
    [
        (PARENT, True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"cc-{TRACE}-{SPAN}-01", True),  # a version that we do not know
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
        (f"00-{TRACE}-{SPAN}-01-what-the-future-brings", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (PARENT.upper(), False),
        (f"00-{TRACE}-{SPAN}", False),
        (f" {PARENT}", False),
        ("", False),
        ("x" * 10_000, False),
        (f"{PARENT}\n", False),
    ],
)
def test_a_trace_is_joined_where_it_is_named_as_it_must(parent: str, believed: bool) -> None:
    trace = tracing.joined(parent, "vendor=1")

    assert (trace.trace_id == TRACE) == believed
    assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", trace.parent)
    assert trace.span_id != SPAN  # ours
    assert trace.state == ("vendor=1" if believed else "")


@pytest.mark.parametrize("state", ["ü=1", "a=1\n", "x" * 513])
def test_a_state_that_nobody_could_pass_on_is_dropped(state: str) -> None:
    assert tracing.joined(PARENT, state).state == ""


def test_every_line_of_a_request_bears_its_id_and_its_trace(cast: Cast, api: type[Api]) -> None:
    lines: list[logging.LogRecord] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record)

    handler = Listening()
    handler.addFilter(RequestIdFilter())
    logger = logging.getLogger("convalloc.security")
    logger.addHandler(handler)
    try:
        api(cast.olga).call("GET", "/operators", None, **{"X-Request-Id": "mine", "traceparent": PARENT})
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)

    told = [(record.request_id, record.trace_id) for record in lines]  # type: ignore[attr-defined]
    assert told == [("mine", TRACE), ("-", "-")]


def test_nothing_is_carried_outside_a_request() -> None:
    assert tracing.carried() == {}
    with tracing.within("mine", PARENT, "vendor=1"):
        told = tracing.carried()
    assert (told["request_id"], told["tracestate"]) == ("mine", "vendor=1")
    assert told["traceparent"].startswith(f"00-{TRACE}-")
    assert not told["traceparent"].startswith(PARENT[:-3])
    assert tracing.carried() == {}


def test_a_task_that_a_request_sends_works_in_its_trace_and_the_next_one_does_not(committed: None, tmp_path: Path) -> None:
    cast, log = assemble(), tmp_path / "worker.log"
    cast.conversation()

    with running(log, *WORKER):
        Api(cast.ada).call("PATCH", "/tenant", {"priority_alpha": 0.7}, **{"X-Request-Id": "weights", "traceparent": PARENT})
        until(lambda: log.exists() and log.read_text().count("succeeded") >= 1, log)
        Api(cast.ada).call("PATCH", "/tenant", {"priority_alpha": 0.8})
        until(lambda: log.read_text().count("succeeded") >= 2, log)

    first, second = (line for line in log.read_text().splitlines() if "succeeded" in line)
    assert f" weights {TRACE} " in first
    assert TRACE not in second
    assert re.search(r" [0-9a-f]{32} [0-9a-f]{32} ", second)


def test_a_browser_may_send_and_read_all_of_them(settings: Any) -> None:
    assert {"idempotency-key", "if-match", "if-none-match", "traceparent", "x-request-id"} <= set(settings.CORS_ALLOW_HEADERS)
    assert {"etag", "idempotency-replayed", "link", "x-request-id", "retry-after"} <= set(settings.CORS_EXPOSE_HEADERS)


def test_every_answer_is_documented_with_the_id_of_its_request() -> None:
    operations = [told for methods in openapi()["paths"].values() for told in methods.values()]

    answers = [(told["operationId"], answer) for told in operations for answer in told["responses"].values()]
    lacking = [operation for operation, answer in answers if "X-Request-Id" not in answer["headers"]]

    assert lacking == []
