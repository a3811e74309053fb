"""Taking work from the queue, many at once: nothing twice, nothing forgotten, and nobody is told "empty" while something waits."""

import random
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection

from convalloc import clock
from convalloc.prepared import Statement
from conversations import allocation, lifecycle, queue
from conversations.errors import HeldByAnother
from conversations.models import Assignment, Conversation
from conversations.states import State
from operators.models import Operator
from tenants import isolation, tuning
from tenants.models import Tenant
from tests.conftest import Api, Cast, assemble
from tests.races.crowd import Call, acting, neighbour, together, until_waiting

NOTHING_WAITS = "nothing waits"


def crowd(cast: Cast, size: int) -> list[Operator]:
    """So many operators of support."""
    return [cast.operator() for _ in range(size)]


def taken_until_empty(cast: Cast, operator: Operator) -> tuple[list[int], int]:
    """Allocate until nothing waits: (ids taken, how many were still queued for anybody else to see at that moment)."""
    taken: list[int] = []
    while True:
        with isolation.act_as(cast.tenant.pk):
            row = allocation.allocate_next(operator.pk, cast.tenant)
            if row is None:
                return taken, Conversation.objects.exclude(state=State.ALLOCATED).count()
        taken.append(row.pk)


def claimed(cast: Cast, operator: Operator, wishes: list[int]) -> tuple[list[int], int]:
    """Claim each of these in turn: (ids taken, 0)."""
    taken: list[int] = []
    for wish in wishes:
        try:
            with isolation.act_as(cast.tenant.pk):
                allocation.claim(operator.pk, wish)
        except HeldByAnother:
            continue
        taken.append(wish)
    return taken, 0


LOCKED = "FOR NO KEY UPDATE OF c {when_locked}"


def rush(cast: Cast, operators: int, conversations: int) -> list[Any]:
    """Allocate and claim mixed: what each of the operators took, or the exception that stopped them."""
    ids = [cast.conversation(message_count=n % 7, minutes_ago=n % 50).pk for n in range(conversations)]
    shuffled = random.Random(7)
    acts: list[Any] = []
    for number, operator in enumerate(crowd(cast, operators)):
        if number % 2:
            wishes = shuffled.sample(ids, len(ids) // 8)
            acts.append(lambda operator=operator, wishes=wishes: claimed(cast, operator, wishes))
        else:
            acts.append(lambda operator=operator: taken_until_empty(cast, operator))
    return together(acts)


def set_up_for_quick_changes(cast: Cast) -> Tenant:
    """A message is worth 60 microseconds of waiting, so that an order turns within a test."""
    return acting(cast.tenant.pk, tuning.tune, priority_alpha=1, priority_beta=1, message_cap=1_000_000, delay_cap_minutes=1)()  # type: ignore[no-any-return]


def test_who_waits_for_their_turn_gets_the_best_as_of_its_end(committed: None) -> None:
    cast = assemble()
    tenant = set_up_for_quick_changes(cast)
    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM operator_status WHERE operator_id = %s FOR NO KEY UPDATE", [cast.otto.pk])
        call = Call(acting(cast.tenant.pk, allocation.allocate_next, cast.otto.pk, tenant))
        until_waiting(call)
        began = clock.now()
        best = cast.conversation(message_count=1, last_message_at=began)
        cast.conversation(message_count=334, last_message_at=began + timedelta(milliseconds=200))  # was better by 20 ms, as of the call
        while clock.now() < began + timedelta(milliseconds=300):
            time.sleep(0.01)
        session.rollback()

        taken = call.done()

    assert taken.pk == best.pk


def test_a_batch_takes_what_was_released_a_moment_ago_only_when_nothing_else_waits(committed: None) -> None:
    cast = assemble()
    released = cast.conversation(minutes_ago=500)
    acting(cast.tenant.pk, allocation.claim, cast.otto.pk, released.pk)()
    acting(cast.tenant.pk, lifecycle.release, released.pk, by=cast.otto, reason="lunch")()
    held_for_a_moment, free = cast.conversation(minutes_ago=100), cast.conversation(minutes_ago=10)

    with neighbour(cast.tenant.pk) as session:
        lock_for_a_while(session, [held_for_a_moment.pk])
        given = Call(acting(cast.tenant.pk, allocation.allocate_many, cast.otto.pk, cast.tenant, 3)).done()
    rest = acting(cast.tenant.pk, allocation.allocate_many, cast.otto.pk, cast.tenant, 3)()

    assert [row.pk for row in given] == [free.pk]
    assert [row.pk for row in rest] == [held_for_a_moment.pk, released.pk]


def test_fifty_callers_share_two_hundred_conversations_each_exactly_once(committed: None) -> None:
    cast = assemble()

    outcomes = rush(cast, operators=50, conversations=200)

    problems = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert problems == []
    taken = Counter(id_ for ids, _ in outcomes for id_ in ids)
    assert set(taken.values()) == {1}
    assert len(taken) == 200
    assert {left for _, left in outcomes} == {0}, "told that nothing waits while something did"
    with isolation.act_as(cast.tenant.pk):
        assert Conversation.objects.filter(state=State.ALLOCATED).count() == 200
        assert Assignment.objects.filter(ended_at__isnull=True).count() == 200


def test_control_without_the_lock_two_callers_pick_the_same_row(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PICK", queue.PICK.replace(LOCKED.format(when_locked="{when_locked}"), ""))
    hand_out = allocation.HAND_OUT.text
    assert hand_out.count(LOCKED.format(when_locked="SKIP LOCKED")) == 1
    monkeypatch.setattr(allocation, "HAND_OUT", Statement(hand_out.replace(LOCKED.format(when_locked="SKIP LOCKED"), "")))
    cast = assemble()

    outcomes = rush(cast, operators=12, conversations=60)

    assert any(isinstance(outcome, IntegrityError) for outcome in outcomes), "the database's own wall: one_open_assignment"


@pytest.mark.parametrize("attempt", range(5))
def test_of_five_that_wait_every_one_of_five_callers_gets_one(committed: None, attempt: int) -> None:
    cast = assemble()
    ids = {cast.conversation().pk for _ in range(5)}
    acts = [acting(cast.tenant.pk, allocation.allocate_next, operator.pk, cast.tenant) for operator in crowd(cast, 5)]

    outcomes = together(acts)

    assert {row.pk for row in outcomes} == ids


def test_of_five_that_wait_eight_callers_get_five_and_three_are_told_the_truth(committed: None) -> None:
    cast = assemble()
    ids = {cast.conversation().pk for _ in range(5)}
    acts = [acting(cast.tenant.pk, allocation.allocate_next, operator.pk, cast.tenant) for operator in crowd(cast, 8)]

    outcomes = together(acts)

    assert {row.pk for row in outcomes if row} == ids
    assert sum(row is None for row in outcomes) == 3


def lock_for_a_while(session: Any, ids: list[int]) -> None:
    session.execute("SELECT id FROM conversations WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [ids])


def test_who_waits_for_the_last_row_gets_it_when_the_neighbour_gives_up(committed: None) -> None:
    cast = assemble()
    last = cast.conversation()

    with neighbour(cast.tenant.pk) as session:
        lock_for_a_while(session, [last.pk])
        call = Call(acting(cast.tenant.pk, allocation.allocate_next, cast.olga.pk, cast.tenant))
        until_waiting(call)
        session.rollback()

        assert call.done().pk == last.pk


def test_who_waits_for_the_last_row_is_told_that_nothing_waits_only_once_it_is_gone(committed: None) -> None:
    cast = assemble()
    last = cast.conversation()

    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, last.pk)
        call = Call(acting(cast.tenant.pk, allocation.allocate_next, cast.olga.pk, cast.tenant))
        until_waiting(call)

    assert call.done() is None


def test_control_without_the_second_look_a_locked_row_reads_as_an_empty_queue(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WAITING", "SELECT NULL::bigint WHERE false")
    cast = assemble()
    last = cast.conversation()

    with neighbour(cast.tenant.pk) as session:
        lock_for_a_while(session, [last.pk])
        told = Call(acting(cast.tenant.pk, allocation.allocate_next, cast.olga.pk, cast.tenant)).done()

    assert told is None


def two_rows_change_hands(cast: Cast) -> tuple[Any, Any]:
    """Both rows that wait are held; the first is taken for good, and then the second's holder wants the first as well."""
    first, second = cast.conversation(minutes_ago=60), cast.conversation(minutes_ago=30)
    with neighbour(cast.tenant.pk) as taker, neighbour(cast.tenant.pk) as holder:
        lock_for_a_while(taker, [first.pk])
        lock_for_a_while(holder, [second.pk])
        call = Call(acting(cast.tenant.pk, allocation.allocate_next, cast.olga.pk, cast.tenant))
        until_waiting(call)
        taker.execute("UPDATE conversations SET state = 'RESOLVED', resolved_at = now() WHERE id = %s", [first.pk])
        taker.commit()
        until_waiting(call)
        time.sleep(0.2)  # the taker's row has been looked at again; now the call waits for the second row
        try:
            lock_for_a_while(holder, [first.pk])
            holder.rollback()
        except psycopg.errors.DeadlockDetected as deadlock:
            return deadlock, call.done()
        return None, call.done()


def test_a_row_that_was_taken_meanwhile_is_let_go_before_the_next_wait(committed: None) -> None:
    cast = assemble()

    deadlock, given = two_rows_change_hands(cast)

    assert deadlock is None
    assert isinstance(given, Conversation)


def test_control_when_one_wait_covers_both_rows_their_holder_meets_a_deadlock(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pick = queue._pick
    monkeypatch.setattr(queue, "_pick", lambda operator_id, tenant, at, look, *rest: pick(operator_id, tenant, at, 16, *rest))
    cast = assemble()

    deadlock, given = two_rows_change_hands(cast)

    assert isinstance(deadlock, psycopg.errors.DeadlockDetected) or isinstance(given, OperationalError)


@pytest.mark.parametrize("held", [1, 16, 20, 99])
def test_what_neighbours_hold_is_passed_over_and_the_next_best_of_all_inboxes_comes(committed: None, held: int) -> None:
    cast = assemble()
    best_first = [cast.conversation(minutes_ago=1000 - n).pk for n in range(held + 2)]
    cast.conversation(inbox=cast.sales, minutes_ago=1)

    with neighbour(cast.tenant.pk) as session:
        lock_for_a_while(session, best_first[:held])
        call = acting(cast.tenant.pk, allocation.allocate_next, cast.olga.pk, cast.tenant)

        assert call().pk == best_first[held]


def test_one_conversation_claimed_by_two_at_once_goes_to_one_and_the_other_hears_who(committed: None) -> None:
    cast = assemble()

    for _ in range(10):
        row = cast.conversation()
        acts = [acting(cast.tenant.pk, allocation.claim, operator.pk, row.pk) for operator in (cast.olga, cast.otto)]
        outcomes = together(acts)

        winner = cast.again(row).assigned_operator_id
        loser = next(outcome for outcome in outcomes if isinstance(outcome, HeldByAnother))
        assert sum(isinstance(outcome, Conversation) for outcome in outcomes) == 1
        assert loser.details["operator_id"] == winner


def test_who_has_waited_for_too_many_neighbours_is_told_to_try_again(
    committed: None, monkeypatch: pytest.MonkeyPatch, api: type[Api]
) -> None:
    monkeypatch.setattr(queue, "MOST_WAITS", 0)
    cast = assemble()
    last = cast.conversation()

    with neighbour(cast.tenant.pk) as session:
        lock_for_a_while(session, [last.pk])
        answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert (answer.status, answer.body["code"]) == (503, "queue_busy")
    assert answer.headers["Retry-After"] == "1"


def test_giving_out_work_locks_nothing_that_a_tenants_operators_share(committed: None) -> None:
    cast = assemble()
    cast.conversation()

    with isolation.act_as(cast.tenant.pk), neighbour(cast.tenant.pk) as session:
        assert allocation.allocate_next(cast.otto.pk, cast.tenant)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

        for table in ("tenants", "inboxes"):  # side by side they would spend a MultiXactId each time
            session.execute(f"SELECT FROM {table} FOR UPDATE NOWAIT".encode())
