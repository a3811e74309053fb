"""Rounds over all tenants: one tenant's trouble is that tenant's alone, and it is seen."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import psycopg
import pytest
from django.db import connection

from conversations import allocation, expiry, grace
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators.models import Status
from tenants import isolation, rounds
from tests.conftest import Cast, assemble
from tests.races.crowd import neighbour


def overdue(cast: Cast, count: int = 1) -> list[Conversation]:
    """Otto has left with some conversations, and their grace is over since 2026 began."""
    rows = [cast.conversation() for _ in range(count)]
    with isolation.act_as(cast.tenant.pk):
        for row in rows:
            allocation.claim(cast.otto.pk, row.pk)
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        GracePeriod.objects.update(opened_at="2026-01-01T00:00:00Z", expires_at="2026-01-01T00:01:00Z")
    return rows


def test_a_tenant_whose_rows_are_locked_holds_nobody_else_up(committed: None) -> None:
    stuck, other = assemble(), assemble()
    (held,), (waiting,) = overdue(stuck), overdue(other)

    with neighbour(stuck.tenant.pk) as session:
        session.execute("SELECT 1 FROM operator_status WHERE operator_id = %s FOR UPDATE", [stuck.otto.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        counts = expiry.expire_due()

    assert (counts.released, counts.left) == (1, 1)
    assert other.again(waiting).state == State.QUEUED
    assert stuck.again(held).state == State.ALLOCATED


@contextmanager
def refused(row: Conversation) -> Iterator[None]:
    """In here the database refuses every change of this row: what is broken in a way that nobody has thought of."""
    refuse = "BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation'; END"
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {refuse} $$".encode())
        owner.execute(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON conversations FOR EACH ROW WHEN (OLD.id = {row.pk}) EXECUTE FUNCTION refuse()".encode()
        )
        try:
            yield
        finally:
            owner.execute("DROP TRIGGER refuse ON conversations; DROP FUNCTION refuse")


def test_a_row_that_cannot_change_holds_up_nobody_elses_grace_of_the_same_tenant(committed: None) -> None:
    cast = assemble()
    rows = overdue(cast, 5)
    with isolation.act_as(cast.tenant.pk):
        GracePeriod.objects.filter(conversation_id=rows[2].pk).update(opened_at="2020-01-01T00:00:00Z", expires_at="2020-01-01T00:01:00Z")

    with refused(rows[2]):
        counts = expiry.expire_due()

    assert (counts.released, counts.left) == (4, 1)
    assert counts.late_seconds > (cast.tenant.created_at - datetime(2020, 1, 2, tzinfo=UTC)).total_seconds()
    assert [cast.again(row).state for row in rows] == ["QUEUED", "QUEUED", "ALLOCATED", "QUEUED", "QUEUED"]
    assert expiry.expire_due().released == 1


def test_whatever_goes_wrong_with_one_tenant_the_others_are_visited_and_it_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    visited = []

    def act(tenant_id: int) -> None:
        visited.append(tenant_id)
        if tenant_id == 2:
            raise KeyError("a bug with this tenant's rows")

    left = rounds.visit([1, 2, 3], act)

    assert (sorted(visited), left) == ([1, 2, 3], 1)
    assert "tenant 2 is left for the next round" in caplog.text
    assert "a bug with this tenant's rows" in caplog.text


def test_when_the_turn_is_over_the_rest_is_left_for_the_next_round(caplog: pytest.LogCaptureFixture) -> None:
    visited: list[int] = []

    left = rounds.visit([1, 2], visited.append, until=time.monotonic() - 1)

    assert (visited, left) == ([], 2)
    assert "the turn is over: 2 tenants are left" in caplog.text


def test_no_tenant_is_always_the_last() -> None:
    last = set()
    for _ in range(100):
        visited: list[int] = []
        rounds.visit([1, 2, 3], visited.append)
        last.add(visited[-1])

    assert last == {1, 2, 3}


def test_an_expiry_whose_turn_is_over_stops_between_two_transactions_and_the_next_one_goes_on(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = assemble()
    overdue(cast, 3)
    now = time.monotonic()
    clock = iter([now, now + 100])
    monkeypatch.setattr(expiry, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    cut_short = expiry.expire_due(limit=1, until=now + 50)
    monkeypatch.undo()

    assert (cut_short.released, expiry.expire_due().released) == (1, 2)
