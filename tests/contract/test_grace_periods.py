"""/grace-periods: who keeps what while they are away, for how long still, and what a manager may say to that."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from convalloc import clock
from conversations import allocation, expiry, grace
from conversations.models import Assignment, GracePeriod
from operators.models import Status
from tenants import inboxes, isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST
from tests.conversations import invariants


def act(api: Api, what: str, period: GracePeriod, **body: Any) -> Answer:
    """Extend, or expire now."""
    return api.call("POST", f"/grace-periods/{period.pk}/{what}", body, **REQUEST)


def move_deadline(cast: Cast, period: GracePeriod, **by: float) -> None:
    """Into the past, or further off."""
    with isolation.act_as(cast.tenant.pk):
        earlier = {"opened_at": period.opened_at - timedelta(days=1), "expires_at": period.expires_at + timedelta(**by)}
        GracePeriod.objects.filter(pk=period.pk).update(**earlier)


def test_lists_who_keeps_what_and_for_how_long_the_nearest_deadline_first(cast: Cast, api: type[Api]) -> None:
    later, sooner = witness.kept(cast, cast.olga), witness.kept(cast, cast.otto)
    move_deadline(cast, sooner, minutes=-5)

    answer = api(cast.mia).get("/grace-periods")

    assert [row["id"] for row in answer.data] == [sooner.pk, later.pk]
    row = answer.data[0]
    assert (row["conversation_id"], row["operator_id"], row["operator_name"]) == (sooner.conversation_id, cast.otto.pk, cast.otto.name)
    assert (row["inbox_id"], row["inbox_name"], row["reason"]) == (cast.support.pk, cast.support.name, "offline")
    assert 9 * 60 < row["seconds_left"] < 10 * 60
    assert (answer.body["meta"]["count"], answer.body["meta"]["has_more"], answer.body["meta"]["next_cursor"]) == (2, False, None)


def test_nobody_away_is_an_empty_list(cast: Cast, api: type[Api]) -> None:
    witness.held(cast, cast.olga)

    assert api(cast.mia).get("/grace-periods").data == []


def test_what_is_due_has_no_seconds_left_until_the_clock_takes_it(cast: Cast, api: type[Api]) -> None:
    period = witness.kept(cast, cast.otto)
    move_deadline(cast, period, minutes=-20)

    assert [row["seconds_left"] for row in api(cast.mia).get("/grace-periods").data] == [0.0]
    expiry.expire_due()
    assert api(cast.mia).get("/grace-periods").data == []


def test_pages_meet_every_period_once(cast: Cast, api: type[Api]) -> None:
    ids = [witness.kept(cast, cast.operator()).pk for _ in range(7)]
    with isolation.act_as(cast.tenant.pk):
        GracePeriod.objects.update(expires_at=GracePeriod.objects.get(pk=ids[0]).expires_at)  # all at once: the id decides
    met, cursor = [], ""

    for _ in range(4):
        answer = api(cast.mia).get(f"/grace-periods?limit=2&cursor={quote(cursor)}")
        met += [row["id"] for row in answer.data]
        cursor = answer.body["meta"]["next_cursor"] or ""

    assert met == ids
    assert cursor == ""


def test_of_one_operator_alone(cast: Cast, api: type[Api]) -> None:
    witness.kept(cast, cast.olga)
    mine = witness.kept(cast, cast.otto)

    answer = api(cast.mia).get(f"/grace-periods?operator_id={cast.otto.pk}")

    assert [row["id"] for row in answer.data] == [mine.pk]
    assert witness.said(api(cast.mia).get("/grace-periods?operator_id=987654")) == witness.missing("Operator")


def test_of_one_inbox_alone(cast: Cast, api: type[Api]) -> None:
    witness.kept(cast, cast.olga)
    witness.subscribe(cast, cast.otto, cast.sales)
    there = witness.kept(cast, cast.otto, inbox=cast.sales)

    answer = api(cast.mia).get(f"/grace-periods?inbox_id={cast.sales.pk}")

    assert [row["id"] for row in answer.data] == [there.pk]


def test_a_cursor_of_another_list_is_refused(cast: Cast, api: type[Api]) -> None:
    for _ in range(2):
        witness.kept(cast, cast.operator())
    cursor = api(cast.mia).get("/grace-periods?limit=1").body["meta"]["next_cursor"]

    answer = api(cast.mia).get(f"/grace-periods?limit=1&operator_id={cast.otto.pk}&cursor={quote(cursor)}")

    assert witness.said(answer) == witness.invalid(cursor='"cursor" belongs to another sort, other filters or other weights')


@pytest.mark.parametrize("periods", [1, 9])
def test_a_list_asks_the_database_as_often_whatever_its_length(cast: Cast, api: type[Api], periods: int) -> None:
    for _ in range(periods):
        witness.kept(cast, cast.operator())

    with CaptureQueriesContext(connection) as queries:
        answer = api(cast.mia).get("/grace-periods")

    assert len(answer.data) == periods
    asked = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"] and "app.tenant_id =" not in query["sql"]]
    assert len(asked) == 4  # whose tenant; who calls; the rows; the time


# --- longer ---------------------------------------------------------------------------------------


def test_extending_moves_the_deadline_and_says_why(cast: Cast, api: type[Api]) -> None:
    period = witness.kept(cast, cast.otto)

    with witness.appended(cast) as events:
        answer = act(api(cast.mia), "extend", period, minutes=30, reason="on the train")

    later = period.expires_at + timedelta(minutes=30)
    assert (answer.status, answer.body["message"]) == (200, "Grace period extended successfully")
    assert answer.data["expires_at"] == clock.instant(later)
    before, after = {"expires_at": clock.instant(period.expires_at)}, {"expires_at": clock.instant(later)}
    assert events == [witness.event("grace.extended", period, cast.mia, before, after, cause="on the train")]


def test_what_is_overdue_is_extended_from_now(cast: Cast, api: type[Api]) -> None:
    period = witness.kept(cast, cast.otto)
    move_deadline(cast, period, minutes=-60)

    answer = act(api(cast.mia), "extend", period, minutes=10)

    assert 9 * 60 < answer.data["seconds_left"] <= 10 * 60
    assert expiry.expire_due() == expiry.Counts()


@pytest.mark.parametrize("minutes", [0, -1, 10_081, 1.5, "soon", None, True])
def test_no_other_time_than_a_minute_to_a_week(cast: Cast, api: type[Api], minutes: Any) -> None:
    period = witness.kept(cast, cast.otto)

    with witness.untouched(cast):
        answer = act(api(cast.mia), "extend", period, minutes=minutes)

    assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (400, ["minutes"])


@pytest.mark.parametrize("away", [timedelta(days=91), datetime.max.replace(tzinfo=UTC) - datetime.now(UTC) - timedelta(days=1)])
def test_however_often_it_is_extended_somebody_waits_for_three_months_at_most(cast: Cast, api: type[Api], away: timedelta) -> None:
    period = witness.kept(cast, cast.otto)
    move_deadline(cast, period, days=away.days)

    with witness.untouched(cast):
        answer = act(api(cast.mia), "extend", period, minutes=2 * 1440)

    assert (answer.status, answer.body["code"]) == (409, "grace_too_long")


# --- at once --------------------------------------------------------------------------------------


def test_expiring_now_returns_it_with_its_whole_waiting_time(cast: Cast, api: type[Api]) -> None:
    period = witness.kept(cast, cast.otto, minutes_ago=12 * 60)

    with witness.appended(cast) as events:
        answer = act(api(cast.mia), "expire-now", period, reason="ill")

    assert (answer.status, answer.body["message"]) == (200, "Conversation returned to the queue")
    assert (answer.data["id"], answer.data["state"], answer.data["assignment"]) == (period.conversation_id, "QUEUED", None)
    assert answer.data["priority_score"] == pytest.approx(0.4 * 0.01 + 0.6 * 0.5, abs=1e-3)
    assert [(event["kind"], event["actor_id"], event["cause"]) for event in events] == [
        ("conversation.requeued", cast.mia.pk, "ill"),
        ("grace.expired", cast.mia.pk, "expired"),
    ]
    with isolation.act_as(cast.tenant.pk):
        assert Assignment.objects.get(pk=period.assignment_id).end_reason == "grace_expired"
    invariants.assert_all(cast)


@pytest.mark.parametrize("what", ["extend", "expire-now"])
@pytest.mark.parametrize("end", ["returned", "expired"])
def test_an_ended_period_is_neither_extended_nor_ended_again(cast: Cast, api: type[Api], what: str, end: str) -> None:
    period = witness.kept(cast, cast.otto)
    if end == "returned":
        with isolation.act_as(cast.tenant.pk):
            grace.change_status(cast.otto.pk, Status.AVAILABLE, cast.tenant)
    else:
        act(api(cast.ada), "expire-now", period)

    with witness.untouched(cast):
        answer = act(api(cast.mia), what, period, **({"minutes": 5} if what == "extend" else {}))

    message = f"The grace period has ended already: {end}"
    assert witness.said(answer) == witness.refusal(409, "grace_ended", message, end_reason=end)


def test_whoever_says_it_twice_is_answered_the_same_and_nothing_changes(cast: Cast, api: type[Api]) -> None:
    period = witness.kept(cast, cast.otto)
    first = act(api(cast.mia), "expire-now", period, reason="ill")

    with witness.untouched(cast):
        again = act(api(cast.mia), "expire-now", period, reason="ill")

    assert (again.status, again.data["id"], again.data["version"]) == (200, first.data["id"], first.data["version"])


def test_what_was_handed_out_since_is_a_conflict_also_for_whoever_said_it(cast: Cast, api: type[Api]) -> None:
    period = witness.kept(cast, cast.otto)
    act(api(cast.mia), "expire-now", period)
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.olga.pk, period.conversation_id)

    with witness.untouched(cast):
        answer = act(api(cast.mia), "expire-now", period)

    assert answer.status == 409


@pytest.mark.parametrize("what", ["extend", "expire-now"])
def test_no_such_period(cast: Cast, api: type[Api], what: str) -> None:
    answer = act(api(cast.mia), what, GracePeriod(pk=987654), **({"minutes": 5} if what == "extend" else {}))

    assert witness.said(answer) == witness.missing("Grace period")


# --- how long it is -------------------------------------------------------------------------------


def test_an_inbox_may_have_a_time_of_its_own(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        inboxes.change(cast.support.pk, grace_period_minutes=3)
    witness.subscribe(cast, cast.otto, cast.sales)
    elsewhere = witness.held(cast, cast.otto, inbox=cast.sales)

    here = witness.kept(cast, cast.otto)

    with isolation.act_as(cast.tenant.pk):
        there = GracePeriod.objects.get(conversation_id=elsewhere.pk)
    assert here.expires_at - here.opened_at == timedelta(minutes=3)
    assert there.expires_at - there.opened_at == timedelta(minutes=15)
