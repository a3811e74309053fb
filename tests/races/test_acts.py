"""All acts at once on few rows: no deadlock, no surprise, and every invariant holds afterwards."""

import random
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from convalloc.api.answers import is_passing
from convalloc.errors import DomainError, Missing
from conversations import allocation, expiry, grace, labelling, lifecycle, queue, recalculation
from conversations.errors import AlreadyResolved, NotAllocated
from conversations.lifecycle import Override
from conversations.models import Conversation
from conversations.states import State
from labels import catalogue
from operators import presence
from operators.models import Status
from tenants import eventlog, isolation
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.races.crowd import Call, acting, neighbour, together, until_waiting
from tests.races.test_grace import an_hour_passes

HUNT_SECONDS = 8.0
HUNTERS = 8


def deadlocks() -> int:
    """How many this database has seen."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def acts_of(cast: Cast, rows: list[Conversation], labels: list[int], luck: random.Random) -> list[Callable[[], Any]]:
    """Every writing room, with arguments by chance."""
    force, people = Override(force=True, reason="a hunt"), [cast.olga, cast.otto, cast.mia]

    def row() -> int:
        return luck.choice(rows).pk

    def somebody() -> int:
        return luck.choice(people).pk

    in_one: dict[str, Callable[[], Any]] = {
        "allocate": lambda: allocation.allocate_next(somebody(), cast.tenant),
        "claim": lambda: allocation.claim(somebody(), row()),
        "assign": lambda: allocation.assign(somebody(), row(), override=force),
        "reassign": lambda: lifecycle.reassign(row(), somebody()),
        "reassign by force": lambda: lifecycle.reassign(row(), somebody(), override=force),
        "deallocate": lambda: lifecycle.deallocate(row(), by=cast.mia),
        "move": lambda: lifecycle.move(row(), luck.choice([cast.support, cast.sales]).pk, by=cast.mia),
        "label": lambda: labelling.attach(row(), luck.choice(labels)),
        "unlabel": lambda: labelling.detach(row(), luck.choice(labels)),
        "change status": lambda: grace.change_status(somebody(), luck.choice(list(Status)), cast.tenant),
        "flag": lambda: queue.flag_saturated(cast.tenant, 100),
    }
    of_their_own: list[Callable[[], Any]] = [
        expiry.expire_due,
        recalculation.tick,
        lambda: recalculation.recalculate(cast.tenant.pk),
        lambda: an_hour_passes(cast),
        lambda: retire_and_replace(cast, labels, luck),
    ]
    return [acting(cast.tenant.pk, act) for act in in_one.values()] + of_their_own


def retire_and_replace(cast: Cast, labels: list[int], luck: random.Random) -> None:
    """One of the labels gives way to a new one."""
    place, inbox = luck.randrange(len(labels)), luck.choice([cast.support, cast.sales])
    with isolation.act_as(cast.tenant.pk):
        labelling.retire(catalogue.find(labels[place]))
    with isolation.act_as(cast.tenant.pk):
        labels[place] = catalogue.add(inbox, f"word {luck.randrange(3)}", "#123456", created_by=cast.mia).pk


def hunt(cast: Cast, rows: list[Conversation], labels: list[int], seed: int) -> tuple[int, list[BaseException]]:
    """Act at random for a while: how often, and what went wrong that is no refusal."""
    luck = random.Random(seed)
    acts = acts_of(cast, rows, labels, luck)
    done, until = 0, time.monotonic() + HUNT_SECONDS
    problems: list[BaseException] = []
    while time.monotonic() < until:
        try:
            luck.choice(acts)()
            done += 1
        except DomainError:
            pass
        except Exception as problem:
            problems.append(problem)
    return done, problems


def test_all_acts_at_once_never_deadlock_and_leave_everything_whole(committed: None) -> None:
    cast = assemble()
    rows = [cast.conversation(minutes_ago=n * 600) for n in range(4)]
    labels = [cast.label(name=f"word {n}").pk for n in range(3)]
    before = deadlocks()

    outcomes = together([lambda seed=seed: hunt(cast, rows, labels, seed) for seed in range(HUNTERS)])  # type: ignore[misc]

    assert [problem for _, problems in outcomes for problem in problems] == []
    assert sum(done for done, _ in outcomes) > 100
    assert deadlocks() == before
    invariants.assert_all(cast)


def test_control_two_rooms_that_lock_against_the_order_do_deadlock(committed: None) -> None:
    cast = assemble()
    row = cast.conversation()

    def backwards() -> None:
        with isolation.act_as(cast.tenant.pk):
            queue.lock(row.pk)
            onwards = Call(acting(cast.tenant.pk, allocation.claim, cast.olga.pk, row.pk))
            until_waiting(onwards)
            try:
                presence.lock(cast.olga.pk)
            finally:
                outcomes.append(onwards)

    outcomes: list[Call] = []
    mine = Call(backwards).done()
    theirs = outcomes[0].done()

    victim = mine if isinstance(mine, OperationalError) else theirs
    assert isinstance(victim.__cause__, psycopg.errors.DeadlockDetected)


@pytest.mark.parametrize("first", ["resolve", "reassign"])
def test_of_resolving_and_reassigning_the_second_sees_what_the_first_did(committed: None, first: str) -> None:
    cast = assemble()
    row = cast.conversation()
    acting(cast.tenant.pk, allocation.claim, cast.otto.pk, row.pk)()
    acts = {
        "resolve": lambda: lifecycle.resolve(row.pk, by=cast.otto),
        "reassign": lambda: lifecycle.reassign(row.pk, cast.olga.pk),
    }
    second = next(name for name in acts if name != first)

    with isolation.act_as(cast.tenant.pk):
        acts[first]()
        call = Call(acting(cast.tenant.pk, acts[second]))
        until_waiting(call)

    assert isinstance(call.done(), AlreadyResolved if first == "resolve" else DomainError)
    assert cast.again(row).version == 3
    invariants.assert_all(cast)


def test_of_two_managers_who_reassign_at_once_both_are_obeyed_in_turn(committed: None) -> None:
    cast = assemble()
    row = cast.conversation()
    acting(cast.tenant.pk, allocation.claim, cast.otto.pk, row.pk)()

    outcomes = together([acting(cast.tenant.pk, lifecycle.reassign, row.pk, to.pk) for to in (cast.olga, cast.operator())])

    assert all(isinstance(outcome, Conversation) for outcome in outcomes)
    assert cast.again(row).version == 4
    invariants.assert_all(cast)


def test_deallocating_twice_at_once_is_one_deallocation(committed: None) -> None:
    cast = assemble()
    row = cast.conversation()
    acting(cast.tenant.pk, allocation.claim, cast.otto.pk, row.pk)()

    outcomes = together([acting(cast.tenant.pk, lifecycle.deallocate, row.pk, by=by) for by in (cast.mia, cast.ada)])

    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, Conversation)] == [NotAllocated]
    assert cast.again(row).version == 3
    invariants.assert_all(cast)


def test_a_second_deallocation_after_a_claim_that_had_begun_earlier_is_no_repetition(committed: None) -> None:
    cast = assemble()
    row = cast.conversation()
    acting(cast.tenant.pk, allocation.claim, cast.olga.pk, row.pk)()

    def deallocate() -> Conversation:
        with eventlog.caused_by(cast.mia.pk):
            return lifecycle.deallocate(row.pk, by=cast.mia)

    with isolation.act_as(cast.tenant.pk):
        presence.lock(cast.otto.pk)  # which numbers this transaction, before the deallocation's
        Call(acting(cast.tenant.pk, deallocate)).done()
        allocation.claim(cast.otto.pk, row.pk)
    acting(cast.tenant.pk, deallocate)()

    assert cast.again(row).state == State.QUEUED
    invariants.assert_all(cast)


def test_a_label_that_is_retired_while_somebody_attaches_it_is_gone_from_everything(committed: None) -> None:
    cast = assemble()
    row, label = cast.conversation(), cast.label()

    with isolation.act_as(cast.tenant.pk):
        labelling.attach(row.pk, label.pk)
        retiring = Call(acting(cast.tenant.pk, labelling.retire, label))
        until_waiting(retiring)

    assert retiring.done() is None
    invariants.assert_all(cast)


def test_who_attaches_a_label_that_is_being_retired_hears_that_it_does_not_exist(committed: None) -> None:
    cast = assemble()
    row, label = cast.conversation(), cast.label()
    attach = acting(cast.tenant.pk, labelling.attach, row.pk, label.pk)

    with isolation.act_as(cast.tenant.pk):
        labelling.retire(label)
        attaching = Call(attach)
        until_waiting(attaching)

    assert isinstance(attaching.done(), Missing)
    invariants.assert_all(cast)


def test_who_waits_for_a_worker_that_stopped_is_told_to_ask_again_and_never_that_nothing_waits(committed: None) -> None:
    cast = assemble()
    cast.conversation()

    def ask_with_less_patience() -> Any:
        with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '100ms'")
            return allocation.allocate_next(cast.olga.pk, cast.tenant)

    with neighbour(cast.tenant.pk) as stopped:
        stopped.execute("SELECT id FROM conversations FOR NO KEY UPDATE")
        told = Call(ask_with_less_patience).done()

    assert isinstance(told, OperationalError)
    assert is_passing(told), "which the API answers with 503 and Retry-After"
