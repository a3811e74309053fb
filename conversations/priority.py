"""The score of a conversation, exact at every instant, once as Python and once as SQL; tests prove them equal.

    score(now) = alpha * min(message_count / message_cap, 1) + beta * min(waited / delay_cap, 1)

with the tenant's weights and caps; waited is now - waits_from, and 0 for a time in the future.

A stored score would go stale. But waiting time grows equally for everybody, so messages are converted into waiting time
once, and stay converted: `credit` is the time of waiting that the messages are worth, alpha/beta * delay_cap *
min(message_count / message_cap, 1), in whole microseconds (9.6 minutes a message with the default weights). Then

    effective(now) = credit + min(waited, delay_cap)        and       score(now) = beta * effective(now) / delay_cap

Order: effective descending, then waits_from, then id. All of it is whole numbers, so that the order is exact, and the
order is that of the score shown. Below the cap the order never changes with time: it is that of `rank` = waits_from -
credit. At the cap (`saturated`) it is that of the credit alone, and rank = -credit. One index over (saturated, rank)
therefore serves both. With beta = 0 waiting counts nothing: credit is delay_cap * min(message_count / message_cap, 1),
rank = -credit, score = alpha * effective / delay_cap.
"""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from tenants.models import Tenant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
WEIGHT_DECIMALS = 10**4  # weights have four decimals: as whole ten-thousandths they are exact
UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))  # the largest of which there are two or more
SHOWN_DECIMALS = 6  # rounding keeps the order: what is shown never contradicts it


def microseconds(instant: datetime) -> int:
    """Whole microseconds since 1970, exact: Postgres' own resolution."""
    return (instant - EPOCH) // MICROSECOND


def spell(duration: int) -> str:
    """Microseconds as people say them: 9.6 minutes, 24 hours, 30 days."""
    seconds = duration / 1_000_000
    if seconds < 1:
        return "less than a second"
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= size * (1 if size == 1 else 2))
    number = f"{seconds / size:.1f}".removesuffix(".0")
    return f"{number} {unit if number == '1' else unit + 's'}"


def _since(waiting_clock: str) -> str:
    return "; waiting counts from the first unanswered message" if waiting_clock == Tenant.WaitingClock.WAITING_SINCE else ""


@dataclass(frozen=True, slots=True)
class Weights:
    """A tenant's weights and caps, in whole numbers. alpha and beta in ten-thousandths, delay_cap in microseconds."""

    alpha: int
    beta: int
    message_cap: int
    delay_cap: int

    @classmethod
    def of(cls, tenant: Tenant) -> "Weights":
        """The weights that a tenant has now."""
        return cls(
            alpha=int(tenant.priority_alpha * WEIGHT_DECIMALS),
            beta=int(tenant.priority_beta * WEIGHT_DECIMALS),
            message_cap=tenant.message_cap,
            delay_cap=tenant.delay_cap_minutes * 60_000_000,
        )

    @property
    def waiting_counts(self) -> int:
        """1, or 0 where beta is 0 and the order is that of the messages alone."""
        return 1 if self.beta else 0

    @property
    def message_worth(self) -> tuple[int, int]:
        """Microseconds of waiting that one message is worth, as a fraction (numerator, denominator)."""
        return (self.alpha * self.delay_cap, self.beta * self.message_cap) if self.beta else (self.delay_cap, self.message_cap)

    def credit(self, message_count: int) -> int:
        """Microseconds of waiting that so many messages are worth, rounded down."""
        numerator, denominator = self.message_worth
        return numerator * min(message_count, self.message_cap) // denominator

    def is_saturated(self, waits_from: datetime, now: datetime) -> bool:
        """Whether waiting any longer adds nothing."""
        return microseconds(now) - microseconds(waits_from) >= self.delay_cap

    def rank(self, credit: int, waits_from: datetime, *, saturated: bool) -> int:
        """The place in the queue's index, lowest first: constant until the next message or the cap."""
        return (0 if saturated else microseconds(waits_from) * self.waiting_counts) - credit

    def effective(self, credit: int, waits_from: datetime, now: datetime) -> int:
        """Microseconds of waiting that messages and waiting amount to at this instant: the order of the queue, highest first."""
        waited = microseconds(now) - microseconds(waits_from)
        return credit + self.waiting_counts * max(0, min(waited, self.delay_cap))

    def score(self, credit: int, waits_from: datetime, now: datetime) -> float:
        """The priority score at this instant, 0 to alpha + beta, as it is shown."""
        return round(
            self.effective(credit, waits_from, now) * (self.beta or self.alpha) / (self.delay_cap * WEIGHT_DECIMALS), SHOWN_DECIMALS
        )

    def shares(self, credit: int, waits_from: datetime, now: datetime) -> tuple[float, float]:
        """What messages and what waiting add to the score that is shown: its two terms, which amount to it exactly."""
        messages = round(credit * (self.beta or self.alpha) / (self.delay_cap * WEIGHT_DECIMALS), SHOWN_DECIMALS)
        return messages, round(self.score(credit, waits_from, now) - messages, SHOWN_DECIMALS)

    def in_words(self, waiting_clock: str) -> str:
        """What these weights mean, for people who choose them."""
        if not self.beta:
            enough = f"{self.message_cap} message{'' if self.message_cap == 1 else 's'}"
            first = f"Whoever sent most messages comes first; after {enough} more add nothing"
            return f"{first}; among equals waiting decides{_since(waiting_clock)}."
        cap = f"after {spell(self.delay_cap)} waiting longer adds nothing{_since(waiting_clock)}"
        if not self.alpha:
            return f"Whoever waits longest comes first; messages count nothing; {cap}."
        numerator, denominator = self.message_worth
        most = self.credit(self.message_cap)
        reach = f"at most {spell(most)} of waiting" if most <= self.delay_cap else "any time of waiting"
        return f"A message counts like {spell(numerator // denominator)} of waiting; a newcomer can overtake {reach}; {cap}."

    @property
    def in_sql(self) -> "InSql":
        """The formulas in SQL, with these weights in their text."""
        numerator, denominator = self.message_worth
        return InSql(
            numerator=numerator,
            denominator=denominator,
            message_cap=self.message_cap,
            delay_cap=self.delay_cap,
            waiting_counts=self.waiting_counts,
            score_numerator=self.beta or self.alpha,
            score_denominator=self.delay_cap * WEIGHT_DECIMALS,
        )

    @property
    def parameters(self) -> dict[str, int]:
        """The weights as parameters of what NAMED spells."""
        return asdict(self.in_sql)


@dataclass(frozen=True, slots=True)
class InSql:
    """The same formulas in SQL. Arguments are SQL expressions; the numbers stand in the text, or are named there."""

    numerator: Any
    denominator: Any
    message_cap: Any
    delay_cap: Any
    waiting_counts: Any
    score_numerator: Any
    score_denominator: Any

    def credit(self, message_count: str) -> str:
        """`credit`. numeric, because the product can pass 2^63; div() is exact and rounds down."""
        return f"div({self.numerator}::numeric * least({message_count}, {self.message_cap}), {self.denominator})::bigint"

    def rank(self, credit: str, waits_from: str, saturated: str) -> str:
        """`rank`."""
        since_epoch = f"(extract(epoch FROM {waits_from}) * 1000000)::bigint"
        return f"(CASE WHEN {saturated} THEN 0 ELSE {self.waiting_counts} * {since_epoch} END - {credit})"

    def effective(self, credit: str, waits_from: str, now: str) -> str:
        """`effective`."""
        waited = f"(extract(epoch FROM {now} - {waits_from}) * 1000000)::bigint"
        return f"({credit} + {self.waiting_counts} * greatest(0, least({waited}, {self.delay_cap})))"

    def score(self, effective: str) -> str:
        """`score`, of an expression for `effective`."""
        return f"round(({effective} * {self.score_numerator})::numeric / {self.score_denominator}, {SHOWN_DECIMALS})"

    @property
    def delay_cap_interval(self) -> str:
        """The delay cap as an interval."""
        return f"({self.delay_cap} * interval '1 microsecond')"


# For statements that serve every tenant: their parameters are `Weights.parameters`. Only the numerator can pass 2^63.
NAMED = InSql(**{field.name: f"%({field.name})s::{'numeric' if field.name == 'numerator' else 'bigint'}" for field in fields(InSql)})
