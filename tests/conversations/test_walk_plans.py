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
from conversations.api.pages import CURSORS, Page, binding, page
from conversations.models import Conversation, ConversationLabel
from conversations.priority import Weights
from conversations.walk import View
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

    def page(self, weights: Weights, now: datetime, cursor: str, *, walking: bool | None = None) -> Page:
        """Found as the product chooses to, by a walk, or by reading and sorting."""
        view, wish = View.of(self.viewer, self.filters), {"sort": self.sort, "limit": LIMIT, "cursor": cursor}
        return page(view if walking is None else view._replace(walking=walking), wish, weights, now)

    def in_order(self, weights: Weights, now: datetime) -> list[dict[str, Any]]:
        """The whole list, filtered by the ORM and sorted here."""
        chosen = dict(self.filters)
        rows = queue.visible_to(self.viewer)
        if label_id := chosen.pop("label_id", None):
            rows = rows.filter(pk__in=ConversationLabel.objects.filter(label_id=label_id).values("conversation_id"))
        found = [dict[str, Any](row) for row in rows.filter(**chosen).values("id", "last_message_at", "credit", "waits_from")]
        for row in found:
            row["effective"] = weights.effective(row["credit"], row["waits_from"], now)
        newest = self.sort == "newest"
        found.sort(key=lambda row: row["id"], reverse=newest)
        found.sort(key=lambda row: row["waits_from"] if self.sort == "priority" else row["last_message_at"], reverse=newest)
        if self.sort == "priority":
            found.sort(key=lambda row: -row["effective"])
        return found

    def cursor_at(self, row: dict[str, Any], weights: Weights, now: datetime) -> str:
        """The cursor of a walk that stands at this row."""
        return cursors.write(CURSORS[self.sort].parts(row, now, 0.5), binding(self.sort, self.filters, weights))


def wishes(crowd: Crowd) -> Iterator[Wish]:
    """Every sort under every combination of filters, for a manager and for an operator of one inbox."""
    ids = crowd.filters
    for viewer, sort, state in product((crowd.cast.mia, crowd.cast.otto), CURSORS, STATES):
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
            whole = wish.in_order(weights, now)
            standing = int(len(whole) * share)
            cursor = wish.cursor_at(whole[standing - 1], weights, now) if standing else ""
            expected = [row["id"] for row in whole[standing : standing + LIMIT]]
            found = [wish.page(weights, now, cursor, walking=walking) for walking in (True, False)]
        plan = executed(crowd.cast, lambda: wish.page(weights, now, cursor))  # noqa: B023  called at once
        words = (wish.viewer.name, wish.sort, wish.filters)
        if any([row["id"] for row in each.conversations] != expected for each in found) or found[0] != found[1]:
            wrong.append(words)
        if walks(plan) or rows_read(plan) > bound(crowd, wish):
            slow.append((*words, walks(plan), rows_read(plan), bound(crowd, wish)))

    assert (wrong, slow) == ([], [])


def test_what_one_person_holds_is_read_and_nothing_else(crowd: Crowd) -> None:
    weights, now = Weights.of(crowd.cast.tenant), clock.now()
    with isolation.act_as(crowd.cast.tenant.pk):
        held = Conversation.objects.filter(assigned_operator_id=crowd.cast.otto.pk).count()

    for sort in CURSORS:
        wish = Wish(crowd.cast.mia, sort, {"operator_id": crowd.cast.otto.pk})
        plan = executed(crowd.cast, lambda: wish.page(weights, now, ""))  # noqa: B023  called at once

        assert walks(plan) == []
        assert 0 < rows_read(plan) <= held + LIMIT + 1


@pytest.mark.parametrize(("sort", "index"), [("priority", "conversation_by_rank"), ("newest", "conversation_by_inbox_and_time")])
def test_control_without_its_index_a_page_reads_the_list(crowd: Crowd, sort: str, index: str) -> None:
    narrow = {"state": "ALLOCATED", "inbox_id": crowd.cast.sales.pk}
    weights, now, wish = Weights.of(crowd.cast.tenant), clock.now(), Wish(crowd.cast.mia, sort, narrow)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        (definition,) = owner.execute("SELECT pg_get_indexdef(%s::regclass)", [index]).fetchone() or ("",)
        owner.execute(f"DROP INDEX {index}")
        try:
            plan = executed(crowd.cast, lambda: wish.page(weights, now, ""))
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
        found = Wish(cast.otto, "priority", {}).page(weights, now, "")

    expected = [row.pk, other.pk] if minutes_ago > 60 else [other.pk, row.pk]
    assert [shown["id"] for shown in found.conversations] == expected
