"""The reference, bent: each says of one rule what the product must not do. Against each the model has to find a difference."""

from typing import Any

from tests.model.reference import Reference, Thing


class LastAmongEquals(Reference):
    """Of two that are equal, the one that came later is first."""

    def best(self, rows: list[Thing]) -> Thing:
        effective = {c.pk: self.formula.effective(c.message_count, c.waits_from, self.now) for c in rows}
        return max(rows, key=lambda c: (effective[c.pk], -c.waits_from.timestamp(), c.pk))


class OneTooMany(Reference):
    """Who holds as much as they may still gets one more."""

    def full(self, to: Thing, inbox: int | None = None) -> bool:
        limit = to.limits.get(inbox) if inbox else self.settings["operator_capacity"] if to.capacity is None else to.capacity
        return limit is not None and len(self.held(to, inbox)) > limit


class NoCoolDown(Reference):
    """What somebody gave back is theirs again at once."""

    def waiting_for(self, to: Thing) -> list[Thing]:
        return [c for c in self.conversations if c.state == "QUEUED" and c.inbox in to.limits and not self.full(to, c.inbox)]


class CreditLost(Reference):
    """What comes back to the queue has waited since then."""

    def requeue(self, act: str, by: Thing | None, c: Thing, **values: Any) -> Thing:
        super().requeue(act, by, c, **values)
        c.waits_from = self.now
        return c


class GraceOutlivesTheReturn(Reference):
    """Who comes back from a short absence loses the work all the same."""

    def turn(self, by: Thing, who: Thing, status: str) -> Thing:
        ends = {c.pk: c.grace_ends for c in self.held(who)}
        super().turn(by, who, status)
        for c in self.held(who):
            c.grace_ends = c.grace_ends or ends[c.pk]
        return who
