"""What clients asked and were told, what the event log tells, and what stands in the rows: what the checker compares."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

Settings = Mapping[str, Any]
BROKEN_OFF = "broken off"  # by whom it was made: no answer is waited for


class Outcome(StrEnum):
    """How a call ended for whom it was made."""

    OK = "ok"
    FAIL = "fail"  # refused, or told that nothing was done
    UNKNOWN = "unknown"  # no answer, or one that says that nobody knows


class Shown(NamedTuple):
    """A conversation as an answer, the log, or the table shows it."""

    conversation: int
    state: str
    holder: int | None
    version: int
    inbox: int = 0


class Call(NamedTuple):
    """One call of one client, from the moment it was about to be sent to the moment its end was known.

    `operator` is who shall get, or whose status it is; `number` is how many conversations may change by it; `wish` are
    settings of the tenant, `got` what the answer said of them.
    """

    id: str  # the request's: the events that it makes carry it
    act: str
    began: float  # of one clock for all calls, as `ended`
    ended: float
    outcome: Outcome
    said: str = ""  # status and code
    conversation: int | None = None
    operator: int | None = None
    status: str = ""
    number: int = 1
    inbox: int | None = None
    period: int | None = None  # of grace
    wish: Settings = MappingProxyType({})
    shown: tuple[Shown, ...] = ()
    instant: str = ""  # as answered: since when the status is, until when the lease or the grace
    got: Settings = MappingProxyType({})


class Entry(NamedTuple):
    """One event of the log. The order of one subject's entries is that of their ids."""

    id: int
    kind: str
    subject: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    request: str = ""  # empty: nobody's, such as the beat's
    cause: str = ""
    at: str = ""  # by the database's clock


class Period(NamedTuple):
    """Since when an operator was in a status, from the table of their presence."""

    operator: int
    status: str
    since: str


class Rows(NamedTuple):
    """The tables after the last call has ended."""

    conversations: tuple[Shown, ...] = ()
    assignments: tuple[tuple[int, int], ...] = ()  # the open ones: conversation and operator
    presence: tuple[Period, ...] = ()  # oldest first
    leases: Mapping[int, str] = MappingProxyType({})  # until when each operator counts as there
    lease_seconds: int = 0  # how long a lease is, whenever there is one
    settings: Settings = MappingProxyType({})
