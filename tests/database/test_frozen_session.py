"""A process of the server that is frozen answers nothing, and TCP notices nothing: who has asked it is told so after a while.

SIGSTOP, as a paused machine or a disk that hangs would do it; later it goes on. Each control has no such limit, and waits for
as long as the server stands still.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, close_old_connections, connection, connections

from convalloc.database import base
from conversations import expiry
from conversations.models import Conversation
from conversations.states import State
from operators.models import Status
from tests.conftest import Answer, Api, Cast, assemble
from tests.conversations import invariants
from tests.conversations.test_grace import held_by, minutes_pass, status
from tests.faults.asking import LATER, told
from tests.faults.test_frozen import await_the_end_of
from tests.races.crowd import PATIENCE_SECONDS, Call

LOCK = "FOR NO KEY UPDATE"
MERCY_SECONDS = 20.0


class Frost:
    """A wrapper for the statements of a connection: its session's process in the server freezes at the first one with this word.

    `patience`: how many seconds the session then waits for it. What has not given up after `MERCY_SECONDS` is answered.
    """

    def __init__(self, word: str = "", patience: float | None = 0.5) -> None:
        self.word = word
        self.patience = patience
        self.pid = 0
        self.mercy = threading.Timer(MERCY_SECONDS, self.thaw)

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if self.word in sql:
            self.strike()
        return execute(sql, *rest)

    def strike(self) -> None:
        """Now, once."""
        if not self.pid:
            session = connection.connection
            session.patience = self.patience
            os.kill(session.info.backend_pid, signal.SIGSTOP)
            self.pid = session.info.backend_pid
            self.mercy.start()

    def thaw(self) -> None:
        """It goes on with what it was told."""
        self.mercy.cancel()
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def frozen_at(word: str) -> Iterator[Frost]:
    """In here the session freezes at this word. Afterwards it goes on, finds that nobody is there, and has ended."""
    frost = Frost(word)
    try:
        with connection.execute_wrapper(frost):
            yield frost
    finally:
        frost.thaw()
    await_the_end_of(frost.pid)


@contextmanager
def waiting(frost: Frost, ask: Callable[[], Any]) -> Iterator[Call]:
    """In here a thread asks on a session that frost has struck; afterwards that goes on, and the thread has its outcome."""
    call, deadline = Call(ask), time.monotonic() + PATIENCE_SECONDS
    while not frost.pid:
        assert time.monotonic() < deadline, call.outcome
        time.sleep(0.01)
    try:
        yield call
    finally:
        frost.thaw()
        call.done()


@pytest.fixture
def cast(committed: None) -> Cast:
    """Committed, because others look on."""
    return assemble()


def claim(api: type[Api], cast: Cast, row: Conversation) -> Answer:
    """As Olga."""
    return api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk)


# --- in the middle of a request ---------------------------------------------------------------------


@pytest.mark.parametrize("word", ["SET LOCAL", LOCK, "UPDATE", 'INSERT INTO "events"'])
def test_a_request_is_given_up_nothing_is_done_and_the_next_one_has_another_session(cast: Cast, api: type[Api], word: str) -> None:
    row = cast.conversation()

    with frozen_at(word):
        answer = claim(api, cast, row)
        next_one = api(cast.mia).get("/conversations")

    assert (told(answer), next_one.status) == (LATER, 200)
    assert cast.again(row).state == State.QUEUED
    assert claim(api, cast, row).status == 200
    invariants.assert_all(cast)


def test_control_without_end_to_its_patience_it_is_answered_when_the_server_goes_on(cast: Cast, api: type[Api]) -> None:
    row, frost = cast.conversation(), Frost(LOCK, patience=None)

    def ask() -> Answer:
        with connection.execute_wrapper(frost):
            return claim(api, cast, row)

    with waiting(frost, ask) as call:
        with frozen_at(LOCK):
            assert told(claim(api, cast, cast.conversation())) == LATER
        waits = not call.is_done

    assert waits
    assert call.done().status == 200


def test_frozen_at_its_commit_nobody_knows_and_the_answer_says_so(cast: Cast, api: type[Api], monkeypatch: pytest.MonkeyPatch) -> None:
    row, frost = cast.conversation(), Frost()

    def commit(session: base.Session) -> None:
        frost.strike()
        psycopg.Connection.commit(session)

    with monkeypatch.context() as patched:
        patched.setattr(base.Session, "commit", commit)
        answer = claim(api, cast, row)
    frost.thaw()
    await_the_end_of(frost.pid)

    assert (answer.status, answer.body["code"]) == (503, "outcome_unknown")
    assert cast.again(row).state == State.ALLOCATED


def test_the_clock_gives_up_too_and_goes_on_with_another_session(cast: Cast) -> None:
    (held,) = held_by(cast, cast.otto)
    status(cast, cast.otto, Status.OFFLINE)
    minutes_pass(cast, 20)

    with frozen_at(LOCK):
        counts = expiry.expire_due()

    assert (counts.released, counts.left, cast.again(held).state) == (1, 0, State.QUEUED)
    invariants.assert_all(cast)


def test_outside_a_transaction_too_the_session_is_gone_for_good(cast: Cast) -> None:
    with connection.cursor() as cursor, frozen_at("SELECT"), pytest.raises(OperationalError, match="has not answered"):
        cursor.execute("SELECT 'what comes too late'")

    assert connection.connection.closed
    connection.close()


# --- between two requests -----------------------------------------------------------------------------


def ask_after_a_frost(api: type[Api], cast: Cast, frost: Frost) -> Answer:
    """A request on a session that froze before it."""
    connection.ensure_connection()
    frost.strike()
    close_old_connections()  # as Django does when a request comes in; its test client leaves it out
    return api(cast.mia).get("/conversations")


def test_a_session_that_froze_while_it_idled_is_replaced_before_it_is_used(
    cast: Cast, api: type[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LOOK_SECONDS", 0.5)
    frost = Frost(patience=PATIENCE_SECONDS)

    answer = ask_after_a_frost(api, cast, frost)
    frost.thaw()

    assert answer.status == 200
    assert connection.connection.info.backend_pid != frost.pid


def test_control_where_a_look_is_as_patient_as_a_question_the_session_is_waited_for(
    cast: Cast, api: type[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LOOK_SECONDS", PATIENCE_SECONDS)
    frost = Frost(patience=PATIENCE_SECONDS)

    with waiting(frost, lambda: ask_after_a_frost(api, cast, frost)) as call:
        time.sleep(1)
        waits = not call.is_done

    assert waits
    assert call.done().status == 200


def test_sessions_are_as_patient_as_the_settings_say_and_who_migrates_may_take_their_time(committed: None) -> None:
    owner = connections["owner"]

    for each in (connection, owner):
        each.ensure_connection()

    assert (connection.connection.patience, owner.connection.patience) == (35, None)
    owner.close()
