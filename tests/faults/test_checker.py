"""The checker of the chaos: a history of every kind that cannot be believed is found, and a good one is believed."""

from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.history import Call, Entry, Outcome, Period, Rows, Shown

OLGA, OTTO = 7, 8
Facts = dict[str, Any]


def call(number: int, act: str, outcome: Outcome = Outcome.OK, **facts: Any) -> Call:
    """The call of this number: they follow one another."""
    return Call(f"call-{number}", act, began=float(number), ended=number + 0.5, outcome=outcome, **facts)


def entry(id_: int, kind: str, before: Facts, after: Facts, subject: int = 1, request: str | None = None) -> Entry:
    """An event of conversation 1, of the call with the same number unless told otherwise."""
    return Entry(id_, kind, subject, before, after, f"call-{id_}" if request is None else request)


def second(number: int) -> str:
    """An instant."""
    return f"2026-01-01T12:00:{number:02}.000000Z"


def lost(at: int) -> Entry:
    """Olga is declared lost by the clock in this second."""
    return SENT_HOME._replace(request="", cause="lost", at=second(at))


WAITING, HELD = {"state": "QUEUED", "assigned_operator_id": None}, {"state": "ALLOCATED", "assigned_operator_id": OLGA}
HELD_BY_OTTO, DONE = HELD | {"assigned_operator_id": OTTO}, {"state": "RESOLVED", "assigned_operator_id": None}
NEW, CLAIMED = Shown(1, "QUEUED", None, 1), Shown(1, "ALLOCATED", OLGA, 2)
RELEASED, RESOLVED = Shown(1, "QUEUED", None, 3), Shown(1, "RESOLVED", None, 3)

# Nobody knows of the conversation's third version whether it came to be: it did.
CREATE = call(1, "create", conversation=1, shown=(NEW,))
CLAIM = call(2, "claim", conversation=1, operator=OLGA, shown=(CLAIMED,))
RESOLVE = call(3, "resolve", Outcome.UNKNOWN, conversation=1)
LATE = call(4, "claim", Outcome.FAIL, conversation=1, operator=OTTO)
AWAY = call(5, "status", operator=OTTO, status="AWAY", instant="5")
HISTORY = [CREATE, CLAIM, RESOLVE, LATE, AWAY]
LOG = [
    entry(1, "conversation.created", {}, {"state": "QUEUED", "version": 1}),
    entry(2, "conversation.claimed", WAITING, HELD | {"version": 2}),
    entry(3, "conversation.resolved", HELD, DONE | {"version": 3}),
    entry(5, "operator.status_changed", {"status": "AVAILABLE"}, {"status": "AWAY"}, subject=OTTO),
]
PRESENCE = (Period(OTTO, "AVAILABLE", "0"), Period(OTTO, "AWAY", "5"))
ROWS = Rows(conversations=(RESOLVED,), presence=PRESENCE)
# The same before anybody resolved it.
HALF = HISTORY[:2], LOG[:2], Rows(conversations=(CLAIMED,), assignments=((1, OLGA),), presence=PRESENCE[:1])


# What else may be done, each in a history of its own.
ALIVE = call(1, "heartbeat", operator=OLGA, instant="9")
MORE_TIME = call(1, "extend", period=4, instant="9")
EXTENDED = entry(1, "grace.extended", {"expires_at": "5"}, {"expires_at": "9"}, subject=4)
BACK = entry(0, "grace.cancelled", {}, {"end_reason": "returned"}, subject=4, request="")
RENAMED = call(1, "settings", wish={"name": "b"}, got={"name": "b"})
NAMED = entry(1, "tenant.settings_changed", {"name": "a"}, {"name": "b"}, subject=9)
NAMED_AGAIN = entry(2, "tenant.settings_changed", {"name": "b"}, {"name": "c"}, subject=9)
RENAMED_AGAIN = call(2, "settings", wish={"name": "c"}, got={"name": "c"})
MOVED = [CREATE, call(2, "move-inbox", conversation=1, inbox=3, shown=(Shown(1, "QUEUED", None, 2, 3),))]
MOVE = [LOG[0], entry(2, "conversation.moved", {"inbox_id": 0}, {"inbox_id": 3, "version": 2})]
PUT_BACK = call(3, "release-now", operator=OLGA, status="OFFLINE", instant="5")
SENT_HOME = entry(3, "operator.status_changed", {"status": "AVAILABLE"}, {"status": "OFFLINE"}, subject=OLGA)
TAKEN_BACK = entry(4, "conversation.deallocated", HELD, WAITING | {"version": 3}, request="call-3")
OTTO_AT_HOME = (Period(OTTO, "AVAILABLE", "0"), Period(OTTO, "OFFLINE", "5"))
AT_HOME = (Period(OLGA, "AVAILABLE", "0"), Period(OLGA, "OFFLINE", "5"))
EMPTY_HANDED = Rows((RELEASED,), presence=AT_HOME)
# A sign of life in second 20 of a minute, with leases of ten seconds.
HEARD = call(1, "heartbeat", operator=OLGA, instant=second(30))
UNHEARD = Rows(presence=AT_HOME, leases={OLGA: second(30)}, lease_seconds=10)


def kinds(history: list[Call], log: list[Entry], rows: Rows) -> set[str]:
    """Which of the three were found."""
    return {name for name, found in vars(check(history, log, rows)).items() if found}


def test_a_history_that_happened_is_believed() -> None:
    assert kinds(HISTORY, LOG, ROWS) == set()
    assert kinds(*HALF) == set()


BELIEVED: dict[str, tuple[list[Call], list[Entry], Rows]] = {
    "a lease": ([ALIVE], [], Rows(leases={OLGA: "9"})),
    "leases": ([ALIVE, ALIVE._replace(id="again", began=7.0, ended=8.0, instant="91")], [], Rows(leases={OLGA: "91"})),
    "no leases": ([ALIVE._replace(instant="")], [], Rows()),
    "silence after a lease": ([HEARD], [lost(at=30)], UNHEARD),
    "the silence of others": ([HEARD], [lost(at=29)._replace(subject=OTTO)], UNHEARD._replace(presence=OTTO_AT_HOME)),
    "grace after it": ([HEARD], [lost(at=29)._replace(kind="grace.opened")], UNHEARD),  # of a period whose number is Olga's
    "silence before it": ([HEARD], [lost(at=19)], UNHEARD),
    "more time": ([MORE_TIME], [EXTENDED, BACK._replace(id=2)], Rows()),
    "settings": ([RENAMED, RENAMED._replace(id="again"), RENAMED_AGAIN], [NAMED, NAMED_AGAIN], Rows(settings={"name": "c"})),
    "settings that stood": ([RENAMED], [], Rows(settings={"name": "b"})),
    "a move": (MOVED, MOVE, Rows((Shown(1, "QUEUED", None, 2, 3),))),
    "a release now": ([CREATE, CLAIM, PUT_BACK], [*LOG[:2], SENT_HOME, TAKEN_BACK], EMPTY_HANDED),
}


@pytest.mark.parametrize(("history", "log", "rows"), BELIEVED.values(), ids=BELIEVED)
def test_so_is_whatever_else_may_be_done(history: list[Call], log: list[Entry], rows: Rows) -> None:
    assert kinds(history, log, rows) == set()


def test_an_unknown_outcome_may_be_nothing() -> None:
    history, log, rows = HALF

    assert kinds([*history, RESOLVE], log, rows) == set()


def test_whoever_repeats_what_stands_needs_no_event() -> None:
    history, log, rows = HALF

    assert kinds([*history, CLAIM._replace(id="again", began=3.0, ended=4.0)], log, rows) == set()


def test_what_the_clock_took_was_logged_and_is_not_lost() -> None:
    history, log, rows = HALF
    requeued = entry(9, "conversation.requeued", HELD, WAITING | {"version": 3}, request="")

    assert kinds(history, [*log, requeued], rows._replace(conversations=(RELEASED,), assignments=())) == set()


LOST = {
    "the last acts are gone from log and rows": ([CREATE, CLAIM], LOG[:1], Rows(conversations=(NEW,))),
    "the row was never written": ([CREATE, CLAIM], LOG[:2], Rows(conversations=(NEW,))),
    "the row is gone": ([CREATE], LOG[:1], Rows()),
    "a version is missing in the log": ([CREATE, RESOLVE], [LOG[0], LOG[2]], ROWS._replace(presence=())),
    "the assignment is gone": (*HALF[:2], HALF[2]._replace(assignments=())),
    "a status was answered and never set": ([AWAY], [], Rows(presence=PRESENCE[:1])),
    "a status was set and not kept": ([], LOG[3:], Rows(presence=PRESENCE[:1])),
    "a sign of life was answered and not written down": ([ALIVE], [], Rows(leases={OLGA: "5"})),
    "a sign of life was answered and counted for nothing": (
        [ALIVE, ALIVE._replace(id="again", began=7.0, ended=8.0)],
        [],
        Rows(leases={OLGA: "9"}),
    ),
    "more time was answered and not given": ([MORE_TIME], [], Rows()),
    "a setting was answered and never set": ([RENAMED], [], Rows(settings={"name": "a"})),
    "a setting was set and not kept": ([RENAMED], [NAMED], Rows(settings={"name": "a"})),
    "a setting was answered when it stood no more": (
        [RENAMED, RENAMED_AGAIN, RENAMED._replace(id="again", began=7.0, ended=8.0)],
        [NAMED, NAMED_AGAIN],
        Rows(settings={"name": "c"}),
    ),
}
TWICE = entry(4, "conversation.claimed", WAITING, HELD_BY_OTTO | {"version": 2}, request="call-4")
TAKEN = entry(4, "conversation.claimed", WAITING, HELD_BY_OTTO | {"version": 3}, request="call-4")
OTTOS = call(4, "claim", conversation=1, operator=OTTO, shown=(Shown(1, "ALLOCATED", OTTO, 2),))
DOUBLED = {
    "two hold it in the rows": (*HALF[:2], HALF[2]._replace(assignments=((1, OLGA), (1, OTTO)))),
    "two took the same version": ([*HALF[0], OTTOS], [*LOG[:2], TWICE], HALF[2]),
    "it was taken from nobody while somebody held it": ([*HALF[0], OTTOS], [*LOG[:2], TAKEN], HALF[2]),
    "two were told that they have it": ([*HALF[0], OTTOS], *HALF[1:]),
    "a setting was changed from what it was not": (
        [RENAMED, RENAMED_AGAIN],
        [NAMED, NAMED_AGAIN._replace(before={"name": "a"})],
        Rows(settings={"name": "c"}),
    ),
    "a grace period that had ended was extended": ([MORE_TIME], [BACK, EXTENDED], Rows()),
    "a grace period ended twice": ([], [BACK, BACK._replace(id=2, kind="grace.expired")], Rows()),
    "it was put back twice": (
        [CREATE, CLAIM, PUT_BACK],
        [*LOG[:2], SENT_HOME, TAKEN_BACK, TAKEN_BACK._replace(id=5, before={}, after={"version": 4})],
        EMPTY_HANDED,
    ),
    "one call, two conversations": (
        [call(1, "allocate", Outcome.UNKNOWN, operator=OLGA)],
        [entry(id_, "conversation.allocated", {}, HELD | {"version": 1}, subject=id_, request="call-1") for id_ in (1, 2)],
        Rows((Shown(1, "ALLOCATED", OLGA, 1), Shown(2, "ALLOCATED", OLGA, 1)), ((1, OLGA), (2, OLGA))),
    ),
}
EMPTY = call(3, "allocate", operator=OLGA)
CONTRADICTED = {
    "what was refused happened": ([CREATE, CLAIM._replace(outcome=Outcome.FAIL, shown=())], *HALF[1:]),
    "nobody asked for it": (HALF[0][:1], *HALF[1:]),
    "half of it happened": (
        [*HALF[0], RESOLVE],
        [*LOG[:2], entry(3, "grace.cancelled", {}, {}, subject=5)],
        HALF[2],
    ),
    "something else happened": ([CREATE, CLAIM._replace(act="resolve", outcome=Outcome.UNKNOWN, shown=())], *HALF[1:]),
    "it happened to another one": ([CREATE, CLAIM._replace(conversation=2, outcome=Outcome.UNKNOWN, shown=())], *HALF[1:]),
    "the answer is not the log": ([CREATE, CLAIM._replace(operator=OTTO, shown=(CLAIMED._replace(holder=OTTO),))], *HALF[1:]),
    "the answer is not what was asked": ([CREATE, CLAIM._replace(operator=OTTO)], *HALF[1:]),
    "somebody was shown the past": (
        [*HALF[0], CREATE._replace(id="late", began=8.0, ended=9.0)],
        *HALF[1:],
    ),
    "a sign of life did something": ([ALIVE], [SENT_HOME._replace(request="call-1")], Rows(leases={OLGA: "9"}, presence=AT_HOME)),
    "somebody went whom nobody sent": ([], [SENT_HOME._replace(request="")], Rows(presence=AT_HOME)),
    "somebody was declared lost who was heard": ([HEARD], [lost(at=29)], UNHEARD),
    "somebody was lost and their work taken at once": (
        [CREATE, CLAIM],
        [*LOG[:2], lost(at=29), TAKEN_BACK._replace(request="", cause="lost")],
        EMPTY_HANDED,
    ),
    "more time was answered than was given": ([MORE_TIME._replace(instant="8")], [EXTENDED], Rows()),
    "somebody else got more time": ([MORE_TIME._replace(period=5)], [EXTENDED], Rows()),
    "the settings of the answer are not those that were asked for": (
        [RENAMED._replace(got={"name": "c"})],
        [NAMED],
        Rows(settings={"name": "b"}),
    ),
    "it was moved elsewhere": ([CREATE, MOVED[1]._replace(inbox=4)], MOVE, Rows((Shown(1, "QUEUED", None, 2, 3),))),
    "who was sent home kept something": (
        [CREATE, CLAIM, PUT_BACK],
        [*LOG[:2], SENT_HOME],
        Rows((CLAIMED,), ((1, OLGA),), presence=AT_HOME),
    ),
    "told that nothing waits while something waited": ([CREATE, EMPTY], LOG[:1], Rows(conversations=(NEW,))),
}


@pytest.mark.parametrize(("bad", "kind"), [(bad, kind) for kind, all_ in
    (("lost", LOST), ("doubled", DOUBLED), ("contradicted", CONTRADICTED)) for bad in all_.values()],
    ids=[*LOST, *DOUBLED, *CONTRADICTED])  # fmt: skip
def test_what_cannot_be_believed_is_found(bad: tuple[list[Call], list[Entry], Rows], kind: str) -> None:
    assert kind in kinds(*bad)


def test_nobody_was_sent_away_who_asked_before_it_waited_or_while_it_was_taken() -> None:
    early, meanwhile = EMPTY._replace(began=1.2, ended=1.4), EMPTY._replace(began=1.8, ended=2.2)

    assert kinds([*HALF[0], early._replace(id="a"), meanwhile._replace(id="b")], *HALF[1:]) == set()
