"""The audit stays append-only: what the two functions that forget a customer let through, and nothing else."""

from typing import Any

import pytest
from psycopg import errors

from conversations import erasure
from conversations.models import Conversation
from tenants import eventlog, isolation
from tenants.models import Event
from tests.conftest import Cast
from tests.conversations.test_erasure import NUMBER, noted
from tests.tenants.test_row_level_security import ask, refused

STAND_IN = "+999123456789012"
EVERYTHING = 2**62


def log_of(cast: Cast) -> list[dict[str, Any]]:
    """The whole event log of a tenant."""
    with isolation.act_as(cast.tenant.pk):
        return [dict(event) for event in Event.objects.order_by("pk").values()]


def erase_number(cast: Cast, country: str, digits: str, stand_in: str = STAND_IN) -> int:
    """The function itself, as SQL in the API's name can call it."""
    with isolation.act_as(cast.tenant.pk):
        return int(ask("SELECT erase_number(%s, %s, %s, 0, %s)", country, digits, stand_in, EVERYTHING)[0][0])


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET cause = 'x'", "DELETE FROM events", "UPDATE events SET before = '{}' WHERE false"]
)
def test_an_event_is_neither_changed_nor_removed(cast: Cast, statement: str) -> None:
    noted(cast)

    with isolation.act_as(cast.tenant.pk):
        problem = refused(statement)

    assert isinstance(problem, errors.InsufficientPrivilege)


def test_reasons_stay_while_the_customer_is_not_forgotten(cast: Cast) -> None:
    row = noted(cast)
    before = log_of(cast)

    with isolation.act_as(cast.tenant.pk):
        answer = ask("SELECT erase_words(%s)", [row.pk])

    assert answer == [(0,)]
    assert log_of(cast) == before


def test_only_reasons_and_texts_change_by_it(cast: Cast) -> None:
    noted(cast)
    before = log_of(cast)

    erasure.erase_contact(cast.tenant.pk, NUMBER)

    after = log_of(cast)[: len(before)]
    same = ("id", "transaction", "kind", "subject_type", "subject_id", "actor_id", "at", "tenant_id")
    assert [[event[name] for name in same] for event in after] == [[event[name] for name in same] for event in before]
    assert [event["before"].keys() | event["after"].keys() for event in after] == [
        event["before"].keys() | event["after"].keys() for event in before
    ]


@pytest.mark.parametrize(
    ("country", "digits"),
    [("1", ".*"), ("", ""), ("1", "202555"), ("12345", "2025550123"), ("", "1" * 16), (".", "2025550123"), ("1", "[0-9]{9}")],
)
def test_what_is_no_number_erases_nothing(cast: Cast, country: str, digits: str) -> None:
    noted(cast)
    before = log_of(cast)

    assert erase_number(cast, country, digits) == 0
    assert log_of(cast) == before


@pytest.mark.parametrize("words", ["", "nobody", "+12025550124", "+999", "+9991234567890123", r"\&", "+99912345678901x"])
def test_nothing_but_a_stand_in_takes_its_place(cast: Cast, words: str) -> None:
    noted(cast)
    before = log_of(cast)

    assert erase_number(cast, "1", "2025550123", words) == 0
    assert log_of(cast) == before


def test_the_functions_stay_within_the_bound_tenant_and_do_nothing_without_one(cast: Cast, neighbours: Cast) -> None:
    row = noted(neighbours)
    with isolation.act_as(neighbours.tenant.pk):
        Conversation.objects.filter(pk=row.pk).update(customer_phone_number=STAND_IN)
    before = log_of(neighbours)

    outside = [ask("SELECT erase_words(%s)", [row.pk]), ask("SELECT erase_number('1', '2025550123', %s, 0, %s)", STAND_IN, EVERYTHING)]
    with isolation.act_as(cast.tenant.pk):
        within = ask("SELECT erase_words(%s)", [row.pk])

    assert (outside, within, erase_number(cast, "1", "2025550123")) == ([[(0,)], [(0,)]], [(0,)], 0)
    assert log_of(neighbours) == before
    with isolation.act_as(neighbours.tenant.pk):  # the control: there is something to erase
        assert ask("SELECT erase_words(%s)", [row.pk]) != [(0,)]


def test_a_second_look_finds_no_number_though_digits_of_a_time_are_like_it(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        eventlog.append("x", cast.tenant, after={"at": "2026-01-05T12:00:00.000000Z", "number": 120260105})

    assert [erase_number(cast, "49", "20260105") for _ in range(2)] == [0, 0]
