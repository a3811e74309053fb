"""What the product does, as briefly as it can be said: no lock, no SQL, no HTTP.

Who comes first is tests.conversations.formula, which is written from the definition alone. An act returns what it is
about, changed or not; or it raises Refused and has changed nothing. Acts that are alike are said together.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace as Thing
from typing import Any

from tests.conversations.formula import Formula

NEVER = datetime.min.replace(tzinfo=UTC)
WEIGHTS = ("priority_alpha", "priority_beta", "message_cap", "delay_cap_minutes", "waiting_clock")


class Refused(Exception):
    """A status and a code."""


def require(condition: object, status: int, code: str) -> None:
    """Go on only under this condition."""
    if not condition:
        raise Refused(status, code)


class Reference:
    """One tenant: its settings, labels, conversations. What other weights put where it stands is `stale` until it is placed anew."""

    def __init__(self, now: datetime, settings: dict[str, Any], labels: list[Thing]) -> None:
        self.now, self.settings, self.labels, self.behind = now, settings, labels, False
        self.conversations: list[Thing] = []

    # --- what acts are made of ---------------------------------------------------------------------

    @property
    def formula(self) -> Formula:
        alpha, beta, message_cap, delay_cap, _ = (self.settings[name] for name in WEIGHTS)
        return Formula(Decimal(str(alpha)), Decimal(str(beta)), message_cap, delay_cap)

    def minutes(self, name: str) -> timedelta:
        return timedelta(minutes=self.settings[name])

    def place(self, c: Thing) -> None:
        from_first = c.waiting_since and self.settings["waiting_clock"] == "waiting_since"
        c.waits_from, c.stale = c.waiting_since if from_first else c.last_message_at, False

    def best(self, rows: list[Thing]) -> Thing:
        first: Thing = self.formula.in_order(rows, self.now)[0]
        return first

    def waiting_for(self, to: Thing) -> list[Thing]:
        rows = [c for c in self.conversations if c.state == "QUEUED" and c.inbox in to.limits and not self.full(to, c.inbox)]
        return [c for c in rows if to.released.get(c.pk, NEVER) <= self.now - self.minutes("cooldown_minutes")] or rows

    def held(self, by: Thing, inbox: int | None = None) -> list[Thing]:
        return [c for c in self.conversations if c.holder is by and inbox in (None, c.inbox)]

    def full(self, to: Thing, inbox: int | None = None) -> bool:
        limit = to.limits.get(inbox) if inbox else self.settings["operator_capacity"] if to.capacity is None else to.capacity
        return limit is not None and len(self.held(to, inbox)) >= limit

    def see(self, by: Thing, c: Thing) -> Thing:
        require(by.manages or c.inbox in by.limits or c.holder is by, 403, "not_your_inbox")
        return c

    def listed(self, by: Thing, inbox: int | None) -> list[Thing]:
        require(by.manages or inbox in (None, *by.limits), 403, "not_your_inbox")
        return [c for c in self.conversations if by.manages or c.inbox in by.limits or c.holder is by]

    def change(self, c: Thing, **values: Any) -> Thing:
        vars(c).update(values, version=c.version + 1)
        return c

    def give(self, act: str, by: Thing, to: Thing, c: Thing) -> Thing:
        ends = self.now + self.minutes("grace_period_minutes") if to.status == "OFFLINE" else None
        source = {"allocate": "auto", "claim": "claim"}.get(act, "manager")
        return self.change(c, state="ALLOCATED", holder=to, source=source, started=self.now, grace_ends=ends, last=(act, by))

    def requeue(self, act: str, by: Thing | None, c: Thing, **values: Any) -> Thing:
        self.place(c)
        return self.change(c, state="QUEUED", holder=None, grace_ends=None, last=(act, by), **values)

    # --- what people do, and the clock -------------------------------------------------------------

    def allocate(self, by: Thing, to: Thing, count: int = 1, best: Callable[[list[Thing]], Thing] | None = None) -> list[Thing]:
        require(by.manages or by is to, 403, "not_yourself")
        require(to.status == "AVAILABLE", 409, "operator_not_available")
        require(not self.full(to), 409, "capacity_exceeded")
        given: list[Thing] = []
        while len(given) < count and not self.full(to) and (waiting := self.waiting_for(to)):
            given.append(self.give("allocate", by, to, (best or self.best)(waiting)))
        return given

    def hand(self, act: str, by: Thing, to: Thing, c: Thing, force: bool = False, reason: str = "") -> Thing:
        """Claim, assign, reassign."""
        require(by.manages or act == "claim", 403, "role_too_low")
        require(by.manages or by is to, 403, "not_yourself")
        require(act != "reassign" or c.state == "ALLOCATED", 409, "already_resolved" if c.state == "RESOLVED" else "not_allocated")
        if c.holder is to:
            return c
        require(reason or not force, 400, "validation_failed")
        require(force or c.inbox in to.limits, 403, "not_subscribed")
        require(force or to.status == "AVAILABLE", 409, "operator_not_available")
        require(force or not (self.full(to) or self.full(to, c.inbox)), 409, "capacity_exceeded")
        require(act == "reassign" or c.state != "ALLOCATED", 409, "already_allocated")
        require(c.state != "RESOLVED", 409, "already_resolved")
        return self.give(act, by, to, c)

    def end(self, act: str, by: Thing, c: Thing) -> Thing:
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
        if act != "resolve":
            return self.requeue(act, by, c)
        if c.holder:
            c.holder.resolved.append((c.started, self.now))
        return self.change(c, state="RESOLVED", holder=None, grace_ends=None, resolved_at=self.now, last=(act, by))

    def move(self, by: Thing, c: Thing, inbox: int) -> Thing:
        require(by.manages, 403, "role_too_low")
        require(c.state != "RESOLVED", 409, "already_resolved")
        worn = [label.name for label in c.labels]
        kept = [label for label in self.labels if label.inbox == inbox and label.name in worn]
        return c if c.inbox == inbox else self.requeue("move", by, c, inbox=inbox, labels=kept)

    def wear(self, by: Thing, c: Thing, label: Thing, worn: bool) -> Thing:
        self.see(by, c)
        require(label.inbox == c.inbox, 409, "label_of_another_inbox")
        others = [other for other in c.labels if other is not label]
        return c if (label in c.labels) is worn else self.change(c, labels=[*others, label] if worn else others)

    def turn(self, by: Thing, who: Thing, status: str) -> Thing:
        require(by.manages or by is who, 403, "not_yourself")
        for c in self.held(who) if status != who.status else []:
            c.grace_ends = self.now + self.minutes("grace_period_minutes") if status == "OFFLINE" else None
        who.status = status
        return who

    def expire(self) -> list[Thing]:
        return [self.requeue("expire", None, c) for c in self.conversations if c.grace_ends and c.grace_ends <= self.now]

    def tune(self, wish: dict[str, Any]) -> bool:
        before, self.settings = self.settings, self.settings | wish
        other_weights = any(before[name] != self.settings[name] for name in WEIGHTS)
        for c in self.conversations if other_weights else []:
            c.stale = True
        self.behind = self.behind or other_weights
        return other_weights

    def rank_anew(self) -> int:
        late, self.behind = [c for c in self.conversations if c.stale and c.state != "RESOLVED"], False
        for c in late:
            self.place(c)
        return len(late)
