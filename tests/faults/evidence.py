"""Whether a run was one: each fault struck, each act was done under fire, and the clock did its own. Pure: it asks nobody.

A fault is not believed. What counts is what a bystander saw the moment before it struck, while it lasted, and afterwards.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tests.faults.checker import DONE_BY, STATUS
from tests.faults.history import BROKEN_OFF, Call, Entry, Outcome
from tests.faults.sight import Sight

BY_THE_CLOCK = {STATUS: "a silent operator was declared lost", "grace.expired": "grace expired"}


class Blow(NamedTuple):
    """One fault, and what was to be seen of it."""

    kind: str
    aim: Sight  # the moment before it struck
    during: Sight  # while it lasted
    after: Sight  # when it was undone
    broken_off: int = 0  # calls, by their callers

    @property
    def struck(self) -> float:
        """When."""
        return self.aim.at

    @property
    def undone(self) -> float:
        """From when on nothing but time is needed."""
        return self.after.at


def _killed(whose: Callable[[Sight], frozenset[int]]) -> Callable[[Blow], bool]:
    """One of these processes is gone that stood in the middle of a transaction."""
    return lambda blow: any(pid not in whose(blow.during) for pid in _in_the_middle(blow.aim) & whose(blow.aim))


def _frozen(whose: Callable[[Sight], frozenset[int]]) -> Callable[[Blow], bool]:
    """One stood still in the middle of a transaction, until the database took it away."""

    def proof(blow: Blow) -> bool:
        still = _in_the_middle(blow.aim) & whose(blow.aim) & blow.during.still
        return any(blow.aim.sessions[session] in still for session in blow.aim.waiting - blow.during.sessions.keys())

    return proof


def _in_the_middle(sight: Sight) -> set[int]:
    return {sight.sessions[session] for session in sight.waiting}


PROOFS: dict[str, Callable[[Blow], bool]] = {
    "kill_a_worker_of_the_api": _killed(lambda sight: sight.api),
    "freeze_a_worker_of_the_api": _frozen(lambda sight: sight.api),
    "kill_celery": lambda blow: _killed(lambda sight: sight.celery)(blow) and not blow.aim.celery & blow.during.celery,
    "freeze_celery": lambda blow: _frozen(lambda sight: sight.celery)(blow) and blow.aim.celery <= blow.during.still,
    "crash_the_database": lambda blow: blow.during.database == "" and blow.after.database not in ("", blow.aim.database),
    "end_a_session": lambda blow: bool(blow.aim.waiting - blow.during.sessions.keys()),
    # All of them, and the server is the one that it was.
    "kill_a_session": lambda blow: (
        bool(blow.aim.waiting) and blow.aim.database == blow.after.database and not blow.aim.sessions.keys() & blow.after.sessions.keys()
    ),
    "kill_the_broker": lambda blow: blow.aim.listeners > 0 and blow.during.broker == "" and blow.after.broker not in ("", blow.aim.broker),
    "flush_the_broker": lambda blow: blow.aim.keys > 0 and blow.aim.broker == blow.during.broker and blow.during.flushes > blow.aim.flushes,
    "freeze_the_broker": lambda blow: (
        blow.aim.listeners > 0 and blow.during.broker_pid in blow.during.still and blow.after.broker == blow.aim.broker
    ),
    "reset_connections": lambda blow: blow.broken_off > 0,
}


def missing(blows: Sequence[Blow], history: Sequence[Call], log: Iterable[Entry]) -> list[str]:
    """What a run must have and this one has not, a sentence each."""
    done, clock = done_under_fire(history, blows), done_by_the_clock(log)
    return [
        *(f"{kind} never struck" for kind in PROOFS if kind not in {blow.kind for blow in blows}),
        *(f"{blow.kind} struck nothing at {blow.struck:.1f}" for blow in blows if not PROOFS[blow.kind](blow)),
        *(f"{act} was never done under fire" for act in DONE_BY if not done[act]),
        *(f"never by the clock: {what}" for what in BY_THE_CLOCK.values() if not clock[what]),
    ]


def done_under_fire(history: Sequence[Call], blows: Sequence[Blow]) -> Counter[str]:
    """How often each act was, between the first blow and the end of the last."""
    if not blows:
        return Counter()
    began, ended = blows[0].struck, blows[-1].undone
    return Counter(call.act for call in history if call.outcome is Outcome.OK and began <= call.ended <= ended)


def done_by_the_clock(log: Iterable[Entry]) -> Counter[str]:
    """How often the beat's tasks did each of what only they do."""
    return Counter(BY_THE_CLOCK[entry.kind] for entry in log if not entry.request and entry.kind in BY_THE_CLOCK)


def broken_off(history: Iterable[Call]) -> int:
    """How many calls were, on purpose."""
    return sum(call.said == BROKEN_OFF for call in history)
