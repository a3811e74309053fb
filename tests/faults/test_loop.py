"""`expire_grace_periods --loop` in the place of Celery: a round that fails is left to the next one, whatever it was that failed."""

import io
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from convalloc.errors import OutcomeUnknown
from conversations.management.commands import expire_grace_periods
from conversations.management.commands.expire_grace_periods import Command
from conversations.models import Conversation
from conversations.states import State
from tenants import rounds
from tests.conftest import Cast, assemble
from tests.faults.cut import Line, line
from tests.faults.test_worker_and_beat import an_hour_passes, are_released, assert_released_once, held_by_otto, otto_leaves, overdue
from tests.servers import superuser


@pytest.fixture
def cast(committed: None) -> Cast:
    """Committed, because what is cut off has sessions of its own."""
    return assemble()


@pytest.fixture
def cable(cast: Cast) -> Iterator[Line]:
    """The line that the tests' own Django uses."""
    with line() as between:
        yield between


@pytest.fixture
def loop() -> Command:
    """The command, of which a test calls the rounds."""
    return Command(stdout=io.StringIO())


def end_the_session() -> None:
    """Of this test's own Django, as an administrator does."""
    with psycopg.connect(superuser(), autocommit=True) as postgres:
        postgres.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.connection.info.backend_pid])


@pytest.mark.parametrize(("delivered", "state"), [(True, State.QUEUED), (False, State.ALLOCATED)])
def test_a_round_that_is_lost_at_its_commit_is_left_to_the_next_one(
    cast: Cast, cable: Line, loop: Command, delivered: bool, state: State
) -> None:
    rows = overdue(cast)
    cable.arm(b"COMMIT", after=b"requeued AS", delivered=delivered)

    loop.expire_or_say_why_not()

    cable.await_the_server()
    assert cable.cuts == 1
    assert {cast.again(row).state for row in rows} == {state}
    loop.expire_or_say_why_not()
    assert_released_once(cast, rows)


@pytest.mark.parametrize("word", [b"FOR NO KEY UPDATE", b"requeued AS"])
def test_a_round_that_is_lost_in_the_middle_is_done_row_by_row_on_another_session(
    cast: Cast, cable: Line, loop: Command, word: bytes
) -> None:
    rows = overdue(cast)
    cable.arm(word, delivered=True)

    loop.expire_or_say_why_not()

    cable.await_the_server()
    assert cable.cuts == 1
    assert_released_once(cast, rows)


def test_a_round_that_cannot_even_begin_is_left_to_the_next_one(cast: Cast, cable: Line, loop: Command) -> None:
    rows = overdue(cast)
    cable.arm(b"INSERT INTO ticks", delivered=False)

    loop.expire_or_say_why_not()

    assert cable.cuts == 1
    loop.expire_or_say_why_not()
    assert_released_once(cast, rows)


def test_the_loop_outlives_what_is_nobodys_fault_but_its_own(
    cast: Cast, loop: Command, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = overdue(cast)
    with monkeypatch.context() as broken:
        broken.setattr(rounds, "with_due_grace", lambda: [].pop())

        loop.expire_or_say_why_not()

    assert "pop from empty list" in caplog.text
    loop.expire_or_say_why_not()
    assert_released_once(cast, rows)


def test_control_a_round_that_says_nothing_of_it_ends_the_loop(cast: Cast, cable: Line, loop: Command) -> None:
    overdue(cast)
    cable.arm(b"COMMIT", delivered=True)

    with pytest.raises(OutcomeUnknown):
        loop.expire()


def test_a_session_that_is_ended_between_two_rounds_costs_the_next_one_nothing(cast: Cast, loop: Command) -> None:
    rows = overdue_once_the_session_is_gone(cast, loop)

    loop.expire_or_say_why_not()

    assert_released_once(cast, rows)


def test_control_without_a_look_at_the_session_the_next_round_does_nothing(
    cast: Cast, loop: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expire_grace_periods, "close_old_connections", lambda: None)
    rows = overdue_once_the_session_is_gone(cast, loop)

    loop.expire_or_say_why_not()

    connection.close()
    assert not are_released(cast, rows)


def overdue_once_the_session_is_gone(cast: Cast, loop: Command) -> list[Conversation]:
    """A round finds nothing to do; then an hour passes, and the session of the loop ends."""
    rows = held_by_otto(cast)
    otto_leaves(cast)
    loop.expire_or_say_why_not()
    assert not are_released(cast, rows)
    an_hour_passes(cast)
    end_the_session()
    return rows
