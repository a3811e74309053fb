"""Which request, and which trace of whoever traces, a line of the log belongs to; also in the tasks that a request sends.

A trace begins elsewhere, or here; what we do in it is one span, whose id whoever works for us is told. Source: W3C Trace Context, level 1.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

PARENT, STATE, REQUEST = "traceparent", "tracestate", "request_id"
WELL_FORMED = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
FIT_TO_PASS_ON = re.compile(r"[\x20-\x7e]{1,512}")
SAMPLED = 0x01  # the one flag of level 1


class Trace(NamedTuple):
    """A trace, and our span of it. `state` is other tracers' own, passed on as it came."""

    trace_id: str
    span_id: str
    flags: int
    state: str

    @property
    def parent(self) -> str:
        """What `traceparent` says to whoever works for us."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


_request_id: ContextVar[str] = ContextVar("request_id", default="")
_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current_request_id() -> str:
    """The id of the request that is answered, or that sent the task that runs; empty outside both."""
    return _request_id.get()


def current_trace_id() -> str:
    """The id of the trace; empty outside one."""
    trace = _trace.get()
    return trace.trace_id if trace else ""


@contextmanager
def within(request_id: str, parent: str, state: str) -> Iterator[None]:
    """Work for a request, in the trace that it names; in a new one where it names none, or not as it must."""
    tokens = _request_id.set(request_id), _trace.set(joined(parent, state))
    try:
        yield
    finally:
        _request_id.reset(tokens[0])
        _trace.reset(tokens[1])


def take_up(carried: Mapping[str, str]) -> None:
    """Work for whoever carried this along, until `put_down`: in a worker, which has no block to stand in."""
    _request_id.set(carried.get(REQUEST, ""))
    _trace.set(joined(carried.get(PARENT, ""), carried.get(STATE, "")))


def put_down() -> None:
    """What was taken up is done."""
    _request_id.set("")
    _trace.set(None)


def carried() -> dict[str, str]:
    """What whoever works for us is told; nothing outside a trace."""
    trace = _trace.get()
    if trace is None:
        return {}
    told = {PARENT: trace.parent, REQUEST: current_request_id(), STATE: trace.state}
    return {name: value for name, value in told.items() if value}


def joined(parent: str, state: str) -> Trace:
    """Our span of the trace that `traceparent` names, or of a new one."""
    found = WELL_FORMED.fullmatch(parent)
    span_id = secrets.token_hex(8)
    if found is None or not _is_valid(*found.groups()):
        return Trace(secrets.token_hex(16), span_id, 0, "")
    passed_on = state if FIT_TO_PASS_ON.fullmatch(state) else ""
    return Trace(found[2], span_id, int(found[4], 16) & SAMPLED, passed_on)


def _is_valid(version: str, trace_id: str, parent_id: str, flags: str, more: str | None) -> bool:
    """Version ff is no version; only versions after 00, which we do not know, may say more than four fields; ids are not all zero."""
    return version != "ff" and (version != "00" or more is None) and trace_id.strip("0") != "" and parent_id.strip("0") != ""
