"""GET /conversations: what the caller may see, filtered, sorted, a page at a time."""

import re
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conftest import Api, Cast
from tests.contract import witness

STATEMENTS = 4  # the tenant of the caller, the caller, the time, the page
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def ids(answer: Any) -> list[int]:
    """Ids of a page, in its order."""
    return [row["id"] for row in answer.data["conversations"]]


def walk(caller: Api, query: str) -> list[int]:
    """Ids of all pages."""
    answer = caller.get(f"/conversations?{query}")
    found = ids(answer)
    while cursor := answer.data["next_cursor"]:
        assert answer.data["has_more"] is True
        answer = caller.get(f"/conversations?{query}&cursor={cursor}")
        found += ids(answer)
    assert answer.data["has_more"] is False
    return found


def some_of_everything(cast: Cast) -> dict[str, int]:
    """One conversation of each kind, by a word for it; those at sales are Olga's alone to see."""
    return {
        "waits": cast.conversation(minutes_ago=50).pk,
        "waits at sales": cast.conversation(minutes_ago=40, inbox=cast.sales).pk,
        "Olga's": witness.held(cast, cast.olga, minutes_ago=30).pk,
        "Otto's": witness.held(cast, cast.otto, minutes_ago=20).pk,
        "resolved": witness.resolved(cast, cast.olga, minutes_ago=10).pk,
    }


# --- the shape ------------------------------------------------------------------------------------


def test_a_conversation_looks_on_the_wire_as_clients_know_it(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga, message_count=7, external_conversation_id="ext_1", customer_phone_number="+1555")
    label = cast.label(name="Urgent", color="#FF0000")
    api(cast.mia).post("/labels/attach", conversation_id=conversation.pk, label_id=label.pk)

    answer = api(cast.olga).get("/conversations")

    assert set(answer.body) == {"status", "data"}
    assert set(answer.data) == {"conversations", "next_cursor", "has_more"}
    [row] = answer.data["conversations"]
    times = {name: row.pop(name) for name in ("last_message_at", "created_at", "updated_at", "waiting_since")}
    assert all(INSTANT.fullmatch(times[name]) for name in ("last_message_at", "created_at", "updated_at"))
    assert INSTANT.fullmatch(row["assignment"].pop("started_at"))
    assert isinstance(row.pop("priority_score"), float)
    assert isinstance(row["assignment"].pop("id"), int)
    assert row == {
        "id": conversation.pk,
        "tenant_id": cast.tenant.pk,
        "inbox_id": cast.support.pk,
        "inbox_name": "Support",
        "external_conversation_id": "ext_1",
        "customer_phone_number": "+1555",
        "state": "ALLOCATED",
        "assigned_operator_id": cast.olga.pk,
        "operator_name": "Olga",
        "message_count": 7,
        "labels": [{"id": label.pk, "name": "Urgent", "color": "#FF0000"}],
        "resolved_at": None,
        "version": 3,
        "assignment": {"operator_id": cast.olga.pk, "source": "claim"},
    }


def test_a_whole_second_keeps_its_microseconds(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()
    witness.change(cast, conversation, last_message_at=conversation.last_message_at.replace(microsecond=0))

    answer = api(cast.olga).get("/conversations")

    assert answer.data["conversations"][0]["last_message_at"].endswith(".000000Z")


def test_no_conversation_is_an_empty_page(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).get("/conversations")

    assert witness.said(answer) == (200, {"status": "success", "data": {"conversations": [], "next_cursor": None, "has_more": False}})


# --- who sees what --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "sees"),
    [
        ("olga", {"waits", "waits at sales", "Olga's", "Otto's", "resolved"}),
        ("otto", {"waits", "Olga's", "Otto's", "resolved"}),
        ("mia", {"waits", "waits at sales", "Olga's", "Otto's", "resolved"}),
        ("ada", {"waits", "waits at sales", "Olga's", "Otto's", "resolved"}),
    ],
)
def test_operators_see_their_inboxes_managers_and_admins_the_tenant(cast: Cast, api: type[Api], caller: str, sees: set[str]) -> None:
    rows = some_of_everything(cast)

    answer = api(getattr(cast, caller)).get("/conversations")

    assert set(ids(answer)) == {rows[word] for word in sees}


def test_an_operator_sees_what_they_hold_at_another_inbox(cast: Cast, api: type[Api]) -> None:
    elsewhere = cast.conversation(inbox=cast.sales)
    cast.conversation(inbox=cast.sales)
    words = {"operator_id": cast.otto.pk, "conversation_id": elsewhere.pk, "force": True, "reason": "Olga is ill"}
    api(cast.mia).post("/conversations/manager-allocate", **words)

    answer = api(cast.otto).get("/conversations")

    assert ids(answer) == [elsewhere.pk]


@pytest.mark.parametrize("sort", ["priority", "newest", "oldest"])
@pytest.mark.parametrize("narrowed", ["inbox_id={support}", "state=QUEUED", "label_id={label}"])
def test_what_they_hold_at_another_inbox_is_narrowed_as_the_rest(cast: Cast, api: type[Api], narrowed: str, sort: str) -> None:
    waiting, elsewhere, label = cast.conversation(), cast.conversation(inbox=cast.sales), cast.label()
    words = {"operator_id": cast.otto.pk, "conversation_id": elsewhere.pk, "force": True, "reason": "Olga is ill"}
    api(cast.mia).post("/conversations/manager-allocate", **words)
    api(cast.mia).post("/labels/attach", conversation_id=waiting.pk, label_id=label.pk)

    answer = api(cast.otto).get(f"/conversations?sort={sort}&{narrowed.format(support=cast.support.pk, label=label.pk)}")

    assert ids(answer) == [waiting.pk]


@pytest.mark.parametrize("caller", ["olga", "mia", "ada"])
def test_the_old_system_had_no_tenant_filter_in_the_list(cast: Cast, neighbours: Cast, api: type[Api], caller: str) -> None:
    some_of_everything(neighbours)

    answer = api(getattr(cast, caller)).get("/conversations")

    assert ids(answer) == []


# --- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "shown"), [("QUEUED", {"waits", "waits at sales"}), ("ALLOCATED", {"Olga's", "Otto's"}), ("RESOLVED", {"resolved"})]
)
def test_filters_by_state(cast: Cast, api: type[Api], state: str, shown: set[str]) -> None:
    rows = some_of_everything(cast)

    answer = api(cast.olga).get(f"/conversations?state={state}")

    assert set(ids(answer)) == {rows[word] for word in shown}


def test_filters_by_inbox_operator_and_label(cast: Cast, api: type[Api]) -> None:
    rows, label = some_of_everything(cast), cast.label()
    api(cast.mia).post("/labels/attach", conversation_id=rows["Otto's"], label_id=label.pk)

    shown = {
        query: ids(api(cast.mia).get(f"/conversations?{query}"))
        for query in (f"inbox_id={cast.sales.pk}", f"operator_id={cast.olga.pk}", f"label_id={label.pk}")
    }

    assert list(shown.values()) == [[rows["waits at sales"]], [rows["Olga's"]], [rows["Otto's"]]]


def test_filters_combine_with_and(cast: Cast, api: type[Api]) -> None:
    rows = some_of_everything(cast)
    mia = api(cast.mia)

    both = mia.get(f"/conversations?inbox_id={cast.support.pk}&state=ALLOCATED&operator_id={cast.otto.pk}")
    none = mia.get(f"/conversations?inbox_id={cast.sales.pk}&state=ALLOCATED")

    assert (ids(both), ids(none)) == ([rows["Otto's"]], [])


def test_an_empty_filter_counts_as_absent(cast: Cast, api: type[Api]) -> None:
    rows = some_of_everything(cast)

    answer = api(cast.mia).get("/conversations?inbox_id=&state=&operator_id=&label_id=&sort=&limit=&cursor=")

    assert set(ids(answer)) == set(rows.values())


def test_an_operators_filter_by_another_inbox_is_forbidden(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.otto).get(f"/conversations?inbox_id={cast.sales.pk}")

    assert witness.said(answer) == witness.NOT_YOUR_INBOX


@pytest.mark.parametrize(("name", "what"), [("inbox_id", "Inbox"), ("operator_id", "Operator"), ("label_id", "Label")])
def test_a_filter_by_what_does_not_exist_is_missing(cast: Cast, api: type[Api], name: str, what: str) -> None:
    answer = api(cast.mia).get(f"/conversations?{name}=987654321")

    assert witness.said(answer) == witness.missing(what)


# --- order and pages ------------------------------------------------------------------------------


def test_sorts_by_the_score_shown_unless_told_otherwise(cast: Cast, api: type[Api]) -> None:
    few_old = cast.conversation(message_count=1, minutes_ago=23 * 60).pk
    many_new = cast.conversation(message_count=100, minutes_ago=1).pk
    few_new = cast.conversation(message_count=1, minutes_ago=2).pk

    default, named = api(cast.mia).get("/conversations"), api(cast.mia).get("/conversations?sort=priority")

    scores = [row["priority_score"] for row in default.data["conversations"]]
    assert ids(default) == ids(named) == [few_old, many_new, few_new]
    assert scores == sorted(scores, reverse=True)


def test_the_old_system_sorted_by_time_and_paged_by_id(cast: Cast, api: type[Api]) -> None:
    by_age = [cast.conversation(minutes_ago=minutes) for minutes in (30, 10, 50, 20, 40)]
    newest_first = [row.pk for row in sorted(by_age, key=lambda row: row.last_message_at, reverse=True)]

    newest, oldest = walk(api(cast.mia), "sort=newest&limit=2"), walk(api(cast.mia), "sort=oldest&limit=2")

    assert newest == newest_first
    assert oldest == newest_first[::-1]


@pytest.mark.parametrize("sort", ["priority", "newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_walk_meets_every_row_once_though_all_are_equal(cast: Cast, api: type[Api], sort: str, limit: int) -> None:
    rows = [cast.conversation(minutes_ago=60) for _ in range(5)]
    for row in rows:
        witness.change(cast, row, last_message_at=rows[0].last_message_at, waits_from=rows[0].waits_from)

    found = walk(api(cast.mia), f"sort={sort}&limit={limit}")

    assert sorted(found) == [row.pk for row in rows]


def test_the_old_systems_cursor_had_no_fractions_of_a_second(cast: Cast, api: type[Api]) -> None:
    rows = [cast.conversation(minutes_ago=60) for _ in range(4)]
    same_second = rows[0].last_message_at.replace(microsecond=0)
    for n, row in enumerate(rows):
        instant = same_second.replace(microsecond=n)
        witness.change(cast, row, last_message_at=instant, waits_from=instant)

    walks = [walk(api(cast.mia), f"sort={sort}&limit=1") for sort in ("oldest", "priority", "newest")]

    expected = [row.pk for row in rows]
    assert walks == [expected, expected, expected[::-1]]


def test_a_walk_keeps_its_filters(cast: Cast, api: type[Api]) -> None:
    rows = some_of_everything(cast)
    more = cast.conversation(minutes_ago=5).pk

    found = walk(api(cast.mia), f"limit=1&state=QUEUED&inbox_id={cast.support.pk}")

    assert found == [rows["waits"], more]


def test_a_walk_by_priority_is_pinned_to_its_first_page(cast: Cast, api: type[Api]) -> None:
    for minutes in (50, 40, 30):
        cast.conversation(minutes_ago=minutes)
    mia = api(cast.mia)
    whole = mia.get("/conversations?limit=3").data["conversations"]

    first = mia.get("/conversations?limit=1")
    cursor = first.data["next_cursor"]
    second, again = mia.get(f"/conversations?limit=1&cursor={cursor}"), mia.get(f"/conversations?limit=1&cursor={cursor}")

    assert second.body == again.body
    assert ids(second) == [whole[1]["id"]]


def test_the_cursor_starts_with_what_old_clients_know(cast: Cast, api: type[Api]) -> None:
    cast.conversation(minutes_ago=30)
    cast.conversation(minutes_ago=20)

    answer = api(cast.mia).get("/conversations?limit=1")

    [last] = answer.data["conversations"]
    parts = answer.data["next_cursor"].split("|")
    assert parts[:3] == [str(last["priority_score"]), last["last_message_at"], str(last["id"])]


def test_pages_hold_20_rows_unless_told_otherwise_and_100_at_most(cast: Cast, api: type[Api]) -> None:
    for _ in range(101):
        cast.conversation()
    mia = api(cast.mia)

    sizes = [len(ids(mia.get(path))) for path in ("/conversations", "/conversations?limit=1", "/conversations?limit=100")]

    assert sizes == [20, 1, 100]


def test_the_last_page_that_is_exactly_full_has_no_next(cast: Cast, api: type[Api]) -> None:
    cast.conversation()
    cast.conversation()

    answer = api(cast.mia).get("/conversations?limit=2")

    assert (len(ids(answer)), answer.data["has_more"], answer.data["next_cursor"]) == (2, False, None)


def test_scores_on_a_page_fall(cast: Cast, api: type[Api]) -> None:
    for n in range(12):
        cast.conversation(message_count=(n * 37) % 101, minutes_ago=(n * 211) % 3000)

    rows = api(cast.mia).get("/conversations?limit=100").data["conversations"]

    assert all(one["priority_score"] >= next_["priority_score"] for one, next_ in pairwise(rows))


# --- a cursor grants nothing ----------------------------------------------------------------------


def test_another_tenants_cursor_shows_nothing_of_theirs(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    for minutes in (50, 40, 30):
        neighbours.conversation(minutes_ago=minutes)
    own = cast.conversation(minutes_ago=20).pk
    cursor = api(neighbours.mia).get("/conversations?limit=1").data["next_cursor"]

    answer = api(cast.mia).get(f"/conversations?cursor={cursor}")

    assert ids(answer) == [own]


def test_a_managers_cursor_shows_an_operator_no_more_than_their_own(cast: Cast, api: type[Api]) -> None:
    cast.conversation(minutes_ago=50, inbox=cast.sales)
    cast.conversation(minutes_ago=40, inbox=cast.sales)
    visible = cast.conversation(minutes_ago=30).pk
    cursor = api(cast.mia).get("/conversations?limit=1").data["next_cursor"]

    answer = api(cast.otto).get(f"/conversations?cursor={cursor}")

    assert ids(answer) == [visible]


@pytest.mark.parametrize("query", ["sort=newest", "sort=oldest", "state=QUEUED"])
def test_a_cursor_belongs_to_its_sort_and_filters(cast: Cast, api: type[Api], query: str) -> None:
    cast.conversation()
    cast.conversation()
    cursor = api(cast.mia).get("/conversations?limit=1").data["next_cursor"]
    if query.startswith("sort"):
        cursor = "|".join([*cursor.split("|")[1:3], cursor.split("|")[-1]])

    answer = api(cast.mia).get(f"/conversations?{query}&cursor={cursor}")

    assert witness.said(answer) == witness.invalid(cursor='"cursor" belongs to another sort, other filters or other weights')


def test_a_walk_by_priority_ends_with_the_weights_it_began_under(cast: Cast, api: type[Api]) -> None:
    for _ in range(2):
        cast.conversation()
    by_priority, by_time = (api(cast.mia).get(f"/conversations?limit=1&sort={sort}").data["next_cursor"] for sort in ("priority", "newest"))
    api(cast.ada).call("PATCH", "/tenant", {"priority_alpha": 0.7})

    answers = [
        api(cast.mia).get(f"/conversations?sort={sort}&cursor={at}") for sort, at in (("priority", by_priority), ("newest", by_time))
    ]

    assert witness.said(answers[0]) == witness.invalid(cursor='"cursor" belongs to another sort, other filters or other weights')
    assert answers[1].status == 200


# --- what a page costs ----------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["priority", "newest", "oldest"])
@pytest.mark.parametrize("caller", ["otto", "olga", "mia", "ada"])
def test_a_page_of_sixty_asks_the_database_as_often_as_one_of_three(cast: Cast, api: type[Api], caller: str, sort: str) -> None:
    label = cast.label()
    for n in range(60):
        row = witness.held(cast, cast.otto, minutes_ago=n) if n in (0, 59) else cast.conversation(minutes_ago=n)
        api(cast.mia).post("/labels/attach", conversation_id=row.pk, label_id=label.pk)
    asked = []

    for limit in (3, 60):
        with CaptureQueriesContext(connection) as queries:
            answer = api(getattr(cast, caller)).get(f"/conversations?sort={sort}&limit={limit}")
        assert len(ids(answer)) == limit
        asked.append(len([query for query in queries if "SAVEPOINT" not in query["sql"] and "app.tenant_id =" not in query["sql"]]))

    assert asked == [STATEMENTS, STATEMENTS]
