"""Walking through a list while others write: every row that nobody touches is met exactly once, in the order of the walk."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection

from convalloc import clock
from convalloc.errors import DomainError
from conversations import allocation, labelling, lifecycle, recalculation
from conversations.models import Conversation
from tenants import isolation
from tests.conftest import Api, assemble

ROWS = 40
SORTS = ["priority", "newest", "oldest"]
FILTERS: list[set[str]] = [set(), {"state"}, {"inbox_id"}, {"label_id"}, {"operator_id"}, {"state", "inbox_id"}, {"inbox_id", "label_id"}]
FILTERS += [{"state", "inbox_id", "label_id"}, {"operator_id", "inbox_id"}, {"state", "operator_id", "label_id", "inbox_id"}]


class Scene:
    """A tenant whose even rows nobody touches, and whose odd rows others write to."""

    def __init__(self) -> None:
        luck = random.Random(5)
        self.cast = assemble()
        self.label = self.cast.label()
        times = [clock.now() - timedelta(minutes=luck.choice([1, 5, 5, 60, 2000, 3000, -30])) for _ in range(12)]  # many ties
        self.rows = [
            self.cast.conversation(
                inbox=luck.choice([self.cast.support, self.cast.support, self.cast.sales]),
                message_count=luck.randrange(3),
                last_message_at=luck.choice(times),
            )
            for _ in range(ROWS)
        ]
        with isolation.act_as(self.cast.tenant.pk):
            for number, row in enumerate(self.rows):
                if row.inbox_id == self.cast.support.pk and number % 3:
                    labelling.attach(row.pk, self.label.pk)
                if number % 4 == 2:
                    allocation.claim(self.cast.olga.pk, row.pk)
        self.touched = {row.pk for row in self.rows[1::2]}

    def query(self, names: set[str], state: str) -> dict[str, Any]:
        """The filters of these names."""
        every = {"state": state, "inbox_id": self.cast.support.pk, "label_id": self.label.pk, "operator_id": self.cast.olga.pk}
        return {name: every[name] for name in sorted(names)}

    def untouched(self, query: dict[str, Any]) -> set[int]:
        """Ids that a walk with these filters has to meet."""
        with isolation.act_as(self.cast.tenant.pk):
            rows = Conversation.objects.exclude(pk__in=self.touched).filter(pk__in=[row.pk for row in self.rows])
            wishes = {"state": "state", "inbox_id": "inbox_id", "operator_id": "assigned_operator_id"}
            rows = rows.filter(**{wishes[name]: value for name, value in query.items() if name in wishes})
            ids = set(rows.values_list("pk", flat=True))
        if "label_id" in query:
            ids &= {row.pk for number, row in enumerate(self.rows) if row.inbox_id == self.cast.support.pk and number % 3}
        return ids

    @contextmanager
    def written_to(self) -> Iterator[None]:
        """Meanwhile somebody allocates, resolves, moves, adds and re-scores."""
        over = threading.Event()
        writer = threading.Thread(target=self._write_until, args=(over,), daemon=True)
        writer.start()
        yield
        over.set()
        writer.join(30)
        assert not writer.is_alive()

    def _write_until(self, over: threading.Event) -> None:
        luck, cast, ids = random.Random(9), self.cast, sorted(self.touched)
        acts: list[Callable[[int], Any]] = [
            lambda id_: allocation.claim(cast.olga.pk, id_),
            lambda id_: lifecycle.deallocate(id_, by=cast.mia),
            lambda id_: lifecycle.resolve(id_, by=cast.mia),
            lambda id_: lifecycle.move(id_, luck.choice([cast.sales, cast.support]).pk, by=cast.mia),
            lambda id_: Conversation.objects.filter(pk=id_).update(last_message_at=clock.now(), waits_from=clock.now()),
            lambda id_: self.touched.add(cast.conversation(message_count=luck.randrange(3)).pk),
        ]
        while not over.is_set():
            try:
                with isolation.act_as(cast.tenant.pk):
                    luck.choice(acts)(luck.choice(ids))
                recalculation.tick()
            except DomainError:
                continue
        recalculation.recalculate(cast.tenant.pk)
        connection.close()


def walk(api: Api, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Every row of a list, page by page."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = api.client.get("/api/v1/conversations", {**query, "cursor": cursor}, headers=api.headers).json()
        assert answer["status"] == "success", answer
        rows += answer["data"]["conversations"]
        assert answer["data"]["has_more"] == (answer["data"]["next_cursor"] is not None)
        if not answer["data"]["has_more"]:
            return rows
        cursor = answer["data"]["next_cursor"]


def assert_in_order(rows: list[dict[str, Any]], sort: str) -> None:
    """By what is shown: score, or time."""
    key = "priority_score" if sort == "priority" else "last_message_at"
    shown = [row[key] for row in rows]
    assert shown == sorted(shown, reverse=sort != "oldest")


def test_a_walk_under_writes_meets_every_untouched_row_exactly_once_in_order(committed: None) -> None:
    scene = Scene()
    api, luck = Api(scene.cast.mia), random.Random(3)

    with scene.written_to():
        for sort, names in product(SORTS, FILTERS):
            query = scene.query(names, state=luck.choice(["QUEUED", "ALLOCATED"]) if "operator_id" not in names else "ALLOCATED")
            rows = walk(api, {**query, "sort": sort, "limit": luck.choice([2, 3, 7, 10, 29, 100])})
            met = [row["id"] for row in rows if row["id"] not in scene.touched]

            assert len(met) == len(set(met))
            assert set(met) == scene.untouched(query), (sort, query)
            assert_in_order([row for row in rows if row["id"] not in scene.touched], sort)


def test_control_paging_by_offset_misses_rows(committed: None) -> None:
    scene = Scene()
    met: set[int] = set()

    with isolation.act_as(scene.cast.tenant.pk):
        for offset in range(0, ROWS, 10):
            page = list(Conversation.objects.filter(state="QUEUED").order_by("last_message_at", "pk")[offset : offset + 10])
            met |= {row.pk for row in page}
            for row in page:
                if row.pk in scene.touched:
                    lifecycle.resolve(row.pk, by=scene.cast.mia)

    assert scene.untouched({"state": "QUEUED"}) - met


@pytest.mark.parametrize("sort", SORTS)
def test_pages_of_any_size_are_the_same_walk(db: None, sort: str) -> None:
    api = Api(Scene().cast.mia)
    whole = [row["id"] for row in walk(api, {"sort": sort, "limit": 100})]

    for limit in (1, 7, ROWS - 1, ROWS, ROWS + 1):
        assert [row["id"] for row in walk(api, {"sort": sort, "limit": limit})] == whole
    assert len(set(whole)) == ROWS


def test_every_page_of_a_priority_walk_shows_the_scores_of_the_pinned_instant(db: None) -> None:
    cast, an_hour_ago = assemble(), clock.now() - timedelta(hours=1)
    rows = [cast.conversation(last_message_at=an_hour_ago) for _ in range(2)]
    api = Api(cast.mia)

    first = api.get("/conversations?limit=1").data
    time.sleep(0.5)  # in which the score of both grows by three units of its last digit
    second = api.get(f"/conversations?limit=1&cursor={quote(first['next_cursor'])}").data
    afresh = api.get("/conversations?limit=1").data

    assert [first["conversations"][0]["id"], second["conversations"][0]["id"]] == [row.pk for row in rows]
    assert first["conversations"][0]["priority_score"] == second["conversations"][0]["priority_score"]
    assert afresh["conversations"][0]["priority_score"] > first["conversations"][0]["priority_score"]


def test_a_cursor_of_another_sort_or_filter_is_refused(db: None) -> None:
    scene = Scene()
    api = Api(scene.cast.mia)
    queries: list[dict[str, Any]] = [{"sort": sort, **scene.query(names, "QUEUED")} for sort, names in product(SORTS, FILTERS[:3])]
    cursors = [
        api.client.get("/api/v1/conversations", {**query, "limit": 1}, headers=api.headers).json()["data"]["next_cursor"]
        for query in queries
    ]
    given = [(query, cursor) for query, cursor in zip(queries, cursors, strict=True) if cursor]

    assert len(given) > 6
    for (query, _), (other, cursor) in product(given, given):
        answer = api.client.get("/api/v1/conversations", {**query, "limit": 1, "cursor": cursor}, headers=api.headers)
        assert answer.status_code == (200 if query == other else 400), (query, other)
