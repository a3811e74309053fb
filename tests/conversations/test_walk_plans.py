"""Every list, in every sort, under every filter: exact, and found through indexes, a page's worth of rows, however deep it stands."""

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import product
from typing import Any, NamedTuple

import psycopg
import pytest
from django.db import connection

from convalloc import clock
from convalloc.api import cursors
from conversations import queue
from conversations.api.filters import ConversationFilter
from conversations.api.pages import SORTS, Page, page
from conversations.models import Conversation
from conversations.priority import Weights
from conversations.walk import Walk
from operators.models import Operator
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations.test_plans import executed, rows_read, walks

# Four days against a cap of one; nine tenths in one inbox. Of what crossed the cap, the last tick has flagged all but a few,
# and a few are flagged that it should not have; a few are from the future.
CROWD = """
    INSERT INTO conversations (tenant_id, inbox_id, external_conversation_id, customer_phone_number, state, assigned_operator_id,
                               message_count, last_message_at, waits_from, credit, rank, saturated, priority_score, version, resolved_at)
    SELECT %(tenant)s, CASE WHEN mod(n, 11) = 0 THEN %(sales)s ELSE %(support)s END, 'crowd ' || n, '+1' || n, state,
           CASE WHEN state = 'ALLOCATED' THEN CASE WHEN mod(n, 1000) = 40 THEN %(otto)s ELSE %(olga)s END END,
           messages, since, since, credit, {rank}, flagged, 0, 1, CASE WHEN state = 'RESOLVED' THEN now() END
      FROM (SELECT *, {credit} AS credit, (n > 7500) <> (mod(n, 500) = 1) AS flagged FROM (
               SELECT n, mod(n * 7, 30) AS messages, now() - (n / 2 - 20) * interval '23 seconds' AS since,
                      CASE WHEN mod(n, 20) = 0 THEN 'ALLOCATED' WHEN mod(n, 20) < 7 THEN 'RESOLVED' ELSE 'QUEUED' END AS state
                 FROM generate_series(1, 30000) n) a) b
"""
WEAR = """
    INSERT INTO conversation_labels (tenant_id, conversation_id, label_id, inbox_id)
    SELECT tenant_id, id, %s, inbox_id FROM conversations
     WHERE tenant_id = %s AND inbox_id = %s AND mod(substr(external_conversation_id, 7)::int, %s) = 1
"""
LIMIT = 10
PLACES = 6  # two inboxes, three states
PAGE = PLACES * (2 * (LIMIT + 1) + 100) + LIMIT  # two heads each, and the strays
RARE = 200  # more than wear the rare label
READ_BY_ONE_PLACE = 100
STATES = [None, "QUEUED", "ALLOCATED", "RESOLVED"]


class Crowd(NamedTuple):
    """Thirty thousand conversations, and what one may narrow them to."""

    cast: Cast
    filters: dict[str, int]


@pytest.fixture
def crowd(committed: None) -> Crowd:
    """As the runtime role sees it, with statistics."""
    cast = assemble()
    weights, common, rare = Weights.of(cast.tenant), cast.label(), cast.label()
    people = {"tenant": cast.tenant.pk, "support": cast.support.pk, "sales": cast.sales.pk, "olga": cast.olga.pk, "otto": cast.otto.pk}
    with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
        cursor.execute(
            CROWD.format(rank=weights.in_sql.rank("credit", "since", "flagged"), credit=weights.in_sql.credit("messages")), people
        )
        for label, each in ((common, 3), (rare, 401)):
            cursor.execute(WEAR, [label.pk, cast.tenant.pk, cast.support.pk, each])
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ANALYZE")
    return Crowd(cast, {"inbox": cast.support.pk, "common": common.pk, "rare": rare.pk})


class Wish(NamedTuple):
    """A list that somebody asks for."""

    viewer: Operator
    sort: str
    filters: dict[str, Any]

    def page(self, weights: Weights, now: datetime, cursor: str, *, walking: bool) -> Page:
        """Found by a walk, or by reading and sorting everything."""
        rows = ConversationFilter({name: str(value) for name, value in self.filters.items()}, queryset=queue.visible_to(self.viewer)).qs
        wish = {"sort": self.sort, "limit": LIMIT, "cursor": cursor}
        return page(rows, wish, self.filters, weights, now, Walk.through(self.viewer, self.filters) if walking else None)

    def cursor_at(self, weights: Weights, now: datetime, share: float) -> str:
        """A cursor after so much of the list; none at its beginning."""
        rows = ConversationFilter({name: str(value) for name, value in self.filters.items()}, queryset=queue.visible_to(self.viewer)).qs
        standing = int(rows.count() * share)
        if not standing:
            return ""
        effective = lambda row: weights.effective(row["credit"], row["waits_from"], now)  # noqa: E731
        found = [{**row, "effective": effective(row)} for row in rows.values("id", "last_message_at", "credit", "waits_from")]
        found.sort(key=lambda row: row["id"], reverse=self.sort == "newest")
        found.sort(key=lambda row: row["last_message_at"] if self.sort != "priority" else row["waits_from"], reverse=self.sort == "newest")
        if self.sort == "priority":
            found.sort(key=lambda row: -row["effective"])
        return cursors.write(SORTS[self.sort].parts(found[standing - 1], now, 0.5), cursors.digest(self.sort, self.filters))


def wishes(crowd: Crowd) -> Iterator[Wish]:
    """Every sort under every combination of filters, for a manager and for an operator of one inbox."""
    ids = crowd.filters
    for viewer, sort, state in product((crowd.cast.mia, crowd.cast.otto), SORTS, STATES):
        for label, inbox in product((None, "common", "rare"), (None, "inbox")):
            chosen = {"state": state, "label_id": ids.get(label or ""), "inbox_id": ids.get(inbox or "")}
            yield Wish(viewer, sort, {name: value for name, value in chosen.items() if value})


def bound(crowd: Crowd, wish: Wish) -> int:
    """How many rows a page may read: one page of each place; of a common label, as many times more as there are others between."""
    if wish.filters.get("label_id") == crowd.filters["rare"]:
        return RARE
    return PAGE * (4 if "label_id" in wish.filters else 1)


@pytest.mark.parametrize("share", [0, 0.7])
def test_every_list_is_exact_and_reads_a_page_through_indexes(crowd: Crowd, share: float) -> None:
    weights, now = Weights.of(crowd.cast.tenant), clock.now()
    wrong, slow = [], []

    for wish in wishes(crowd):
        with isolation.act_as(crowd.cast.tenant.pk):
            cursor = wish.cursor_at(weights, now, share)
            sorted_whole = wish.page(weights, now, cursor, walking=False)
            walked = wish.page(weights, now, cursor, walking=True)
        plan = executed(crowd.cast, lambda: wish.page(weights, now, cursor, walking=True))  # noqa: B023  called at once
        words = (wish.viewer.name, wish.sort, wish.filters)
        if walked != sorted_whole:
            wrong.append(words)
        if walks(plan) or rows_read(plan) > bound(crowd, wish):
            slow.append((*words, walks(plan), rows_read(plan), bound(crowd, wish)))

    assert (wrong, slow) == ([], [])


def test_what_one_person_holds_is_read_and_nothing_else(crowd: Crowd) -> None:
    weights, now = Weights.of(crowd.cast.tenant), clock.now()
    with isolation.act_as(crowd.cast.tenant.pk):
        held = Conversation.objects.filter(assigned_operator_id=crowd.cast.otto.pk).count()

    for sort in SORTS:
        wish = Wish(crowd.cast.mia, sort, {"operator_id": crowd.cast.otto.pk})
        plan = executed(crowd.cast, lambda: wish.page(weights, now, "", walking=True))  # noqa: B023  called at once

        assert walks(plan) == []
        assert 0 < rows_read(plan) <= held


@pytest.mark.parametrize(("sort", "index"), [("priority", "conversation_by_rank"), ("newest", "conversation_by_inbox_and_time")])
def test_control_without_its_index_a_page_reads_the_list(crowd: Crowd, sort: str, index: str) -> None:
    narrow = {"state": "ALLOCATED", "inbox_id": crowd.cast.sales.pk}
    weights, now, wish = Weights.of(crowd.cast.tenant), clock.now(), Wish(crowd.cast.mia, sort, narrow)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        (definition,) = owner.execute("SELECT pg_get_indexdef(%s::regclass)", [index]).fetchone() or ("",)
        owner.execute(f"DROP INDEX {index}")
        try:
            plan = executed(crowd.cast, lambda: wish.page(weights, now, "", walking=True))
        finally:
            owner.execute(definition)

    assert rows_read(plan) > READ_BY_ONE_PLACE


@pytest.mark.parametrize("minutes_ago", [-30, 23 * 60, 25 * 60])
@pytest.mark.parametrize("flagged", [True, False])
def test_a_row_is_met_whatever_its_flag_says_of_it(cast: Cast, minutes_ago: int, *, flagged: bool) -> None:
    row, other = cast.conversation(minutes_ago=minutes_ago), cast.conversation(minutes_ago=60)
    with isolation.act_as(cast.tenant.pk):
        weights, now = Weights.of(cast.tenant), clock.now()
        rank = weights.rank(row.credit, row.waits_from, saturated=flagged)
        Conversation.objects.filter(pk=row.pk).update(saturated=flagged, rank=rank)
        found = Wish(cast.otto, "priority", {}).page(weights, now, "", walking=True)

    expected = [row.pk, other.pk] if minutes_ago > 60 else [other.pk, row.pk]
    assert [shown["id"] for shown in found.conversations] == expected
