"""Capacity under fire: many calls for one operator at once never leave them with more than they may hold."""

import random
from typing import Any

import pytest

from convalloc.prepared import Statement
from conversations import allocation, lifecycle
from conversations.errors import CapacityExceeded
from conversations.models import Assignment
from operators import desk, presence
from operators.models import Operator
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.races.crowd import Call, acting, together, until_waiting, waits_or_ends


def rush(cast: Cast, calls: int) -> list[Any]:
    """So many allocates, claims, assignments and reassignments for Otto at the same instant."""
    rows = [cast.conversation() for _ in range(calls)]
    elsewhere = [cast.conversation(inbox=cast.sales) for _ in range(calls // 4)]
    for row in elsewhere:
        acting(cast.tenant.pk, allocation.claim, cast.olga.pk, row.pk)()
        acting(cast.tenant.pk, lifecycle.move, row.pk, cast.support.pk, by=cast.mia)()
        acting(cast.tenant.pk, allocation.claim, cast.olga.pk, row.pk)()
    ways = [
        lambda place: acting(cast.tenant.pk, allocation.allocate_next, cast.otto.pk, cast.tenant),
        lambda place: acting(cast.tenant.pk, allocation.claim, cast.otto.pk, rows[place].pk),
        lambda place: acting(cast.tenant.pk, allocation.assign, cast.otto.pk, rows[place].pk),
        lambda place: acting(cast.tenant.pk, lifecycle.reassign, elsewhere[place // 4].pk, cast.otto.pk),
    ]
    acts = [ways[place % 4](place) for place in range(calls)]
    random.Random(1).shuffle(acts)
    return together(acts)


def held(cast: Cast) -> int:
    with isolation.act_as(cast.tenant.pk):
        return Assignment.objects.filter(operator=cast.otto, ended_at__isnull=True).count()


def limit(cast: Cast, capacity: int) -> None:
    with isolation.act_as(cast.tenant.pk):
        Operator.objects.filter(pk=cast.otto.pk).update(capacity=capacity)


def without_lock(operator_id: int) -> Any:
    """presence.lock, but it locks nothing."""
    row = presence.status_of(operator_id)
    row.operator = Operator.objects.select_related("tenant").get(pk=operator_id)
    return row


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_nobody_ever_holds_more_than_allowed(committed: None, capacity: int) -> None:
    cast = assemble()
    limit(cast, capacity)

    outcomes = rush(cast, 32)

    problems = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {type(problem).__name__ for problem in problems} <= {"CapacityExceeded", "HeldByAnother"}
    assert held(cast) == capacity
    assert any(isinstance(problem, CapacityExceeded) for problem in problems)


def test_control_without_the_operators_lock_more_is_held_than_allowed(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "lock", without_lock)
    monkeypatch.setattr(presence, "LOCK", Statement("SELECT 1"))
    most = 0
    for _ in range(5):
        cast = assemble()
        limit(cast, 1)
        rush(cast, 32)
        most = max(most, held(cast))

    assert most > 1


def test_a_new_limit_waits_for_the_hand_out_that_is_under_way_and_refuses_the_next(committed: None) -> None:
    cast = assemble()
    first, second = cast.conversation(), cast.conversation()

    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, first.pk)
        lowered = Call(acting(cast.tenant.pk, desk.limit, cast.otto.pk, own=0, inboxes={cast.support.pk: 0}))
        until_waiting(lowered)
    assert lowered.done() == cast.otto

    with pytest.raises(CapacityExceeded):
        acting(cast.tenant.pk, allocation.claim, cast.otto.pk, second.pk)()
    assert held(cast) == 1


def test_control_without_the_operators_lock_a_hand_out_commits_beyond_a_limit_that_stands(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = assemble()
    row = cast.conversation()

    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, row.pk)
        monkeypatch.setattr(presence, "lock", without_lock)
        lowered = Call(acting(cast.tenant.pk, desk.limit, cast.otto.pk, own=0))
        waits_or_ends(lowered)
        stood_before_the_commit = lowered.is_done

    assert stood_before_the_commit
    assert lowered.done() == cast.otto
