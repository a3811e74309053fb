"""Phone numbers: one spelling in the database, any spelling in a search, four digits in a log."""

import logging
from typing import Any
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client

from convalloc import logs, phones
from convalloc.phones import NotANumber
from tests.conftest import Api, Cast

SPELLINGS = ["+1 (202) 555-0123", "+1-202-555-0123", "+1.202.555.0123", "001 202 555 0123", " +12025550123 ", "+１２０２５５５０１２３"]  # noqa: RUF001


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_a_number_has_one_spelling(spelled: str) -> None:
    assert phones.e164(spelled) == "+12025550123"


@pytest.mark.parametrize(("spelled", "kept"), [("+44 (0)20 7946 0958", "+442079460958"), ("+39 06 698 12345", "+390669812345")])
def test_the_prefix_for_calls_within_a_country_is_none_of_it_where_the_country_has_one(spelled: str, kept: str) -> None:
    assert phones.e164(spelled) == kept


@pytest.mark.parametrize("spelled", ["+1234567890", "+1234567891", "+19876543210", "+111111111111111"])
def test_a_number_that_no_plan_has_stays_digit_by_digit(spelled: str) -> None:
    assert phones.e164(spelled) == spelled


@pytest.mark.parametrize("spelled", ["", "+", "12025550123", "020 7946 0958", "+999123456", "+1", "+1202555012x", "+1 202 555 0123 ext. 5"])
def test_what_names_no_country_or_no_number_is_refused(spelled: str) -> None:
    with pytest.raises(NotANumber):
        phones.e164(spelled)


def test_e164_has_fifteen_digits_at_most() -> None:
    with pytest.raises(NotANumber):
        phones.e164("+1234567890123456")


@pytest.mark.parametrize("spelled", ["55512", "whatsapp:anna", "12025550123", ""])
def test_what_a_messaging_system_calls_a_number_and_is_none_is_kept_as_it_is(spelled: str) -> None:
    assert phones.kept(spelled) == spelled


# --- where they come in ---------------------------------------------------------------------------


def test_a_customers_number_is_kept_as_e164(cast: Cast) -> None:
    assert cast.conversation(customer_phone_number="+1 (202) 555-0123").customer_phone_number == "+12025550123"


@pytest.mark.parametrize("spelled", [*SPELLINGS[:5], "1 202 555 0123", "1-202-555-0123", "%2B1 202 555 0123"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_search_finds_the_number_however_it_is_spelled(cast: Cast, api: type[Api], spelled: str, method: str) -> None:
    row = cast.conversation(customer_phone_number="+12025550123")
    mia = api(cast.mia)

    if method == "GET":
        answer = mia.get(f"/conversations/search?phone_number={quote(spelled)}")
    else:
        answer = mia.post("/conversations/search", phone_number=spelled)

    assert [found["id"] for found in answer.data] == [row.pk]


# --- in the log -----------------------------------------------------------------------------------

MASKED = {
    "a call from +1234567890 came": "a call from +1***7890 came",
    "+44 20 7946 0958, +12025550123": "+44***0958, +1***0123",
    "GET /search?phone_number=%2B12025550123&limit=2": "GET /search?phone_number=+1***0123&limit=2",
    "GET /search?phone_number=12025550123 HTTP/1.1": "GET /search?phone_number=+1***0123 HTTP/1.1",
    "GET /search?phone_number=%252B1": "GET /search?phone_number=***",
    "{'customer_phone_number': '+1 (202) 555-0123', 'id': 7}": "{'customer_phone_number': '+1***0123', 'id': 7}",
    "Key (tenant_id, phone_number)=(1, +12025550123) already exists": "Key (tenant_id, phone_number)=(1, +1***0123) already exists",
}
KEPT = ["2026-01-05T12:00:00.000000+00:00 1234567", "took 12025550123 ns", "tenant 12, 3 rows", "1 + 2 = 3", "%2B", "phone"]


@pytest.mark.parametrize(("text", "masked"), MASKED.items())
def test_of_a_number_the_log_has_the_country_and_four_digits(text: str, masked: str) -> None:
    assert phones.masked(text) == masked


@pytest.mark.parametrize("text", KEPT)
def test_what_is_no_phone_number_stays(text: str) -> None:
    assert phones.masked(text) == text


class Heard(logging.Handler):
    """A handler that somebody adds, and forgets every filter."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def heard() -> Any:
    handler = Heard()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_no_line_has_a_number_whoever_writes_it_and_to_wherever(heard: Heard) -> None:
    logging.getLogger("somebody.elses").warning("call %s for %s", "+12025550123", {"phone_number": "+1 202 555 0123"})

    assert heard.lines == ["call +1***0123 for {'phone_number': '+1***0123'}"]


def test_a_trace_has_none_either(heard: Heard) -> None:
    def fail() -> None:
        raise ValueError("Key (phone_number)=(+12025550123)")

    try:
        fail()
    except ValueError:
        logging.getLogger("somebody.elses").exception("it failed", stack_info=True)

    (told,) = heard.lines
    assert "+1***0123" in told
    assert "Traceback" in told
    assert "2025550" not in told


def test_a_search_leaves_no_number_in_the_log(cast: Cast, api: type[Api], heard: Heard) -> None:
    api(cast.olga).get("/conversations/search?phone_number=%2B12025550123&limit=0")
    Client().get("/api/v1/no/such/route?phone_number=%2B12025550123")

    assert len(heard.lines) >= 2
    assert "2025550" not in "".join(heard.lines)


def test_the_log_is_set_up_so_in_every_process() -> None:
    assert settings.LOGGING_CONFIG == "convalloc.logs.configure"
    assert logging.getLogRecordFactory() is logs.DiscreetRecord
