"""Recalculating while people work: short transactions, and a pick that runs into one waits instead of hearing "empty"."""

import math
from typing import Any

import pytest

from conversations import allocation, queue, recalculation
from conversations.models import Conversation
from tenants import isolation
from tenants.models import Event, Tenant
from tests.conftest import assemble
from tests.races.crowd import Call, acting, until_waiting


def test_a_pick_that_meets_a_batch_waits_for_it_and_gets_the_best(committed: None) -> None:
    cast = assemble()
    best = cast.conversation(minutes_ago=60)
    cast.conversation(minutes_ago=10)

    with isolation.act_as(cast.tenant.pk):
        queue.rerank_after(cast.tenant, 0, 1000)
        pick = Call(acting(cast.tenant.pk, allocation.allocate_next, cast.olga.pk, cast.tenant))
        until_waiting(pick)

    assert pick.done().pk == best.pk


def test_between_two_batches_nothing_is_held(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalculation, "BATCH", 4)
    cast = assemble()
    for _ in range(11):
        cast.conversation()
    picked: list[Any] = []

    def pick(rows: int) -> None:
        picked.append(Call(acting(cast.tenant.pk, allocation.allocate_next, cast.olga.pk, cast.tenant)).done())

    assert recalculation.recalculate(cast.tenant.pk, progress=pick) == 11

    assert [type(outcome) for outcome in picked] == [Conversation] * 3


def test_a_batch_waits_for_a_conversation_that_is_being_changed_and_loses_none_of_it(committed: None) -> None:
    cast = assemble()
    row = cast.conversation(message_count=1)

    with isolation.act_as(cast.tenant.pk):
        Conversation.objects.filter(pk=row.pk).update(message_count=50)
        recalculating = Call(lambda: recalculation.recalculate(cast.tenant.pk))
        until_waiting(recalculating)

    assert recalculating.done() == 1
    assert cast.again(row).credit == row.credit * 50


def test_whoever_waits_to_rank_anew_what_a_neighbour_has_just_ranked_tells_nobody_of_it(committed: None) -> None:
    cast = assemble()
    cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.filter(pk=cast.tenant.pk).update(weights_version=2)

    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.filter(pk=cast.tenant.pk).update(ranked_version=2)  # as the last step of a walk
        Conversation.objects.update(ranked_under=2)
        late = Call(lambda: recalculation.catch_up(cast.tenant.pk, math.inf))
        until_waiting(late)

    assert late.done() == 0
    with isolation.act_as(cast.tenant.pk):
        assert not Event.objects.filter(kind="tenant.priorities_recalculated").exists()


def test_the_tick_passes_over_what_somebody_holds(committed: None) -> None:
    cast = assemble()
    cast.conversation(minutes_ago=3000)
    with isolation.act_as(cast.tenant.pk):
        Conversation.objects.update(saturated=False)

    with isolation.act_as(cast.tenant.pk):
        allocation.allocate_next(cast.olga.pk, cast.tenant)

        assert Call(recalculation.tick).done() == recalculation.Counts()
