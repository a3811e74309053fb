"""The score three ways: the product's Python, the product's SQL as PostgreSQL computes it, and exact rationals."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations.priority import Weights
from tenants.models import Tenant
from tests.conversations.formula import FORMULAS, Formula, message_counts, waiting_times

BOUNDED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ROUNDING = Fraction(1, 2 * 10**6)  # half of the last digit shown
FLOAT = Fraction(1, 10**12)


@st.composite
def queues(draw: st.DrawFn) -> tuple[Formula, datetime, list[tuple[int, datetime]]]:
    """Weights, an instant, and a few conversations as (messages, waiting since)."""
    formula = draw(FORMULAS)
    now = draw(INSTANTS)
    rows = draw(st.lists(st.tuples(message_counts(formula), waiting_times(formula)), min_size=2, max_size=8))
    return formula, now, [(messages, now - waited) for messages, waited in rows]


def evaluated(weights: Weights, rows: list[tuple[int, datetime]], now: datetime, *, saturated: bool) -> list[tuple[int, int, int, float]]:
    """(credit, rank, effective, score) of each row, computed by PostgreSQL."""
    credit, effective = weights.in_sql.credit("n"), weights.in_sql.effective("credit", "waits_from", "now")
    statement = (
        f"SELECT credit, {weights.in_sql.rank('credit', 'waits_from', 'saturated')}, effective, {weights.in_sql.score('effective')}"
        f" FROM (SELECT *, {effective} AS effective FROM (SELECT *, {credit} AS credit FROM"
        "  unnest(%s::int[], %s::timestamptz[]) WITH ORDINALITY AS u(n, waits_from, at_place),"
        "  (SELECT %s::timestamptz AS now, %s AS saturated) AS fixed) AS credited) AS q ORDER BY at_place"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [[n for n, _ in rows], [waits_from for _, waits_from in rows], now, saturated])
        return [(int(credit), int(rank), int(effective), float(score)) for credit, rank, effective, score in cursor.fetchall()]


@BOUNDED
@given(queue=queues(), saturated=st.booleans())
def test_python_and_sql_agree_to_the_microsecond(db: None, queue: Any, saturated: bool) -> None:
    formula, now, rows = queue
    weights = Weights.of(formula.tenant)

    by_sql = evaluated(weights, rows, now, saturated=saturated)

    for (messages, waits_from), (credit, rank, effective, score) in zip(rows, by_sql, strict=True):
        assert credit == weights.credit(messages)
        assert rank == weights.rank(credit, waits_from, saturated=saturated)
        assert effective == weights.effective(credit, waits_from, now)
        assert score == pytest.approx(weights.score(credit, waits_from, now), abs=1.01e-6)  # they round halves differently


@BOUNDED
@given(queue=queues())
def test_the_score_shown_is_the_formula_of_the_definition(queue: Any) -> None:
    formula, now, rows = queue
    weights = Weights.of(formula.tenant)

    for messages, waits_from in rows:
        credit = weights.credit(messages)
        shown = Fraction(weights.score(credit, waits_from, now))

        assert weights.effective(credit, waits_from, now) == formula.effective(messages, waits_from, now)
        assert abs(shown - formula.score(messages, waits_from, now)) <= ROUNDING + formula.a_microsecond + FLOAT


@BOUNDED
@given(queue=queues())
def test_the_order_never_contradicts_the_formula_nor_the_score_shown(queue: Any) -> None:
    formula, now, rows = queue
    weights = Weights.of(formula.tenant)
    placed = [
        (weights.effective(weights.credit(n), since, now), weights.score(weights.credit(n), since, now), formula.score(n, since, now))
        for n, since in rows
    ]

    for (effective, shown, exact), (other_effective, other_shown, other_exact) in combinations(placed, 2):
        if exact - other_exact > formula.a_microsecond:
            assert effective > other_effective
        if effective >= other_effective:
            assert shown >= other_shown
        else:
            assert shown <= other_shown


@BOUNDED
@given(queue=queues(), later=st.integers(0, 5 * 86_400_000_000))
def test_below_the_cap_rank_keeps_the_order_of_the_score_at_every_later_instant(queue: Any, later: int) -> None:
    formula, now, rows = queue
    weights, instant = Weights.of(formula.tenant), now + timedelta(microseconds=later)
    counted = [(weights.credit(n), since) for n, since in rows if since <= now and not weights.is_saturated(since, instant)]

    for one, other in combinations(counted, 2):
        ahead = weights.rank(*one, saturated=False) - weights.rank(*other, saturated=False)
        assert ahead == weights.effective(*other, instant) - weights.effective(*one, instant)


@BOUNDED
@given(formula=FORMULAS, data=st.data())
def test_every_value_fits_the_bigint_columns(formula: Formula, data: st.DataObject) -> None:
    messages = data.draw(message_counts(formula))
    weights, now = Weights.of(formula.tenant), datetime(2200, 1, 1, tzinfo=UTC)
    credit = weights.credit(messages)

    products = (credit, weights.rank(credit, now, saturated=False), (credit + weights.delay_cap) * (weights.beta or weights.alpha))

    assert all(-(2**63) <= value < 2**63 for value in products)


def test_said_to_a_manager_each_message_counts_like_nine_point_six_minutes() -> None:
    weights = Weights.of(Formula(Decimal("0.4"), Decimal("0.6"), message_cap=100, delay_cap_minutes=1440).tenant)

    assert timedelta(microseconds=weights.credit(1)) == timedelta(minutes=9.6)
    assert timedelta(microseconds=weights.credit(100)) == timedelta(hours=16)
    assert weights.credit(101) == weights.credit(100)


USUAL = {"priority_alpha": "0.4", "priority_beta": "0.6"}
SINCE = Tenant.WaitingClock.WAITING_SINCE
LAST = Tenant.WaitingClock.LAST_MESSAGE
WORDS: list[tuple[dict[str, Any], str, str]] = [
    (
        {},
        LAST,
        "A message counts like 9.6 minutes of waiting; a newcomer can overtake at most 16 hours of waiting; "
        "after 24 hours waiting longer adds nothing.",
    ),
    (
        {"delay_cap_minutes": 60, "message_cap": 1, "priority_alpha": "0.5", "priority_beta": "0.5"},
        SINCE,
        "A message counts like 60 minutes of waiting; a newcomer can overtake at most 60 minutes of waiting; "
        "after 60 minutes waiting longer adds nothing; waiting counts from the first unanswered message.",
    ),
    (
        {"priority_alpha": 100, "priority_beta": 1, "delay_cap_minutes": 43_200},
        LAST,
        "A message counts like 30 days of waiting; a newcomer can overtake any time of waiting; after 30 days waiting longer adds nothing.",
    ),
    (
        {"priority_alpha": "0.0001", "priority_beta": 100, "delay_cap_minutes": 1},
        LAST,
        "A message counts like less than a second of waiting; a newcomer can overtake at most less than a second of waiting; "
        "after 60 seconds waiting longer adds nothing.",
    ),
    ({"priority_alpha": 0}, LAST, "Whoever waits longest comes first; messages count nothing; after 24 hours waiting longer adds nothing."),
    (
        {"priority_beta": 0},
        LAST,
        "Whoever sent most messages comes first; after 100 messages more add nothing; among equals waiting decides.",
    ),
    (
        {"priority_beta": 0, "message_cap": 1},
        SINCE,
        "Whoever sent most messages comes first; after 1 message more add nothing; among equals waiting decides; "
        "waiting counts from the first unanswered message.",
    ),
]


@pytest.mark.parametrize(("settings", "waiting_clock", "words"), WORDS)
def test_weights_say_in_words_what_they_mean(settings: dict[str, Any], waiting_clock: str, words: str) -> None:
    weights: dict[str, Any] = {name: Decimal(settings.get(name, usual)) for name, usual in USUAL.items()}
    tenant = Tenant(**settings | weights)

    assert Weights.of(tenant).in_words(waiting_clock) == words
