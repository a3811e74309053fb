"""The product and the reference at work for one tenant, and how they are compared."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from convalloc import clock
from operators import desk
from operators.models import Operator, Role
from tenants import isolation
from tests.conftest import assemble, empty_the_tables
from tests.conversations import invariants
from tests.model.choices import MOST
from tests.model.clock import DAWN, Clock
from tests.model.reference import Reference, Refused, Thing
from tests.model.server import Bell, Line

USUAL = {
    "priority_alpha": 0.4,
    "priority_beta": 0.6,
    "message_cap": 100,
    "delay_cap_minutes": 1440,
    "waiting_clock": "last_message_at",
    "grace_period_minutes": 15,
    "operator_capacity": None,
    "cooldown_minutes": 5,
}


@dataclass
class Ground:
    """What all runs share."""

    line: Line
    bell: Bell
    clock: Clock
    steps: int = 0


class SideBySide(RuleBasedStateMachine):
    """Every step is taken by both, and after every step everything that can be seen is the same."""

    def __init__(self, ground: Ground, reference: type[Reference] = Reference) -> None:
        super().__init__()
        self.ground = ground
        self.ground.clock.stand_at(DAWN)
        self.cast = assemble()
        self.inboxes = {"support": self.cast.support.pk, "sales": self.cast.sales.pk}
        self.people = {name: self._person(getattr(self.cast, name)) for name in ("olga", "otto", "mia", "ada")}
        self.labels = [self._label(inbox, name) for inbox, name in (("support", "VIP"), ("sales", "VIP"), ("support", "Refund"))]
        self.reference = reference(DAWN, dict(USUAL), self.labels)
        self.answer: Any = None

    def _person(self, operator: Operator) -> Thing:
        with isolation.act_as(self.cast.tenant.pk):
            limits = dict.fromkeys(desk.inboxes_of(operator.pk))
        manages = operator.role != Role.OPERATOR
        return Thing(pk=operator.pk, manages=manages, limits=limits, capacity=None, status="AVAILABLE", released={}, resolved=[])

    def _label(self, inbox: str, name: str) -> Thing:
        return Thing(pk=self.cast.label(inbox=getattr(self.cast, inbox), name=name).pk, name=name, inbox=self.inboxes[inbox])

    def teardown(self) -> None:
        """What holds of every tenant holds of this one; then it is gone."""
        invariants.assert_all(self.cast)
        empty_the_tables()

    def ask(self, by: Thing, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """What the product says."""
        return self.ground.line.call(by.pk, method, path, body)

    def which(self, number: int, *states: str) -> Thing:
        """One of the conversations: by a low number one in these states, if there is one."""
        every = self.reference.conversations
        fitting = [c for c in every if c.state in states] if number < MOST else []
        return (fitting or every)[number % len(fitting or every)]

    def agree(self, by: Thing, method: str, path: str, body: Any, act: Callable[[], Any]) -> Any:
        """What the reference does, after the product did it and left its `answer`; None when both refuse it, with one code."""
        status, self.answer = self.ask(by, method, path, body)
        try:
            done, expected = act(), (200, None)
        except Refused as refusal:
            done, expected = None, refusal.args
        assert (status, self.answer.get("code")) == expected, self.answer
        return done

    def same(self, row: dict[str, Any], c: Thing) -> None:
        """A conversation on the wire is that of the reference."""
        held = c.state == "ALLOCATED"
        expected = {
            "id": c.pk,
            "inbox_id": c.inbox,
            "state": c.state,
            "version": c.version,
            "assigned_operator_id": c.holder.pk if held else None,
            "assignment": {"operator_id": c.holder.pk, "source": c.source, "started_at": clock.instant(c.started)} if held else None,
            "labels": [label.pk for label in sorted(c.labels, key=lambda label: (label.name, label.pk))],
            "message_count": c.message_count,
            "last_message_at": clock.instant(c.last_message_at),
            "waiting_since": c.waiting_since and clock.instant(c.waiting_since),
            "resolved_at": c.resolved_at and clock.instant(c.resolved_at),
        } | ({} if c.stale else {"priority_score": self.score(c)})
        told = {name: row[name] for name in expected}
        told["labels"] = [label["id"] for label in row["labels"]]
        told["assignment"] = row["assignment"] and {name: row["assignment"][name] for name in ("operator_id", "source", "started_at")}
        assert told == expected

    def score(self, c: Thing) -> float:
        """The formula's score, as it is shown."""
        formula = self.reference.formula
        effective = formula.effective(c.message_count, c.waits_from, self.now)
        return round(float(effective * Fraction(formula.beta or formula.alpha) / formula.delay_cap), 6)

    @property
    def now(self) -> datetime:
        """What time it is, for both."""
        return self.reference.now

    def in_order(self, rows: Iterable[Thing]) -> list[int]:
        """Ids of the conversations that have a place, best first."""
        return [c.pk for c in self.reference.formula.in_order([c for c in rows if not c.stale], self.now)]

    @invariant()
    def everything_is_the_same(self) -> None:
        """Every conversation, and the order of all of them."""
        self.ground.steps += 1
        _, answer = self.ask(self.people["mia"], "GET", "/conversations?limit=100")
        rows, known = answer["data"]["conversations"], {c.pk: c for c in self.reference.conversations}
        assert sorted(row["id"] for row in rows) == sorted(known)
        assert [row["id"] for row in rows if not known[row["id"]].stale] == self.in_order(self.reference.conversations)
        for row in rows:
            self.same(row, known[row["id"]])
