"""The product and the reference at work for one tenant, and how they are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from convalloc import clock
from conversations.standing import PLACE
from operators import desk
from operators.models import Operator
from tenants import isolation
from tests.conftest import Answer, assemble, empty_the_tables
from tests.model.clock import DAWN, Clock
from tests.model.reference import Conversation, Label, Person, Reference, Refused
from tests.races.over_http import Caller

SETTINGS = {
    "priority_alpha": 0.4,
    "priority_beta": 0.6,
    "message_cap": 100,
    "delay_cap_minutes": 1440,
    "waiting_clock": "last_message_at",
    "grace_period_minutes": 15,
    "operator_capacity": None,
    "cooldown_minutes": 5,
}
EVERYTHING = "/conversations?limit=100"


@dataclass
class Ground:
    """What all lives are played on, one after another."""

    port: int
    clock: Clock
    steps: int = 0


class SideBySide(RuleBasedStateMachine):
    """Every step is taken by both, and after every step everything that can be seen is the same."""

    def __init__(self, ground: Ground, reference: type[Reference] = Reference) -> None:
        super().__init__()
        self.ground, self.steps = ground, 0
        ground.clock.stand_at(DAWN)
        self.cast = assemble()
        self.inboxes = {"support": self.cast.support.pk, "sales": self.cast.sales.pk}
        self.people = {name: self._person(getattr(self.cast, name)) for name in ("olga", "otto", "mia", "ada")}
        self.labels = [self._label(inbox, name) for inbox, name in (("support", "VIP"), ("sales", "VIP"), ("support", "Refund"))]
        self.reference = reference(DAWN, dict(SETTINGS), self.labels)
        self.line = Caller(ground.port, self.cast.mia)

    def _person(self, operator: Operator) -> Person:
        with isolation.act_as(self.cast.tenant.pk):
            return Person(operator.pk, operator.is_manager, dict.fromkeys(desk.inboxes_of(operator.pk)))

    def _label(self, inbox: str, name: str) -> Label:
        return Label(self.cast.label(inbox=getattr(self.cast, inbox), name=name).pk, self.inboxes[inbox], name)

    def teardown(self) -> None:
        """Nothing is left of this life."""
        self.line.close()
        empty_the_tables()

    @property
    def now(self) -> datetime:
        """What time it is, for both."""
        return self.reference.now

    # --- asking both -------------------------------------------------------------------------------

    def ask(self, by: Person, method: str, path: str, body: Any = None) -> Answer:
        """What the product answers to one of the cast."""
        return self.line.call(method, path, body, as_=by)  # type: ignore[arg-type]  # whoever has a number

    def agree(self, by: Person, method: str, path: str, body: Any, act: Callable[[], Any]) -> tuple[Any, Any]:
        """What the product answered and what the reference did: nothing when both refuse it, with one status and code."""
        answer = self.ask(by, method, path, body)
        try:
            done, expected = act(), (200, None)
        except Refused as refusal:
            done, expected = None, refusal.args
        assert (answer.status, answer.body.get("code")) == expected, f"{method} {path} {body}: {answer.body}"
        return (None, None) if done is None else (answer.data, done)

    # --- comparing ---------------------------------------------------------------------------------

    @invariant()
    def everything_is_the_same(self) -> None:
        """Every conversation, their order for managers and operators, one's place in the queue, everybody's status, every deadline."""
        self.steps += 1
        self.ground.steps += 1
        in_turn = self.reference.conversations[self.steps % len(self.reference.conversations)]
        self.lists_are_the_same(self.people["mia"])
        self.lists_are_the_same(self.people["otto" if self.steps % 2 else "olga"])
        self.place_is_the_same(self.people["otto" if self.steps % 3 else "mia"], in_turn)
        self.people_are_the_same()

    def lists_are_the_same(self, by: Person) -> None:
        """What somebody sees, and in which order. What is resolved is not ranked anew: its place is not compared."""
        rows = self.ask(by, "GET", EVERYTHING).data["conversations"]
        known = {c.pk: c for c in self.reference.conversations if self.reference.visible(by, c)}
        assert sorted(row["id"] for row in rows) == sorted(known)
        unresolved = self.reference.in_order([c for c in known.values() if c.state != "RESOLVED"])
        assert [row["id"] for row in rows if row["state"] != "RESOLVED"] == [c.pk for c in unresolved]
        for row in rows:
            self.same(row, known[row["id"]])

    def same(self, row: dict[str, Any], c: Conversation) -> None:
        """A conversation on the wire is that of the reference."""
        held = c.holder and c.started and {"operator_id": c.holder.pk, "source": c.source, "started_at": clock.instant(c.started)}
        expected = {"id": c.pk, "inbox_id": c.inbox, "state": c.state, "version": c.version, "assignment": held}
        told = {name: row[name] for name in expected}
        told["assignment"] = row["assignment"] and {name: row["assignment"][name] for name in ("operator_id", "source", "started_at")}
        assert told == expected
        assert row["assigned_operator_id"] == (c.holder and c.holder.pk)
        assert {label["id"] for label in row["labels"]} == {label.pk for label in c.labels}
        assert c.state == "RESOLVED" or row["priority_score"] == self.score(c)

    def score(self, c: Conversation) -> float:
        """The formula's score, as it is shown."""
        return round(float(self.reference.effective(c) * self.reference.formula.a_microsecond), 6)

    def place_is_the_same(self, by: Person, c: Conversation) -> None:
        """Where it stands in its inbox, and among all that the caller answers at."""
        told, _ = self.agree(by, "GET", f"/conversations/{c.pk}/priority", None, lambda: self.reference.see(by, c))
        if told is None or c.state == "RESOLVED":
            return
        queued = self.reference.in_order([other for other in self.reference.conversations if other.state == "QUEUED"])
        here = [other for other in queued if other.inbox == c.inbox]
        callers = [other for other in queued if by.manages or other.inbox in by.seats]
        place = [here.index(c) + 1, len(here), callers.index(c) + 1, len(callers)] if c in here else None
        assert (told["score"], told["rank"] and [told["rank"][name] for name in PLACE]) == (self.score(c), place)

    def people_are_the_same(self) -> None:
        """Everybody's status and how much they hold; what is held for how long in spite of an absence."""
        told = {row["id"]: (row["status"], row["active_conversations"]) for row in self.ask(self.people["mia"], "GET", "/operators").data}
        assert told == {who.pk: (who.status, len(self.reference.held(who))) for who in self.people.values()}
        graces = self.ask(self.people["mia"], "GET", "/grace-periods?limit=100").data
        kept = {c.pk: (c.holder.pk, clock.instant(c.grace_ends)) for c in self.reference.conversations if c.grace_ends and c.holder}
        assert {row["conversation_id"]: (row["operator_id"], row["expires_at"]) for row in graces} == kept
