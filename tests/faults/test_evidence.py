"""The evidence of the chaos: what struck is seen, and nothing that did not strike, was not done or did not run out passes for it."""

from collections.abc import Callable

import pytest

from tests.faults import mischief
from tests.faults.checker import DONE_BY, LOST, STATUS
from tests.faults.evidence import PROOFS, Blow, missing
from tests.faults.history import Call, Entry, Outcome
from tests.faults.sight import Session, Sight, look
from tests.faults.stack import Stack

API, CELERY, BROKER = 11, 21, 31
OLGAS, BEATS = Session(101, "9:00"), Session(102, "9:00")  # two sessions that stand at a lock
AIM = Sight(
    at=1.0,
    api=frozenset({API, API + 1}),
    celery=frozenset({CELERY, CELERY + 1}),
    still=frozenset(),
    database="8:00",
    sessions={OLGAS: API, BEATS: CELERY},
    waiting=frozenset({OLGAS, BEATS}),
    broker="first",
    broker_pid=BROKER,
    keys=3,
    flushes=0,
    listeners=1,
)
CALM = AIM._replace(waiting=frozenset())
OTHERS = {Session(103, "9:01"): API, Session(104, "9:01"): CELERY}
# What was to be seen while each lasted, and when it was undone.
STRUCK: dict[str, tuple[Sight, Sight]] = {
    "kill_a_worker_of_the_api": (CALM._replace(api=frozenset({API + 1})), CALM),
    "freeze_a_worker_of_the_api": (CALM._replace(still=frozenset({API}), sessions={BEATS: CELERY}), CALM),
    "kill_celery": (CALM._replace(celery=frozenset()), CALM),
    "freeze_celery": (CALM._replace(still=AIM.celery, sessions={OLGAS: API}), CALM),
    "crash_the_database": (CALM._replace(database="", sessions={}), CALM._replace(database="9:01", sessions=OTHERS)),
    "end_a_session": (CALM._replace(sessions={BEATS: CELERY}), CALM),
    "kill_a_session": (CALM._replace(database="", sessions={}), CALM._replace(sessions=OTHERS)),
    "kill_the_broker": (CALM._replace(broker="", keys=0, listeners=0), CALM._replace(broker="second")),
    "flush_the_broker": (CALM._replace(keys=0, flushes=1), CALM._replace(flushes=1)),
    "freeze_the_broker": (CALM._replace(broker="", still=frozenset({BROKER})), CALM),
    "reset_connections": (CALM, CALM),
}
BLOWS = [
    Blow(kind, AIM, during, after._replace(at=2.0), broken_off=int(kind == "reset_connections")) for kind, (during, after) in STRUCK.items()
]
HALVES: dict[str, tuple[str, Callable[[Blow], Blow]]] = {
    "an idle worker was killed": ("kill_a_worker_of_the_api", lambda blow: blow._replace(aim=AIM._replace(waiting=frozenset({BEATS})))),
    "it lost nothing": ("freeze_a_worker_of_the_api", lambda blow: blow._replace(during=blow.during._replace(sessions=AIM.sessions))),
    "it ran on": ("freeze_a_worker_of_the_api", lambda blow: blow._replace(during=blow.during._replace(still=frozenset()))),
    "the worker had nothing to do": ("kill_celery", lambda blow: blow._replace(aim=AIM._replace(waiting=frozenset({OLGAS})))),
    "a child of it lived": ("kill_celery", lambda blow: blow._replace(during=CALM._replace(celery=frozenset({CELERY + 1})))),
    "the beat ran on": ("freeze_celery", lambda blow: blow._replace(during=blow.during._replace(still=frozenset({CELERY})))),
    "it did not start anew": ("crash_the_database", lambda blow: blow._replace(after=CALM)),
    "nobody was at work": ("end_a_session", lambda blow: blow._replace(aim=CALM)),
    "the server is another one": ("kill_a_session", lambda blow: blow._replace(after=blow.after._replace(database="9:01"))),
    "a session outlived it": ("kill_a_session", lambda blow: blow._replace(after=blow.after._replace(sessions=OTHERS | {OLGAS: API}))),
    "nobody waited at the dead broker": ("kill_the_broker", lambda blow: blow._replace(aim=AIM._replace(listeners=0))),
    "it had nothing to forget": ("flush_the_broker", lambda blow: blow._replace(aim=AIM._replace(keys=0))),
    "it only had less to do": ("flush_the_broker", lambda blow: blow._replace(during=CALM._replace(keys=0))),
    "nobody waited at the frozen broker": ("freeze_the_broker", lambda blow: blow._replace(aim=AIM._replace(listeners=0))),
}
DONE = [Call(f"call-{number}", act, 1.0, 1.5, Outcome.OK) for number, act in enumerate(DONE_BY)]
CLOCK = [Entry(1, STATUS, 7, {}, {}, cause=LOST), Entry(2, "grace.expired", 4, {}, {})]


def test_a_run_in_which_everything_struck_and_was_done_misses_nothing() -> None:
    assert missing(BLOWS, DONE, CLOCK) == []


def test_every_fault_there_is_has_its_proof() -> None:
    assert [fault.__name__ for fault in mischief.ALL] == list(PROOFS)


@pytest.mark.parametrize("blow", BLOWS, ids=lambda blow: blow.kind)
def test_a_fault_that_was_no_more_than_a_pause_struck_nothing(blow: Blow) -> None:
    pause = Blow(blow.kind, AIM, CALM, CALM)

    assert missing([pause, *BLOWS], DONE, CLOCK) == [f"{blow.kind} struck nothing at 1.0"]


@pytest.mark.parametrize("blow", BLOWS, ids=lambda blow: blow.kind)
def test_a_fault_that_did_not_even_come_up_is_missed(blow: Blow) -> None:
    assert missing([other for other in BLOWS if other is not blow], DONE, CLOCK) == [f"{blow.kind} never struck"]


@pytest.mark.parametrize(("kind", "spoil"), HALVES.values(), ids=HALVES)
def test_half_a_blow_is_none(kind: str, spoil: Callable[[Blow], Blow]) -> None:
    (blow,) = [blow for blow in BLOWS if blow.kind == kind]

    assert missing([spoil(blow), *BLOWS], DONE, CLOCK) == [f"{kind} struck nothing at 1.0"]


@pytest.mark.parametrize("act", DONE_BY)
@pytest.mark.parametrize("how", [{"outcome": Outcome.FAIL}, {"ended": 0.5}, {"ended": 2.5}], ids=["refused", "before", "afterwards"])
def test_an_act_that_was_not_done_under_fire_is_missed(act: str, how: dict[str, object]) -> None:
    history = [call._replace(**how) if call.act == act else call for call in DONE]  # type: ignore[arg-type]

    assert missing(BLOWS, history, CLOCK) == [f"{act} was never done under fire"]


def test_what_somebody_asked_for_was_not_done_by_the_clock() -> None:
    asked = [entry._replace(request="call-1") for entry in CLOCK]

    assert missing(BLOWS, DONE, asked) == [
        "never by the clock: a silent operator was declared lost",
        "never by the clock: grace expired",
    ]


@pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
def test_on_the_real_stack_where_nothing_strikes_nothing_is_seen(stack: Stack) -> None:
    stack.heal(stack.api, stack.worker, stack.beat)
    stack.await_worker()

    blows = [Blow(kind, look(stack), look(stack), look(stack)) for kind in PROOFS]

    assert [blow.kind for blow in blows if PROOFS[blow.kind](blow)] == []
