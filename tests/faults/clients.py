"""Clients who do what operators and managers do, at random, and write down what they asked and what they were told."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from random import Random
from typing import Any

from operators.models import Operator
from tests.conftest import Answer
from tests.faults.history import BROKEN_OFF, Call, Outcome, Shown
from tests.races.over_http import Caller

PATIENCE_SECONDS = 8.0  # for an answer: a process that is frozen gives none
PAUSE_SECONDS = 0.1  # after a closed door
SURELY_NOT = {"unavailable", "queue_busy"}  # codes of a 503 that promise that nothing was done
OF_NO_CONVERSATION = {"status", "release-now", "heartbeat", "extend", "settings"}
NONE = 10**12  # an id that nothing has
FORCE = {"force": True, "reason": "chaos"}
SILENT = 2  # so many are at work at a time who give no sign of life
LEASE_SECONDS = 30  # the shortest there is; who works gives a sign of life every second or two
# Nobody ever meets these limits, but everybody's hand-outs meet whoever sets them.
WISHES: list[dict[str, Any]] = [
    *({"lease_seconds": seconds} for seconds in (LEASE_SECONDS, LEASE_SECONDS, LEASE_SECONDS, None)),
    *({"operator_capacity": limit} for limit in (500, None)),
    *({"priority_alpha": alpha} for alpha in (0.3, 0.4, 0.6)),
    *({"grace_period_minutes": minutes, "cooldown_minutes": minutes - 5} for minutes in (5, 15)),
]
Acts = list[tuple[int, Callable[[], Any]]]  # how often, and what


@dataclass(frozen=True)
class Ground:
    """Where the clients work: who there is, and what there is to do; somebody else keeps the lists up to date."""

    port: int
    operators: Sequence[Operator]
    faithful: Operator  # does nothing but give signs of life
    manager: Operator
    admin: Operator
    inboxes: Sequence[int]
    silent: list[Operator] = field(default_factory=list)  # give none; the last ones may be at work still
    waiting: list[int] = field(default_factory=list)
    held: list[tuple[int, int]] = field(default_factory=list)  # conversation and holder, as of a moment ago
    kept: list[tuple[int, int]] = field(default_factory=list)  # grace period and conversation
    history: list[Call] = field(default_factory=list)
    resets: threading.Event = field(default_factory=threading.Event)  # while it is set, lines are broken off in the middle of a call


class Client:
    """One line, one call at a time. For one thread; `perform` may be called as long as anybody likes."""

    def __init__(self, name: str, ground: Ground, luck: Random) -> None:
        self.name, self.ground, self.luck = name, ground, luck
        self._line: Caller | None = None
        self._calls = 0

    def work(self, over: threading.Event) -> None:
        """Act after act."""
        while not over.is_set():
            self.act()
        self.hang_up()

    def act(self) -> None:
        """One act, of one's own or as a manager."""
        operator = self.luck.choice(self.ground.operators)
        acts = [*self._of_an_operator(operator), *self._of_a_manager(operator)]
        (chosen,) = self.luck.choices([act for _, act in acts], [weight for weight, _ in acts])
        chosen()

    def _of_an_operator(self, operator: Operator) -> Acts:
        ground, pk = self.ground, operator.pk
        waiting = self.luck.choice(list(ground.waiting) or [NONE])
        held, holder_pk = self._something_held() or (NONE, pk)
        people = (*ground.operators, ground.faithful, *ground.silent)
        holder = {somebody.pk: somebody for somebody in people}.get(holder_pk, operator)
        return [
            (8, lambda: self.ask("allocate", operator, operator_id=pk)),
            (2, lambda: self.ask("allocate", operator, operator_id=pk, count=3)),
            (4, lambda: self.ask("claim", operator, operator_id=pk, conversation_id=waiting)),
            (5, lambda: self.ask("resolve", holder, conversation_id=held)),
            (4, lambda: self.ask("release", holder, conversation_id=held, reason="chaos")),
            (2, lambda: self.set_status(operator, "AVAILABLE")),
            (2, lambda: self.set_status(operator, self.luck.choice(["AWAY", "OFFLINE", "OFFLINE"]))),
            (3, lambda: self.give_a_sign_of_life(self.luck.choice([operator, ground.faithful]))),
        ]

    def _of_a_manager(self, operator: Operator) -> Acts:
        ground, force = self.ground, self.luck.choice([{}, {}, FORCE])
        pk = self.luck.choice([operator, operator, ground.faithful, *ground.silent[-SILENT:]]).pk
        waiting = self.luck.choice(list(ground.waiting) or [NONE])
        held, _ = self._something_held() or (NONE, pk)
        managed = [(period, kept) for period, kept in list(ground.kept) if period % 2]  # the others are left to the clock
        period, kept = self.luck.choice(managed or [(NONE, NONE)])
        inbox, anything = self.luck.choice(ground.inboxes), self.luck.choice([waiting, held])
        return [
            (4, lambda: self.ask("manager-allocate", ground.manager, operator_id=pk, conversation_id=waiting, **force)),
            (3, lambda: self.ask("deallocate", ground.manager, conversation_id=held)),
            (5, lambda: self.ask("reassign", ground.manager, operator_id=pk, conversation_id=held, **force)),
            (3, lambda: self.ask("move-inbox", ground.manager, conversation_id=anything, inbox_id=inbox)),
            (1, lambda: self.put_all_back(operator)),
            (4, lambda: self.extend(period)),
            (3, lambda: self.expire_now(period, kept)),
            (1, lambda: self.tune(**self.luck.choice(WISHES))),
        ]

    def _something_held(self) -> tuple[int, int] | None:
        """A conversation and who holds it: mostly somebody who is here, so that there is grace that nobody cuts short."""
        kept = {conversation for _, conversation in list(self.ground.kept)} if self.luck.random() < 0.9 else set()
        return self.luck.choice([held for held in list(self.ground.held) if held[0] not in kept] or [None])

    def ask(self, act: str, who: Operator, **body: Any) -> Call:
        """An act on conversations, and what became of it."""
        asked = {
            "conversation": body.get("conversation_id"),
            "operator": body.get("operator_id"),
            "inbox": body.get("inbox_id"),
            "number": body.get("count", 1),
        }
        return self._note(act, who, ("POST", f"/conversations/{act}", body), asked)

    def set_status(self, operator: Operator, status: str) -> Call:
        """By themselves."""
        question = ("PUT", f"/operators/{operator.pk}/status", {"status": status})
        return self._note("status", operator, question, {"operator": operator.pk, "status": status})

    def put_all_back(self, operator: Operator) -> Call:
        """A manager sends somebody home, and their work back to the queue at once."""
        question = ("PUT", f"/operators/{operator.pk}/status", {"status": "OFFLINE", "release": "now"})
        return self._note("release-now", self.ground.manager, question, {"operator": operator.pk, "status": "OFFLINE"})

    def give_a_sign_of_life(self, operator: Operator) -> Call:
        """A heartbeat."""
        return self._note("heartbeat", operator, ("POST", f"/operators/{operator.pk}/heartbeat", None), {"operator": operator.pk})

    def extend(self, period: int) -> Call:
        """More time for what somebody keeps."""
        return self._note("extend", self.ground.manager, ("POST", f"/grace-periods/{period}/extend", {"minutes": 5}), {"period": period})

    def expire_now(self, period: int, conversation: int) -> Call:
        """No more time."""
        question = ("POST", f"/grace-periods/{period}/expire-now", {"reason": "chaos"})
        return self._note("expire-now", self.ground.manager, question, {"conversation": conversation, "period": period})

    def tune(self, **wish: Any) -> Call:
        """Other settings of the tenant."""
        return self._note("settings", self.ground.admin, ("PATCH", "/tenant", wish), {"wish": wish})

    def hang_up(self) -> None:
        """The next call opens a line."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _note(self, act: str, who: Operator, question: tuple[str, str, Any], asked: dict[str, Any]) -> Call:
        """Call, and write it down. A call that could not even be sent is one that did nothing."""
        self._calls += 1
        id_, began = f"{self.name}-{self._calls}", time.monotonic()
        answer, outcome, said = None, Outcome.FAIL, "nobody opened"
        with suppress(OSError):
            self._line = self._line or Caller(self.ground.port, who, PATIENCE_SECONDS)
            outcome, said = Outcome.UNKNOWN, "no answer"
        if outcome is Outcome.UNKNOWN:
            try:
                answer = self._call(who, id_, question)
                said = BROKEN_OFF
            except (OSError, HTTPException):
                self.hang_up()
        if answer is not None:
            outcome, said = judged(answer), f"{answer.status} {answer.body.get('code', '')}".strip()
        done = answer.data if answer is not None and outcome is Outcome.OK else None
        got = {name: done[name] for name in asked.get("wish", {})} if done is not None else {}
        told: dict[str, Any] = {"shown": shown(act, done), "instant": instant(act, done), "got": got}
        call = Call(id_, act, began, time.monotonic(), outcome, said, **asked, **told)
        self.ground.history.append(call)
        if outcome is not Outcome.OK and not said.startswith("4"):
            time.sleep(PAUSE_SECONDS)
        return call

    def _call(self, who: Operator, id_: str, question: tuple[str, str, Any]) -> Answer | None:
        """The answer; None where the line was broken off on purpose."""
        assert self._line is not None
        self._line.send(*question, as_=who, **{"X-Request-Id": id_})
        if self.ground.resets.is_set() and self.luck.random() < 0.5:
            self._line.reset()
            self._line = None
            return None
        answer = self._line.receive(question[0])
        if answer.headers["Connection"] == "close":
            self.hang_up()
        return answer


def judged(answer: Answer) -> Outcome:
    """What the caller knows by this answer."""
    if answer.status < 300:
        return Outcome.OK
    if answer.status < 500 or answer.body.get("code") in SURELY_NOT:
        return Outcome.FAIL
    return Outcome.UNKNOWN


def shown(act: str, data: Any) -> tuple[Shown, ...]:
    """The conversations of an answer."""
    if data is None or act in OF_NO_CONVERSATION:
        return ()
    rows = data if isinstance(data, list) else [data]
    return tuple(Shown(row["id"], row["state"], row["assigned_operator_id"], row["version"], row["inbox_id"]) for row in rows)


def instant(act: str, data: Any) -> str:
    """When the status of an answer began, or when what it is about ends; empty: never."""
    if data is None:
        return ""
    match act:
        case "status" | "release-now":
            return str(data["status"]["last_status_change_at"])
        case "heartbeat":
            return str(data["lease_expires_at"] or "")
        case "extend":
            return str(data["expires_at"])
    return ""
