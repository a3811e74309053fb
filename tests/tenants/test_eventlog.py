"""The event log: written with the change or not at all; read in order, and without ever skipping a slow transaction."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import transaction

from tenants import eventlog, isolation
from tenants.models import Event
from tests.conftest import Cast, assemble

INSERT = (
    "INSERT INTO events (tenant_id, kind, subject_type, subject_id, cause, before, after, request_id)"
    " VALUES (current_setting('app.tenant_id')::bigint, %s, 'test', 1, '', '{}', '{}', '') RETURNING id"
)


@contextmanager
def writer(tenant_id: int) -> Iterator[psycopg.Connection[Any]]:
    """Another process that writes events: a connection of its own, as the runtime role, acting as this tenant."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute(f"SET LOCAL app.tenant_id = '{int(tenant_id)}'")
        yield connection


def write(connection: psycopg.Connection[Any], kind: str) -> int:
    row = connection.execute(INSERT, [kind]).fetchone()
    assert row is not None
    return int(row[0])


def follow(tenant_id: int, after: eventlog.Position, until: str) -> list[str]:
    """Read on from a position until an event of this kind came; what came, in order."""
    kinds: list[str] = []
    deadline = time.monotonic() + 20  # other tests' transactions on this server hold the reader back
    while until not in kinds and time.monotonic() < deadline:
        with isolation.act_as(tenant_id):
            events = eventlog.read(after, limit=2)
        kinds += [event.kind for event in events]
        after = eventlog.position(events[-1]) if events else after
    return kinds


def end_of_log(tenant_id: int) -> eventlog.Position:
    with isolation.act_as(tenant_id):
        return eventlog.position(Event.objects.latest("transaction", "id"))


def test_an_event_goes_with_the_change_that_it_tells_of(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        before = Event.objects.count()
        with transaction.atomic():
            eventlog.append("inbox.renamed", cast.support, before={"name": "Support"}, after={"name": "Help"})
            assert Event.objects.count() == before + 1
            transaction.set_rollback(True)

        assert Event.objects.count() == before


def test_an_event_tells_who_when_why_and_what(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(None, "request-1"):
        eventlog.name_actor(cast.mia.pk)
        eventlog.append("inbox.renamed", cast.support, before={"name": "Support"}, after={"name": "Help"}, cause="typo")

        event = Event.objects.get(kind="inbox.renamed")

    assert (event.tenant_id, event.subject_type, event.subject_id) == (cast.tenant.pk, "inbox", cast.support.pk)
    assert (event.actor_id, event.request_id, event.cause) == (cast.mia.pk, "request-1", "typo")
    assert (event.before, event.after) == ({"name": "Support"}, {"name": "Help"})
    assert event.at is not None


def test_an_origin_ends_with_its_scope(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        with eventlog.caused_by(cast.mia.pk, "request-1"):
            with eventlog.caused_by(None, "request-2"):
                eventlog.name_actor(cast.olga.pk)
            inner = eventlog.record("x", cast.support)
        outer = eventlog.record("x", cast.support)

    assert (inner.actor_id, inner.request_id) == (cast.mia.pk, "request-1")
    assert (outer.actor_id, outer.request_id) == (None, "")


@pytest.mark.usefixtures("committed")
def test_a_slow_transaction_is_waited_for_and_nobody_is_skipped() -> None:
    tenant_id = assemble().tenant.pk
    start = end_of_log(tenant_id)

    with writer(tenant_id) as slow, writer(tenant_id) as fast:
        earlier = write(slow, "slow")
        later = write(fast, "fast")
        fast.commit()
        with isolation.act_as(tenant_id):
            while_slow_runs = [event.kind for event in eventlog.read(start)]
        slow.commit()

    assert earlier < later, "ids are handed out before commit"
    assert while_slow_runs == []
    assert follow(tenant_id, start, until="fast") == ["slow", "fast"]


@pytest.mark.usefixtures("committed")
def test_reading_above_the_last_id_would_have_skipped_the_slow_one() -> None:
    """The control: the same two transactions, followed by id alone."""
    tenant_id = assemble().tenant.pk
    _, last = end_of_log(tenant_id)
    seen: list[str] = []

    def read_above_the_last_id() -> None:
        nonlocal last
        with isolation.act_as(tenant_id):
            for event in Event.objects.filter(pk__gt=last).order_by("pk"):
                seen.append(event.kind)
                last = event.pk

    with writer(tenant_id) as slow, writer(tenant_id) as fast:
        write(slow, "slow")
        write(fast, "fast")
        fast.commit()
        read_above_the_last_id()
        slow.commit()
    read_above_the_last_id()

    assert seen == ["fast"]


@pytest.mark.usefixtures("committed")
def test_a_transaction_that_writes_late_is_not_skipped_either() -> None:
    tenant_id = assemble().tenant.pk
    start = end_of_log(tenant_id)

    with writer(tenant_id) as first, writer(tenant_id) as second:
        write(first, "first")
        write(second, "second")
        write(first, "first again")
        second.commit()
        first.commit()

    assert follow(tenant_id, start, until="second") == ["first", "first again", "second"]


@pytest.mark.usefixtures("committed")
def test_the_log_is_read_in_pages_without_gap_or_repeat() -> None:
    tenant_id = assemble().tenant.pk
    start = end_of_log(tenant_id)
    with writer(tenant_id) as connection:
        for number in range(7):
            write(connection, f"event {number}")
            if number % 3 == 2:
                connection.commit()
                connection.execute(f"SET LOCAL app.tenant_id = '{tenant_id}'")

    assert follow(tenant_id, start, until="event 6") == [f"event {number}" for number in range(7)]


@pytest.mark.usefixtures("committed")
def test_another_tenants_slow_transaction_hides_nothing_for_good() -> None:
    ours, theirs = assemble().tenant.pk, assemble().tenant.pk
    start = end_of_log(ours)

    with writer(theirs) as slow, writer(ours) as fast:
        write(slow, "theirs")
        write(fast, "ours")
        fast.commit()
        slow.rollback()

    assert follow(ours, start, until="ours") == ["ours"]
