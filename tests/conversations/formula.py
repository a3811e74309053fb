"""The formula of the priority score in exact rationals, written from its definition and from nothing in the product."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from conversations.models import Conversation
from tenants.models import Tenant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def since_epoch(instant: datetime) -> int:
    """Whole microseconds."""
    gone = instant - EPOCH
    return (gone.days * 86400 + gone.seconds) * 10**6 + gone.microseconds


@dataclass(frozen=True)
class Formula:
    """score = alpha * min(n / message_cap, 1) + beta * min(waited / delay_cap, 1), for one tenant's settings."""

    alpha: Decimal
    beta: Decimal
    message_cap: int
    delay_cap_minutes: int

    @property
    def settings(self) -> dict[str, Any]:
        """The same as columns of a tenant."""
        return {
            "priority_alpha": self.alpha,
            "priority_beta": self.beta,
            "message_cap": self.message_cap,
            "delay_cap_minutes": self.delay_cap_minutes,
        }

    @property
    def tenant(self) -> Tenant:
        """A tenant with these settings, in memory only."""
        return Tenant(**self.settings)

    @property
    def delay_cap(self) -> int:
        """In microseconds."""
        return self.delay_cap_minutes * 60 * 10**6

    @property
    def a_microsecond(self) -> Fraction:
        """What one microsecond of waiting is worth; without beta, the smallest step that a credit can make."""
        return Fraction(self.beta or self.alpha) / self.delay_cap

    def score(self, message_count: int, waits_from: datetime, now: datetime) -> Fraction:
        """As the definition says it, unrounded."""
        waited = max(0, since_epoch(now) - since_epoch(waits_from))
        messages = min(Fraction(message_count, self.message_cap), Fraction(1))
        waiting = min(Fraction(waited, self.delay_cap), Fraction(1))
        return Fraction(self.alpha) * messages + Fraction(self.beta) * waiting

    def effective(self, message_count: int, waits_from: datetime, now: datetime) -> int:
        """The score in microseconds of waiting; what the messages are worth is rounded down to whole ones."""
        messages = min(Fraction(message_count, self.message_cap), Fraction(1))
        worth = Fraction(self.alpha) / Fraction(self.beta) if self.beta else Fraction(1)
        waited = min(max(0, since_epoch(now) - since_epoch(waits_from)), self.delay_cap) if self.beta else 0
        return math.floor(worth * self.delay_cap * messages) + waited

    def in_order(self, rows: Iterable[Conversation], now: datetime) -> list[Conversation]:
        """Highest score first, then who waits longest, then the lowest id."""
        return sorted(rows, key=lambda row: (-self.effective(row.message_count, row.waits_from, now), row.waits_from, row.pk))


WEIGHTS = st.one_of(
    st.sampled_from([Decimal(0), Decimal("0.0001"), Decimal("0.4"), Decimal("0.6"), Decimal(1), Decimal(100)]),
    st.decimals(min_value=0, max_value=100, places=4),
)
FORMULAS = st.builds(
    Formula,
    alpha=WEIGHTS,
    beta=WEIGHTS,
    message_cap=st.one_of(st.sampled_from([1, 3, 100, 1_000_000]), st.integers(1, 1000)),
    delay_cap_minutes=st.one_of(st.sampled_from([1, 60, 1440, 43_200]), st.integers(1, 3000)),
).filter(lambda formula: formula.alpha or formula.beta)


def message_counts(formula: Formula) -> st.SearchStrategy[int]:
    """Few, many, and the neighbourhood of the cap, beyond it too."""
    cap = formula.message_cap
    return st.one_of(st.integers(0, 4), st.integers(0, 2 * cap), st.sampled_from([cap - 1, cap, cap + 1, 2**31 - 1]))


def waiting_times(formula: Formula) -> st.SearchStrategy[timedelta]:
    """How long ago: ties, the neighbourhood of the delay cap to the microsecond, and the future."""
    cap = formula.delay_cap
    return st.one_of(
        st.integers(0, 5),
        st.sampled_from([0, 1, 60_000_000, cap - 1, cap, cap + 1, 2 * cap, cap + 86_400_000_000, cap + 2 * 86_400_000_000]),
        st.integers(-cap, 3 * cap),
        st.integers(-3 * 86_400_000_000, 5 * 86_400_000_000),
    ).map(lambda microseconds: timedelta(microseconds=microseconds))
