"""GET /operators/{id}/presence: time in each status within a window, and the periods that it is made of."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from convalloc import clock
from conversations import grace
from operators.models import Operator, PresencePeriod, Status
from tenants import eventlog, isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def lived(cast: Cast, operator: Operator, *stretches: tuple[str, float], until: datetime = NOON) -> None:
    """The operator's history is these stretches, status and hours, up to an instant; and from then on OFFLINE."""
    start = until - sum((hours for _, hours in stretches), 0.0) * HOUR
    with isolation.act_as(cast.tenant.pk):
        PresencePeriod.objects.filter(operator_id=operator.pk).delete()
        for status, hours in stretches:
            row = PresencePeriod.objects.create(operator=operator, status=status, started_at=start, ended_at=start + hours * HOUR)
            start = row.ended_at or start
        PresencePeriod.objects.create(operator=operator, status="OFFLINE", reason="went home", actor=cast.mia, started_at=until)


def between(api: Api, operator: Operator, since: datetime, until: datetime, **more: Any) -> Answer:
    """The presence between two instants."""
    words = {"from": clock.instant(since), "to": clock.instant(until), **more}
    return api.get(f"/operators/{operator.pk}/presence?" + "&".join(f"{name}={quote(str(value))}" for name, value in words.items()))


def told(answer: Answer) -> list[tuple[str, str, str | None, float]]:
    """The periods: status, beginning, end, seconds."""
    return [(row["status"], row["started_at"], row["ended_at"], row["seconds"]) for row in answer.data["periods"]]


def test_tells_the_seconds_of_each_status_and_the_periods_cut_to_the_window(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.olga, ("AVAILABLE", 4), ("AWAY", 1), ("AVAILABLE", 3))

    answer = between(api(cast.olga), cast.olga, NOON - 5 * HOUR, NOON + HOUR)

    assert answer.status == 200
    assert answer.data["seconds"] == {"AVAILABLE": 4 * 3600, "AWAY": 3600, "OFFLINE": 3600}
    assert told(answer) == [
        ("OFFLINE", "2026-01-05T12:00:00.000000Z", "2026-01-05T13:00:00.000000Z", 3600),
        ("AVAILABLE", "2026-01-05T09:00:00.000000Z", "2026-01-05T12:00:00.000000Z", 3 * 3600),
        ("AWAY", "2026-01-05T08:00:00.000000Z", "2026-01-05T09:00:00.000000Z", 3600),
        ("AVAILABLE", "2026-01-05T07:00:00.000000Z", "2026-01-05T08:00:00.000000Z", 3600),
    ]
    assert (answer.data["next_cursor"], answer.data["has_more"]) == (None, False)
    assert [(row["reason"], row["actor_id"]) for row in answer.data["periods"]][:2] == [("went home", cast.mia.pk), ("", None)]


def test_the_last_24_hours_unless_told_otherwise_and_what_goes_on_has_no_end(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.olga, ("AVAILABLE", 8))

    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/presence")

    window = datetime.fromisoformat(answer.data["to"]) - datetime.fromisoformat(answer.data["from"])
    assert window == timedelta(hours=24)
    assert answer.data["seconds"] == {"AVAILABLE": 0, "AWAY": 0, "OFFLINE": 24 * 3600}
    assert told(answer) == [("OFFLINE", answer.data["from"], None, 24 * 3600)]


def test_each_change_ends_a_period_and_begins_the_next_with_its_reason_and_its_author(cast: Cast, api: type[Api]) -> None:
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk):
        grace.change_status(cast.olga.pk, Status.AWAY, cast.tenant, reason="fire drill")
        grace.change_status(cast.olga.pk, Status.AWAY, cast.tenant, reason="said twice")
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="AVAILABLE")

    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/presence")

    shown = [(row["status"], row["reason"], row["actor_id"]) for row in answer.data["periods"]]
    assert shown == [("AVAILABLE", "", cast.olga.pk), ("AWAY", "fire drill", cast.mia.pk), ("AVAILABLE", "", None)]
    newest, middle, first = answer.data["periods"]
    assert (newest["ended_at"], newest["started_at"], middle["started_at"]) == (None, middle["ended_at"], first["ended_at"])
    status = api(cast.olga).get(f"/operators/{cast.olga.pk}/status").data["status"]
    assert status["last_status_change_at"] == newest["started_at"]


def test_what_lies_before_the_history_counts_for_no_status(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.olga, ("AVAILABLE", 1))

    before = between(api(cast.olga), cast.olga, NOON - 5 * HOUR, NOON - 2 * HOUR)
    across = between(api(cast.olga), cast.olga, NOON - 5 * HOUR, NOON)

    assert (before.data["seconds"], before.data["periods"]) == ({"AVAILABLE": 0, "AWAY": 0, "OFFLINE": 0}, [])
    assert across.data["seconds"] == {"AVAILABLE": 3600, "AWAY": 0, "OFFLINE": 0}


def test_what_has_not_come_yet_is_left_out(cast: Cast, api: type[Api]) -> None:
    now = datetime.now(UTC)

    answer = between(api(cast.olga), cast.olga, now - HOUR, now + 24 * HOUR)

    assert datetime.fromisoformat(answer.data["to"]) < now + HOUR
    assert answer.data["periods"][0]["ended_at"] is None
    assert sum(answer.data["seconds"].values()) < 3600


def test_a_window_may_cut_the_one_period_that_spans_it_and_half_a_second_counts(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.olga, ("AVAILABLE", 8))

    answer = between(api(cast.olga), cast.olga, NOON - 2 * HOUR, NOON - 2 * HOUR + timedelta(milliseconds=500))

    assert answer.data["seconds"] == {"AVAILABLE": 0.5, "AWAY": 0, "OFFLINE": 0}
    assert len(answer.data["periods"]) == 1


def test_periods_that_only_touch_the_window_are_not_in_it(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.olga, ("AVAILABLE", 1), ("AWAY", 1), ("AVAILABLE", 1))

    answer = between(api(cast.olga), cast.olga, NOON - 2 * HOUR, NOON - HOUR)

    assert [row["status"] for row in answer.data["periods"]] == ["AWAY"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_a_walk_meets_every_period_once_and_every_page_tells_the_seconds_of_the_whole_window(
    cast: Cast, api: type[Api], limit: int
) -> None:
    lived(cast, cast.olga, *[("AVAILABLE", 0.5), ("AWAY", 0), ("OFFLINE", 0.25)] * 3)
    everything = between(api(cast.olga), cast.olga, NOON - 2 * HOUR, NOON)

    pages = [between(api(cast.olga), cast.olga, NOON - 2 * HOUR, NOON, limit=limit)]
    while cursor := pages[-1].data["next_cursor"]:
        pages.append(between(api(cast.olga), cast.olga, NOON - 2 * HOUR, NOON, limit=limit, cursor=cursor))

    assert [row for page in pages for row in page.data["periods"]] == everything.data["periods"]
    assert {str(page.data["seconds"]) for page in pages} == {str(everything.data["seconds"])}
    assert [page.data["has_more"] for page in pages] == [True] * (len(pages) - 1) + [False]
    assert sum(everything.data["seconds"].values()) == 2 * 3600


def test_a_walk_without_a_window_stays_in_that_of_its_first_page(cast: Cast, api: type[Api]) -> None:
    for status in ("AWAY", "AVAILABLE"):
        api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status=status)
    address = f"/operators/{cast.olga.pk}/presence?limit=2"

    first = api(cast.olga).get(address)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="AWAY")
    second = api(cast.olga).get(f"{address}&cursor={quote(first.data['next_cursor'])}")

    assert (second.data["from"], second.data["to"]) == (first.data["from"], first.data["to"])
    assert [row["status"] for row in first.data["periods"] + second.data["periods"]] == ["AVAILABLE", "AWAY", "AVAILABLE"]


def test_ninety_two_days_of_flapping_are_pages_of_at_most_a_hundred_and_one_sum(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.olga, *[("AVAILABLE", 0.5), ("OFFLINE", 0.5)] * (24 * 92))

    answer = between(api(cast.olga), cast.olga, NOON - timedelta(days=92), NOON, limit=100)

    assert answer.data["seconds"] == {"AVAILABLE": 92 * 12 * 3600, "AWAY": 0, "OFFLINE": 92 * 12 * 3600}
    assert (len(answer.data["periods"]), answer.data["has_more"]) == (100, True)


def test_a_long_history_is_asked_as_few_statements_as_a_short_one(cast: Cast, api: type[Api]) -> None:
    asked = []
    for stretches in (1, 300):
        lived(cast, cast.olga, *[("AVAILABLE", 0.01)] * stretches)
        with CaptureQueriesContext(connection) as queries:
            between(api(cast.olga), cast.olga, NOON - HOUR, NOON)
        asked.append(len([query for query in queries if "presence_periods" in query["sql"]]))

    assert asked == [2, 2]


# --- who asks ---------------------------------------------------------------------------------------


def test_a_manager_sees_everybody_s_and_an_operator_only_their_own(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.otto, ("AWAY", 1))

    theirs = between(api(cast.mia), cast.otto, NOON - HOUR, NOON)
    refused = between(api(cast.olga), cast.otto, NOON - HOUR, NOON)

    assert (theirs.data["operator_id"], theirs.data["seconds"]["AWAY"]) == (cast.otto.pk, 3600)
    assert witness.said(refused) == witness.OTHERS_WORK


def test_asking_changes_nothing(cast: Cast, api: type[Api]) -> None:
    with witness.untouched(cast):
        api(cast.mia).get(f"/operators/{cast.otto.pk}/presence")


# --- what is no window ------------------------------------------------------------------------------

NO_TIME = "must be a time such as 2026-01-05T12:00:00Z"
HOSTILE = [
    "yesterday",
    "2026-01-05",
    "2026-01-05T12:00:00",
    "2026-01-05 12:00:00Z",
    "2026-13-05T12:00:00Z",
    "2026-02-30T12:00:00Z",
    "2026-01-05T24:00:00Z",
    "2026-01-05T12:00:60Z",
    "2026-01-05T12:00:00.1234567Z",
    "2026-01-05T12:00:00%2B99:00",
    "20260105T120000Z",
    "2026-W01-1T12:00:00Z",
    "0001-01-01T00:00:00%2B14:00",
    "9999-12-31T23:59:59-14:00",
    "1767614400",
    "-1",
    "infinity",
    "now()",
    "%00",
    "%FF",
    "2026-01-05T12:00:00Z%00",
    "%D9%A2%D9%A0%D9%A2%D9%A6-01-05T12:00:00Z",
    "9" * 5000,
]


@pytest.mark.parametrize("field", ["from", "to"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: value[:30])
def test_what_is_no_time_is_400_and_names_the_field(cast: Cast, api: type[Api], field: str, value: str) -> None:
    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/presence?{field}={value}")

    assert witness.said(answer) == witness.invalid(**{field: f'"{field}" {NO_TIME}'})


@pytest.mark.parametrize(
    "spelled", ["2026-01-05T12:00:00Z", "2026-01-05T14:00:00%2B02:00", "2026-01-05T14:00:00+02:00", "2026-01-05T12:00:00.0Z"]
)
def test_a_time_may_have_an_offset_and_its_plus_may_arrive_as_a_space(cast: Cast, api: type[Api], spelled: str) -> None:
    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/presence?to={spelled}")

    assert (answer.data["from"], answer.data["to"]) == ("2026-01-04T12:00:00.000000Z", "2026-01-05T12:00:00.000000Z")


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        ("2026-01-05T12:00:00Z", "2026-01-05T12:00:00Z", 'must lie before "to"'),
        ("2026-01-05T13:00:00Z", "2026-01-05T12:00:00Z", 'must lie before "to"'),
        ("2026-01-01T00:00:00Z", "2026-04-03T00:00:01Z", 'must lie at most 92 days before "to"'),
        ("2020-01-01T00:00:00Z", "", 'must lie at most 92 days before "to"'),
        ("2099-01-01T00:00:00Z", "", "must lie in the past"),
        ("2099-01-01T00:00:00Z", "2099-01-02T00:00:00Z", "must lie in the past"),
    ],
)
def test_a_window_runs_forward_for_at_most_92_days(cast: Cast, api: type[Api], since: str, until: str, message: str) -> None:
    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/presence?from={since}&to={until}")

    assert witness.said(answer) == witness.invalid(**{"from": f'"from" {message}'})


@pytest.mark.parametrize("words", ["limit=0", "limit=101", "limit=x", "cursor=garbage", f"cursor={'x' * 500}", "cursor=%00"])
def test_what_is_no_page_is_400(cast: Cast, api: type[Api], words: str) -> None:
    answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/presence?{words}")

    assert (answer.status, list(answer.fields)) == (400, [words.partition("=")[0]])


def test_a_cursor_belongs_to_its_operator_and_window_and_cannot_be_stretched(cast: Cast, api: type[Api]) -> None:
    lived(cast, cast.olga, ("AVAILABLE", 1), ("AWAY", 1))
    cursor = between(api(cast.mia), cast.olga, NOON - 2 * HOUR, NOON, limit=1).data["next_cursor"]
    stretched = cursor.replace("2026-01-05T10:00:00.000000Z", "2001-01-05T10:00:00.000000Z", 1)

    others = [
        between(api(cast.mia), cast.otto, NOON - 2 * HOUR, NOON, cursor=cursor),
        between(api(cast.mia), cast.olga, NOON - HOUR, NOON, cursor=cursor),
    ]
    longer = between(api(cast.mia), cast.olga, NOON - 2 * HOUR, NOON, cursor=stretched)

    assert [answer.fields for answer in others] == [{"cursor": '"cursor" belongs to another sort, other filters or other weights'}] * 2
    assert longer.fields == {"from": '"from" must lie at most 92 days before "to"'}
