"""GET and POST /conversations/search: by a customer's phone number, newest first."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness

PHONE = "+19876543210"


def ids(answer: Any) -> list[int]:
    """Ids of what was found, in its order."""
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.data]


@pytest.mark.parametrize("spelling", ["%2B19876543210", "+19876543210", "%2019876543210", "19876543210", "%252B19876543210"])
def test_the_old_systems_search_failed_because_a_plus_decodes_to_a_space(cast: Cast, api: type[Api], spelling: str) -> None:
    conversation = cast.conversation(customer_phone_number=PHONE)
    cast.conversation(customer_phone_number="+19876543211")

    answer = api(cast.olga).get(f"/conversations/search?phone_number={spelling}")

    assert ids(answer) == [conversation.pk]


@pytest.mark.parametrize("spelling", [PHONE, "19876543210", " 19876543210", "%2B19876543210", 19876543210])
def test_by_post_the_number_stays_out_of_the_url(cast: Cast, api: type[Api], spelling: Any) -> None:
    conversation = cast.conversation(customer_phone_number=PHONE)

    answer = api(cast.olga).post("/conversations/search", phone_number=spelling)

    assert ids(answer) == [conversation.pk]


def test_a_number_stored_without_its_plus_is_found_too(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation(customer_phone_number="19876543210")

    answer = api(cast.olga).get(f"/conversations/search?phone_number={quote(PHONE)}")

    assert ids(answer) == [conversation.pk]


def test_matches_exactly(cast: Cast, api: type[Api]) -> None:
    cast.conversation(customer_phone_number=PHONE)

    answers = [api(cast.olga).get(f"/conversations/search?phone_number={part}") for part in ("1987654321", "198765432100", "%25", "_" * 11)]

    assert [ids(answer) for answer in answers] == [[]] * 4


def test_the_newest_comes_first_whatever_the_state(cast: Cast, api: type[Api]) -> None:
    old = cast.conversation(customer_phone_number=PHONE, minutes_ago=600)
    new = witness.resolved(cast, cast.olga, customer_phone_number=PHONE, minutes_ago=1)
    middle = witness.held(cast, cast.olga, customer_phone_number=PHONE, minutes_ago=60)

    answer = api(cast.mia).get(f"/conversations/search?phone_number={quote(PHONE)}")

    assert ids(answer) == [new.pk, middle.pk, old.pk]
    assert answer.body["meta"]["count"] == 3
    assert (answer.body["meta"]["next_cursor"], answer.body["meta"]["has_more"]) == (None, False)


def test_a_hit_looks_as_in_the_list(cast: Cast, api: type[Api]) -> None:
    cast.conversation(customer_phone_number=PHONE)

    answer = api(cast.mia).post("/conversations/search", phone_number=PHONE)

    [listed] = api(cast.mia).get("/conversations").data["conversations"]
    assert answer.data[0] | {"priority_score": 0} == listed | {"priority_score": 0}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_like_the_list(cast: Cast, api: type[Api], method: str) -> None:
    rows = [cast.conversation(customer_phone_number=PHONE, minutes_ago=minutes).pk for minutes in (10, 20, 30, 40, 50)]
    found: list[int] = []
    words: dict[str, Any] = {"phone_number": PHONE, "limit": 2}

    while True:
        query = "&".join(f"{name}={quote(str(value))}" for name, value in words.items())
        mia = api(cast.mia)
        answer = mia.get(f"/conversations/search?{query}") if method == "GET" else mia.post("/conversations/search", **words)
        found += ids(answer)
        if not answer.body["meta"]["has_more"]:
            break
        words["cursor"] = answer.body["meta"]["next_cursor"]

    assert found == rows


def test_a_cursor_belongs_to_its_number(cast: Cast, api: type[Api]) -> None:
    for _ in range(2):
        cast.conversation(customer_phone_number=PHONE)
    cursor = api(cast.mia).post("/conversations/search", phone_number=PHONE, limit=1).body["meta"]["next_cursor"]

    answer = api(cast.mia).post("/conversations/search", phone_number="+1555", cursor=cursor)

    assert witness.said(answer) == witness.invalid(cursor='"cursor" belongs to another sort, other filters or other weights')


def test_an_operator_finds_only_what_they_may_see(cast: Cast, api: type[Api]) -> None:
    visible = cast.conversation(customer_phone_number=PHONE)
    cast.conversation(customer_phone_number=PHONE, inbox=cast.sales)

    answer = api(cast.otto).post("/conversations/search", phone_number=PHONE)

    assert ids(answer) == [visible.pk]


@pytest.mark.parametrize("caller", ["olga", "mia", "ada"])
def test_another_tenants_customer_is_nobody(cast: Cast, neighbours: Cast, api: type[Api], caller: str) -> None:
    neighbours.conversation(customer_phone_number=PHONE)

    answer = api(getattr(cast, caller)).post("/conversations/search", phone_number=PHONE)

    assert ids(answer) == []


def test_needs_the_number(cast: Cast, api: type[Api]) -> None:
    answers = [api(cast.olga).get("/conversations/search"), api(cast.olga).post("/conversations/search")]

    assert [witness.said(answer) for answer in answers] == [witness.required("phone_number")] * 2


@pytest.mark.parametrize("number", ["", " ", "+", " + ", "%2B", "%20"])
def test_a_number_has_digits_beside_its_plus(cast: Cast, api: type[Api], number: str) -> None:
    answer = api(cast.olga).post("/conversations/search", phone_number=number)

    assert witness.said(answer) == witness.invalid(phone_number='"phone_number" is not allowed to be empty')


@pytest.mark.parametrize("number", ["%2500", "%00", "1%2500"])
def test_a_nul_is_refused_however_it_is_spelled(cast: Cast, api: type[Api], number: str) -> None:
    answer = api(cast.olga).get(f"/conversations/search?phone_number={number}")

    assert witness.said(answer) == witness.invalid(phone_number='"phone_number" must not contain NUL')


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("1" * 41, '"phone_number" must be at most 40 characters long'),
        (None, '"phone_number" must not be null'),
        (True, '"phone_number" must be text'),
        (["+1"], '"phone_number" must be text'),
        ({"a": 1}, '"phone_number" must be text'),
    ],
)
def test_a_number_is_a_short_text(cast: Cast, api: type[Api], number: Any, message: str) -> None:
    answer = api(cast.olga).post("/conversations/search", phone_number=number)

    assert witness.said(answer) == witness.invalid(phone_number=message)


def test_limit_and_cursor_are_checked_as_in_the_list(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/conversations/search", phone_number=PHONE, limit=0, cursor="x" * 401)

    assert answer.status == 400
    assert set(answer.fields) == {"limit", "cursor"}
