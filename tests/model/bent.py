"""The reference, bent: each says of one rule what the product must not do. Against each the model has to find a difference."""

from datetime import datetime
from typing import Any

from tests.model.reference import Conversation, Person, Reference


class LastAmongEquals(Reference):
    """Of two with one score, the one that came later is first."""

    def in_order(self, rows: list[Conversation]) -> list[Conversation]:
        return sorted(rows, key=lambda c: (-self.effective(c), -self.waits_from(c).timestamp(), c.pk))


class OneTooMany(Reference):
    """Who holds as much as they may, still gets one more."""

    def most(self, to: Person, inbox: int | None) -> int | None:
        most = super().most(to, inbox)
        return most and most + 1


class NoCoolDown(Reference):
    """What somebody gave back is theirs again at once."""

    def cooling(self, to: Person, c: Conversation) -> bool:
        return False


class CreditLost(Reference):
    """What the clock takes from who is away, has waited since then."""

    def take(self, act: str, by: Person | None, c: Conversation, state: str = "QUEUED", **values: Any) -> Conversation:
        super().take(act, by, c, state, **values)
        if act == "expire":
            c.last_message_at = self.now
        return c


class GraceOutlivesTheReturn(Reference):
    """Who comes back in time, loses the work all the same."""

    def turn(self, by: Person, who: Person, status: str, release_now: bool) -> Person:
        ends: dict[int, datetime | None] = {c.pk: c.grace_ends for c in self.held(who)}
        super().turn(by, who, status, release_now)
        for c in self.held(who):
            c.grace_ends = c.grace_ends or ends[c.pk]
        return who


class EveryInbox(Reference):
    """Everybody is handed work of every inbox."""

    def waiting_for(self, to: Person) -> list[Conversation]:
        elsewhere = [c for c in self.conversations if c.state == "QUEUED" and c.inbox not in to.seats]
        return self.in_order([*super().waiting_for(to), *elsewhere])


RULES = [LastAmongEquals, OneTooMany, NoCoolDown, CreditLost, GraceOutlivesTheReturn, EveryInbox]
