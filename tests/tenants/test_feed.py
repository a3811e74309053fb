"""Following the log: pages of what is wanted, positions as text, from now on; at the same cost at any depth, and nothing skipped."""

import os
import time
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext

from tenants import eventlog, isolation
from tenants.errors import BadPosition
from tenants.models import Event
from tests.conftest import Cast, assemble
from tests.conversations.test_plans import executed, indexes
from tests.tenants.test_eventlog import write, writer

MANY = """
    INSERT INTO events (tenant_id, kind, subject_type, subject_id, conversation_id, cause, before, after, request_id)
    SELECT current_setting('app.tenant_id')::bigint, CASE WHEN mod(n, 400) = 0 THEN 'rare' ELSE 'frequent' END, 'conversation',
           1 + mod(n, 500), 1 + mod(n, 500), '', '{}', '{}', '' FROM generate_series(1, %s) n
"""


TALKATIVE = """
    INSERT INTO events (tenant_id, kind, subject_type, subject_id, conversation_id, cause, before, after, request_id)
    SELECT current_setting('app.tenant_id')::bigint, 'frequent', 'conversation', 999, 999, '', '{}', '{}', '' FROM generate_series(1, 2000)
"""


def fill(cast: Cast, rows: int, transactions: int = 20) -> None:
    """So many events, in so many transactions, all of them final; with statistics."""
    for _ in range(transactions):
        with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
            cursor.execute(MANY, [rows // transactions])
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE events")
    wait_until_final(cast)


def wait_until_final(cast: Cast) -> None:
    """Until all that was told may be read: other tests' transactions on this server hold the reader back."""
    with isolation.act_as(cast.tenant.pk):
        last = Event.objects.latest("transaction", "id").transaction
    deadline = time.monotonic() + 20
    while eventlog.end()[0] < last:
        assert time.monotonic() < deadline, "an older transaction has not ended"
        time.sleep(0.02)


def walk(cast: Cast, **wish: Any) -> list[Event]:
    """Page after page, to the end."""
    found, after, more = list[Event](), eventlog.BEGINNING, True
    while more:
        with isolation.act_as(cast.tenant.pk):
            page = eventlog.page(after, **wish)
        assert page.next_after > after
        found, after, more = [*found, *page.events], page.next_after, page.has_more
    return found


@pytest.mark.parametrize("wish", [{"limit": 1000}, {"limit": 3, "kinds": ["rare"]}, {"limit": 7, "conversation_id": 5}])
@pytest.mark.usefixtures("committed")
def test_a_walk_meets_what_is_wanted_once_and_in_order(wish: dict[str, Any]) -> None:
    cast = assemble()
    fill(cast, 12_000)

    found = [event.pk for event in walk(cast, **wish)]

    which = Q(kind="rare") if "kinds" in wish else Q(conversation_id=5) if "conversation_id" in wish else Q()
    with isolation.act_as(cast.tenant.pk):
        assert found == list(Event.objects.filter(which).order_by("transaction", "id").values_list("pk", flat=True))
    assert found


@pytest.mark.usefixtures("committed")
def test_a_page_that_finds_nothing_in_its_window_says_where_to_go_on() -> None:
    cast = assemble()
    fill(cast, 12_000)

    with isolation.act_as(cast.tenant.pk):
        page = eventlog.page(kinds=["none of these"])

    assert (page.events, page.has_more) == ([], True)
    assert eventlog.BEGINNING < page.next_after < eventlog.end()


@pytest.mark.parametrize("wish", [{}, {"kinds": ["rare"]}, {"which": Q(holder_id=7)}])
@pytest.mark.usefixtures("committed")
def test_a_page_costs_the_same_however_deep_it_is(wish: dict[str, Any]) -> None:
    cast = assemble()
    fill(cast, 40_000)
    with isolation.act_as(cast.tenant.pk):
        deep = eventlog.position(Event.objects.order_by("transaction", "id")[30_000])

    plans = [executed(cast, lambda: eventlog.page(after, **wish), of="events") for after in (eventlog.BEGINNING, deep)]  # noqa: B023

    read = [sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) for node in plan if "Index Name" in node) for plan in plans]
    assert max(read) <= 2 * (eventlog.WINDOW if wish else 101)
    assert [indexes(plan) for plan in plans] == [{"event_position"}] * 2


@pytest.mark.usefixtures("committed")
def test_one_conversations_page_reads_that_conversation_alone() -> None:
    cast = assemble()
    fill(cast, 40_000)
    with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
        cursor.execute(TALKATIVE)  # one that has much to tell, all of it late: a walk in the log's order would meet it at the end
    fill(cast, 20)

    plan = executed(cast, lambda: eventlog.page(conversation_id=999), of="events")

    assert indexes(plan) == {"event_by_conversation"}
    assert sum(node["Actual Rows"] for node in plan if "Index Name" in node) <= 2000


@pytest.mark.parametrize("wish", [{}, {"kinds": ["rare"]}, {"conversation_id": 5}])
def test_a_page_takes_two_statements(cast: Cast, wish: dict[str, Any]) -> None:
    with isolation.act_as(cast.tenant.pk), CaptureQueriesContext(connection) as asked:
        eventlog.page(**wish)

    assert len([query for query in asked if "events" in query["sql"] or "snapshot" in query["sql"]]) == 2


@pytest.mark.usefixtures("committed")
def test_whoever_starts_now_hears_of_what_is_committed_later_and_of_nothing_else() -> None:
    cast = assemble()
    fill(cast, 20)

    with writer(cast.tenant.pk) as slow:
        write(slow, "slow")
        with isolation.act_as(cast.tenant.pk):
            now = eventlog.end()
        with writer(cast.tenant.pk) as fast:
            write(fast, "fast")
        with isolation.act_as(cast.tenant.pk):
            while_slow_runs = eventlog.page(now)
        slow.commit()

    found, after, deadline = list[str](), now, time.monotonic() + 20
    while len(found) < 2 and time.monotonic() < deadline:
        with isolation.act_as(cast.tenant.pk):
            page = eventlog.page(after)
        found, after = found + [event.kind for event in page.events], page.next_after
    assert (while_slow_runs.events, while_slow_runs.has_more) == ([], False)
    assert found == ["slow", "fast"]


def test_a_position_is_read_as_it_was_spelled() -> None:
    for place in (eventlog.BEGINNING, (7345, 123), (eventlog.BIGGEST, eventlog.BIGGEST)):
        assert eventlog.parse(eventlog.spell(place)) == place


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "1-", "-1-1", "1--1", "01-1", "1-1 ", "1-1\n", "１-1", "1_0-1", "+1-1", "1-9223372036854775808", "9" * 20 + "-1"],  # noqa: RUF001
)
def test_what_the_log_never_spelled_is_refused(text: str) -> None:
    with pytest.raises(BadPosition):
        eventlog.parse(text)


def own_transaction() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("wish", [{}, {"conversation_id": 5}])
def test_a_position_that_the_log_has_not_reached_is_refused(cast: Cast, wish: dict[str, Any]) -> None:
    with isolation.act_as(cast.tenant.pk):
        assert eventlog.page(eventlog.end(), **wish).events == []

        with pytest.raises(BadPosition):  # of this very transaction, which is not over: others may end at any moment
            eventlog.page((own_transaction(), 0), **wish)


def test_an_event_is_told_in_one_shape(cast: Cast) -> None:
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk, "request-1"):
        eventlog.append("conversation.labelled", row, before={"label_ids": []}, after={"label_ids": [3]}, cause="urgent")
        event = Event.objects.get(kind="conversation.labelled")

    told = eventlog.as_told(event)

    assert told == {
        "id": event.pk,
        "position": f"{event.transaction}-{event.pk}",
        "kind": "conversation.labelled",
        "at": event.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "subject": {"type": "conversation", "id": row.pk},
        "conversation_id": row.pk,
        "inbox_id": cast.support.pk,
        "actor_id": cast.mia.pk,
        "cause": "urgent",
        "before": {"label_ids": []},
        "after": {"label_ids": [3]},
        "request_id": "request-1",
    }
