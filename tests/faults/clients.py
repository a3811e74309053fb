"""Clients who do what operators and managers do, at random, and write down what they asked and what they were told."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException
from random import Random
from typing import Any, NamedTuple

from operators.models import Operator
from tests.conftest import Answer
from tests.faults.history import Call, Outcome, Shown
from tests.races.over_http import Caller

PATIENCE_SECONDS = 8.0  # for an answer: a process that is frozen gives none
PAUSE_SECONDS = 0.1  # after a closed door
SURELY_NOT = {"unavailable", "queue_busy"}  # codes of a 503 that promise that nothing was done


class Ground(NamedTuple):
    """Where the clients work: who there is, and what there is to do; somebody else keeps the lists up to date."""

    port: int
    operators: Sequence[Operator]
    manager: Operator
    waiting: list[int]
    held: list[tuple[int, int]]  # conversation and holder, as of a moment ago
    history: list[Call]
    resets: threading.Event  # while it is set, lines are broken off in the middle of a call


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
        operator, ground = self.luck.choice(self.ground.operators), self.ground
        waiting = self.luck.choice(list(ground.waiting) or [1])
        held, holder = self.luck.choice(list(ground.held) or [(1, operator.pk)])
        by_pk = {somebody.pk: somebody for somebody in ground.operators}
        acts: list[tuple[int, Callable[[], Any]]] = [
            (8, lambda: self.ask("allocate", operator, operator_id=operator.pk)),
            (2, lambda: self.ask("allocate", operator, operator_id=operator.pk, count=3)),
            (4, lambda: self.ask("claim", operator, operator_id=operator.pk, conversation_id=waiting)),
            (3, lambda: self.ask("manager-allocate", ground.manager, operator_id=operator.pk, conversation_id=waiting)),
            (5, lambda: self.ask("resolve", by_pk.get(holder, ground.manager), conversation_id=held)),
            (4, lambda: self.ask("release", by_pk.get(holder, operator), conversation_id=held, reason="chaos")),
            (3, lambda: self.ask("deallocate", ground.manager, conversation_id=held)),
            (4, lambda: self.ask("reassign", ground.manager, operator_id=operator.pk, conversation_id=held)),
            (3, lambda: self.set_status(operator, "AVAILABLE")),
            (2, lambda: self.set_status(operator, self.luck.choice(["AWAY", "OFFLINE"]))),
        ]
        (chosen,) = self.luck.choices([act for _, act in acts], [weight for weight, _ in acts])
        chosen()

    def ask(self, act: str, who: Operator, **body: Any) -> Call:
        """An act on conversations, and what became of it."""
        asked = {"conversation": body.get("conversation_id"), "operator": body.get("operator_id"), "number": body.get("count", 1)}
        return self._note(act, who, ("POST", f"/conversations/{act}", body), asked)

    def set_status(self, operator: Operator, status: str) -> Call:
        """By themselves."""
        question = ("PUT", f"/operators/{operator.pk}/status", {"status": status})
        return self._note("status", operator, question, {"operator": operator.pk, "status": status, "number": 1})

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
            except (OSError, HTTPException):
                self.hang_up()
        if answer is not None:
            outcome, said = judged(answer), f"{answer.status} {answer.body.get('code', '')}".strip()
        done = answer.data if answer is not None and outcome is Outcome.OK else None
        call = Call(id_, act, began, time.monotonic(), outcome, said, shown=shown(act, done), since=since(act, done), **asked)
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
    if data is None or act == "status":
        return ()
    rows = data if isinstance(data, list) else [data]
    return tuple(Shown(row["id"], row["state"], row["assigned_operator_id"], row["version"]) for row in rows)


def since(act: str, data: Any) -> str:
    """When the status of an answer began."""
    return str(data["status"]["last_status_change_at"]) if act == "status" and data is not None else ""
