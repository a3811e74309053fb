"""GET /conversations: what is malformed is 400 and names the field, never 500."""

from urllib.parse import quote

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness

NOT_OURS = witness.invalid(cursor='"cursor" is not one that this endpoint gave')
NO_NUMBER = '"limit" must be a whole number'


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("0", '"limit" must be at least 1'),
        ("-1", '"limit" must be at least 1'),
        ("101", '"limit" must be at most 100'),
        ("99999999999999999999", '"limit" must be at most 100'),
        ("9" * 5000, NO_NUMBER),
        ("abc", NO_NUMBER),
        ("1e3", NO_NUMBER),
        ("5.0", NO_NUMBER),
        ("1_0", NO_NUMBER),
        ("+5", NO_NUMBER),
        ("\N{ARABIC-INDIC DIGIT FIVE}", NO_NUMBER),
        ("true", NO_NUMBER),
        ("NaN", NO_NUMBER),
        ("inf", NO_NUMBER),
        ("[5]", NO_NUMBER),
        ("\0", NO_NUMBER),
    ],
)
def test_a_limit_is_a_whole_number_from_1_to_100(cast: Cast, api: type[Api], limit: str, message: str) -> None:
    answer = api(cast.olga).get(f"/conversations?limit={quote(limit)}")

    assert witness.said(answer) == witness.invalid(limit=message)


@pytest.mark.parametrize("name", ["inbox_id", "operator_id", "label_id"])
@pytest.mark.parametrize(
    "value",
    [
        "abc",
        "0",
        "-1",
        "1.0",
        "1e3",
        "1_0",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "true",
        "NaN",
        "inf",
        "1e999999",
        "9223372036854775808",
        "9" * 5000,
        "\0",
        "[1]",
        "{}",
    ],
)
def test_a_filter_takes_an_id_in_digits(cast: Cast, api: type[Api], name: str, value: str) -> None:
    answer = api(cast.mia).get(f"/conversations?{name}={quote(value)}")

    assert witness.said(answer) == witness.invalid(**{name: f'"{name}" must be an id'})


@pytest.mark.parametrize("state", ["queued", "WAITING", "null", "\0", "QUEUED,ALLOCATED", "1"])
def test_a_state_is_one_of_three(cast: Cast, api: type[Api], state: str) -> None:
    answer = api(cast.olga).get(f"/conversations?state={quote(state)}")

    assert witness.said(answer) == witness.invalid(state='"state" must be one of QUEUED, ALLOCATED, RESOLVED')


@pytest.mark.parametrize("sort", ["PRIORITY", "-newest", "id", "priority,newest", "\0"])
def test_a_sort_is_one_of_three(cast: Cast, api: type[Api], sort: str) -> None:
    answer = api(cast.olga).get(f"/conversations?sort={quote(sort)}")

    assert witness.said(answer) == witness.invalid(sort='"sort" must be one of priority, newest, oldest')


@pytest.mark.parametrize("query", ["limit=%FF", "state=%FF%FE", "inbox_id=%C3%28", "cursor=%FF", "sort=%ED%A0%80"])
def test_broken_utf_8_is_400(cast: Cast, api: type[Api], query: str) -> None:
    answer = api(cast.olga).get(f"/conversations?{query}")

    assert answer.status == 400
    assert list(answer.fields) == [query.split("=")[0]]


def test_of_a_repeated_parameter_the_last_one_counts(cast: Cast, api: type[Api]) -> None:
    waiting = cast.conversation()

    last_is_good = api(cast.olga).get("/conversations?limit=abc&limit=5&state=RESOLVED&state=QUEUED")
    last_is_bad = api(cast.olga).get("/conversations?limit=5&limit=abc")

    assert [row["id"] for row in last_is_good.data["conversations"]] == [waiting.pk]
    assert witness.said(last_is_bad) == witness.invalid(limit=NO_NUMBER)


# --- cursors --------------------------------------------------------------------------------------

GARBAGE = ["x", "|", "||||||", "0.5|2024-01-01|1", "a|b|c|d|e|f|g", "null", "MTIz", "'; DROP TABLE conversations; --"]


@pytest.mark.parametrize("sort", ["priority", "newest", "oldest"])
@pytest.mark.parametrize("cursor", GARBAGE)
def test_garbage_is_no_cursor(cast: Cast, api: type[Api], sort: str, cursor: str) -> None:
    answer = api(cast.olga).get(f"/conversations?sort={sort}&cursor={quote(cursor)}")

    assert answer.status == 400
    assert list(answer.fields) == ["cursor"]


def test_a_cursor_has_a_length(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).get(f"/conversations?cursor={'9' * 401}")

    assert witness.said(answer) == witness.invalid(cursor='"cursor" must be at most 400 characters long')


def test_a_cursor_holds_no_nul(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).get("/conversations?cursor=%00")

    assert witness.said(answer) == witness.invalid(cursor='"cursor" must not contain NUL')


SCORE, TIMES, NUMBERS = 0, (1, 3, 5), (2, 4)
FORGED = [
    *((SCORE, text) for text in ("nan", "inf", "-inf", "1e999", "1_0", "\N{ARABIC-INDIC DIGIT FIVE}", "", "1. 0", "0x1", "00.5")),
    *(
        (place, text)
        for place in NUMBERS
        for text in (
            "9223372036854775808",
            "-9223372036854775809",
            "1.5",
            "1e3",
            "1_0",
            "\N{ARABIC-INDIC DIGIT FIVE}",
            "",
            "007",
            "--1",
            "+1",
        )
    ),
    *(
        (place, text)
        for place in TIMES
        for text in (
            "",
            "now",
            "2024-01-01",
            "2024-01-01T00:00:00Z",
            "0001-01-01T00:00:00.000000+2359",
            "9999-12-31T23:59:59.999999-2359",
            "99999-01-01T00:00:00.000000Z",
            "-2024-01-01T00:00:00.000000Z",
            "2024-01-01T00:00:00.000000+00:00",
            "2024-01-01T00:00:00.000000+00:00:30.5",
            "2024-02-30T00:00:00.000000Z",
            "\N{ARABIC-INDIC DIGIT TWO}024-01-01T00:00:00.000000Z",
            "infinity",
        )
    ),
]


@pytest.mark.parametrize(("place", "text"), FORGED)
def test_a_forged_part_of_a_genuine_cursor_is_refused(cast: Cast, api: type[Api], place: int, text: str) -> None:
    for minutes in (30, 20, 10):
        cast.conversation(minutes_ago=minutes)
    parts = api(cast.mia).get("/conversations?limit=1").data["next_cursor"].split("|")
    parts[place] = text

    answer = api(cast.mia).get(f"/conversations?limit=1&cursor={quote('|'.join(parts))}")

    assert witness.said(answer) == NOT_OURS


@pytest.mark.parametrize("year", ["1000", "1969", "9999"])
@pytest.mark.parametrize("sort", ["priority", "newest", "oldest"])
def test_a_cursor_from_a_far_year_is_a_place_like_any_other(cast: Cast, api: type[Api], sort: str, year: str) -> None:
    for minutes in (30, 20, 10):
        cast.conversation(minutes_ago=minutes)
    genuine = api(cast.mia).get(f"/conversations?limit=1&sort={sort}").data["next_cursor"].split("|")
    forged = [f"{year}{part[4:]}" if part.endswith("Z") else part for part in genuine]

    answer = api(cast.mia).get(f"/conversations?limit=1&sort={sort}&cursor={quote('|'.join(forged))}")

    assert answer.status == 200, answer.body


@pytest.mark.parametrize("number", ["9223372036854775807", "-9223372036854775808", "0", "-1"])
def test_the_biggest_numbers_of_a_cursor_are_numbers_like_any_other(cast: Cast, api: type[Api], number: str) -> None:
    cast.conversation()
    cast.conversation()
    parts = api(cast.mia).get("/conversations?limit=1").data["next_cursor"].split("|")
    parts[2] = parts[4] = number

    answer = api(cast.mia).get(f"/conversations?limit=1&cursor={quote('|'.join(parts))}")

    assert answer.status == 200, answer.body
