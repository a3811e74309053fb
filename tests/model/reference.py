"""What the product does, as briefly as it can be said: no lock, no SQL, no HTTP; the clock stands where it is put.

An act returns what it is about, changed or not; or it raises Refused and has changed nothing. Acts that are alike are said
together. What a score is, says tests.conversations.formula, in exact numbers and from the definition alone.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.conversations.formula import Formula

NEVER = datetime.min.replace(tzinfo=UTC)


class Refused(Exception):
    """A status and a code."""


def require(condition: object, status: int, code: str) -> None:
    """Go on only under this condition."""
    if not condition:
        raise Refused(status, code)


@dataclass(eq=False)
class Person:
    """Who works here. `seats`: the inboxes they answer at, with the most that they may hold of each; None: no limit."""

    pk: int
    manages: bool
    seats: dict[int, int | None]
    limit: int | None = None
    status: str = "AVAILABLE"
    released: dict[int, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Label:
    """A word of an inbox."""

    pk: int
    inbox: int
    name: str


@dataclass(eq=False)
class Conversation:
    """What is allocated. `last` is the act that put it where it is, and whose it was."""

    pk: int
    inbox: int
    message_count: int
    last_message_at: datetime
    waiting_since: datetime | None
    state: str = "QUEUED"
    version: int = 1
    holder: Person | None = None
    source: str | None = None
    started: datetime | None = None
    grace_ends: datetime | None = None
    labels: frozenset[Label] = frozenset()
    last: tuple[str, Person | None] | None = None


class Reference:
    """One tenant: its settings, how long grace is at inboxes that say so themselves, its words, its conversations."""

    def __init__(self, now: datetime, settings: dict[str, Any], labels: list[Label]) -> None:
        self.now, self.settings, self.labels = now, settings, labels
        self.graces: dict[int, int | None] = {}
        self.conversations: list[Conversation] = []

    # --- what acts are made of ---------------------------------------------------------------------

    def minutes(self, name: str) -> timedelta:
        return timedelta(minutes=self.settings[name])

    @property
    def formula(self) -> Formula:
        alpha, beta = (Decimal(str(self.settings[name])) for name in ("priority_alpha", "priority_beta"))
        return Formula(alpha, beta, self.settings["message_cap"], self.settings["delay_cap_minutes"])

    def waits_from(self, c: Conversation) -> datetime:
        return c.waiting_since if c.waiting_since and self.settings["waiting_clock"] == "waiting_since" else c.last_message_at

    def effective(self, c: Conversation) -> int:
        return self.formula.effective(c.message_count, self.waits_from(c), self.now)

    def in_order(self, rows: list[Conversation]) -> list[Conversation]:
        return sorted(rows, key=lambda c: (-self.effective(c), self.waits_from(c), c.pk))

    def held(self, by: Person, inbox: int | None = None) -> list[Conversation]:
        return [c for c in self.conversations if c.holder is by and inbox in (None, c.inbox)]

    def most(self, to: Person, inbox: int | None) -> int | None:
        return to.seats.get(inbox) if inbox else self.settings["operator_capacity"] if to.limit is None else to.limit

    def full(self, to: Person, inbox: int | None = None) -> bool:
        most = self.most(to, inbox)
        return most is not None and len(self.held(to, inbox)) >= most

    def cooling(self, to: Person, c: Conversation) -> bool:
        return to.released.get(c.pk, NEVER) > self.now - self.minutes("cooldown_minutes")

    def waiting_for(self, to: Person) -> list[Conversation]:
        rows = [c for c in self.conversations if c.state == "QUEUED" and c.inbox in to.seats and not self.full(to, c.inbox)]
        return self.in_order([c for c in rows if not self.cooling(to, c)] or rows)

    def visible(self, by: Person, c: Conversation) -> bool:
        return by.manages or c.inbox in by.seats or c.holder is by

    def see(self, by: Person, c: Conversation) -> Conversation:
        require(self.visible(by, c), 403, "not_your_inbox")
        return c

    def grace_end(self, c: Conversation) -> datetime:
        return self.now + timedelta(minutes=self.graces.get(c.inbox) or self.settings["grace_period_minutes"])

    def change(self, c: Conversation, **values: Any) -> Conversation:
        vars(c).update(values, version=c.version + 1)
        return c

    def give(self, act: str, by: Person, to: Person, c: Conversation) -> Conversation:
        ends = self.grace_end(c) if to.status == "OFFLINE" else None
        source = {"allocate": "auto", "claim": "claim"}.get(act, "manager")
        return self.change(c, state="ALLOCATED", holder=to, source=source, started=self.now, grace_ends=ends, last=(act, by))

    def take(self, act: str, by: Person | None, c: Conversation, state: str = "QUEUED", **values: Any) -> Conversation:
        return self.change(c, state=state, holder=None, grace_ends=None, last=(act, by), **values)

    # --- what people do, and the clock -------------------------------------------------------------

    def allocate(self, by: Person, to: Person, count: int) -> list[Conversation]:
        require(by.manages or by is to, 403, "not_yourself")
        require(to.status == "AVAILABLE", 409, "operator_not_available")
        require(not self.full(to), 409, "capacity_exceeded")
        given: list[Conversation] = []
        while len(given) < count and not self.full(to) and (waiting := self.waiting_for(to)):
            given.append(self.give("allocate", by, to, waiting[0]))
        queued = [c for c in self.conversations if c.state == "QUEUED" and c.inbox in to.seats]
        require(bool(given) or not queued, 409, "capacity_exceeded")  # what waits, waits at inboxes that are full
        return given

    def hand(self, act: str, by: Person, to: Person, c: Conversation, force: bool = False, reason: str = "") -> Conversation:
        """Claim, manager-allocate, reassign."""
        require(by.manages or act == "claim", 403, "role_too_low")
        require(by.manages or by is to, 403, "not_yourself")
        require(act != "reassign" or c.state == "ALLOCATED", 409, "already_resolved" if c.state == "RESOLVED" else "not_allocated")
        if c.holder is to:
            return c
        require(reason or not force, 400, "validation_failed")
        require(force or c.inbox in to.seats, 403, "not_subscribed")
        require(force or to.status == "AVAILABLE", 409, "operator_not_available")
        require(force or not (self.full(to) or self.full(to, c.inbox)), 409, "capacity_exceeded")
        require(act == "reassign" or c.state != "ALLOCATED", 409, "already_allocated")
        require(c.state != "RESOLVED", 409, "already_resolved")
        return self.give(act, by, to, c)

    def end(self, act: str, by: Person, c: Conversation) -> Conversation:
        """Resolve, deallocate, release."""
        require(by.manages or act != "deallocate", 403, "role_too_low")
        if c.last == (act, by):
            return c
        self.see(by, c)
        require(c.state != "RESOLVED", 409, "already_resolved")
        require(c.state == "ALLOCATED" or act == "resolve", 409, "not_allocated")
        require(c.holder is by or (by.manages and act != "release"), 403, "not_the_holder")
        if act == "release":
            by.released[c.pk] = self.now
        return self.take(act, by, c, "RESOLVED" if act == "resolve" else "QUEUED")

    def move(self, by: Person, c: Conversation, inbox: int) -> Conversation:
        require(by.manages, 403, "role_too_low")
        require(c.state != "RESOLVED", 409, "already_resolved")
        worn = [label.name for label in c.labels]
        kept = frozenset(label for label in self.labels if label.inbox == inbox and label.name in worn)
        return c if c.inbox == inbox else self.take("move", by, c, inbox=inbox, labels=kept)

    def wear(self, by: Person, c: Conversation, label: Label, worn: bool) -> Conversation:
        self.see(by, c)
        require(label.inbox == c.inbox, 409, "label_of_another_inbox")
        return c if (label in c.labels) is worn else self.change(c, labels=c.labels ^ {label})

    def turn(self, by: Person, who: Person, status: str, release_now: bool) -> Person:
        require(by.manages or by is who, 403, "not_yourself")
        require(by.manages or not release_now, 403, "role_too_low")
        before, who.status = who.status, status
        for c in self.held(who):
            if release_now:
                self.take("deallocate", by, c)
            elif status != before:
                c.grace_ends = self.grace_end(c) if status == "OFFLINE" else None
        return who

    def limit(self, by: Person, who: Person, own: int | None, seats: dict[int, int | None]) -> Person:
        require(by.manages, 403, "role_too_low")
        require(seats.keys() <= who.seats.keys(), 403, "not_subscribed")
        who.limit, who.seats = own, who.seats | seats
        return who

    def expire(self) -> list[Conversation]:
        return [self.take("expire", None, c) for c in self.conversations if c.grace_ends and c.grace_ends <= self.now]
