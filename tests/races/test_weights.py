"""Weights that change while people work: whatever was put into its place by the weights of before is found, told and ranked anew."""

from decimal import Decimal
from typing import Any

import pytest

from conversations import lifecycle, queue, recalculation
from conversations.models import Conversation
from conversations.recalculation import Counts
from tenants import isolation, ranking, tuning
from tenants.errors import RankingRuns
from tenants.models import Tenant
from tests.conftest import Cast, assemble
from tests.factories import ConversationFactory
from tests.races.crowd import Call, acting


def weights_change(cast: Cast, alpha: str = "0.8") -> None:
    """To twice what a message was worth; and the walk that follows from it."""
    acting(cast.tenant.pk, tuning.tune, priority_alpha=Decimal(alpha))()
    recalculation.catch_up(cast.tenant.pk, until=float("inf"))


def placed_behind_the_walk(cast: Cast) -> Conversation:
    """Somebody who read the tenant before its weights changed, and commits after the walk has passed."""
    with isolation.act_as(cast.tenant.pk):
        row: Conversation = ConversationFactory.create(inbox=cast.support, message_count=10)
        assert Call(lambda: weights_change(cast)).done() is None
    return row


def up_to_date(cast: Cast) -> bool:
    """What GET /tenant tells."""
    return bool(acting(cast.tenant.pk, lambda: recalculation.up_to_date(Tenant.objects.get(pk=cast.tenant.pk)))())


def test_a_new_row_placed_behind_the_walk_is_told_and_ranked_by_the_next_tick(committed: None) -> None:
    cast = assemble()
    row = placed_behind_the_walk(cast)

    assert cast.again(cast.tenant).ranked_version == 2, "the walk is over"
    assert not up_to_date(cast)
    assert recalculation.tick() == Counts(reranked=1)

    assert up_to_date(cast)
    assert cast.again(row).credit == 2 * row.credit
    assert recalculation.tick() == Counts()


def test_a_tick_that_read_a_shorter_cap_flags_nothing_that_a_longer_one_ranked(committed: None) -> None:
    cast = assemble()
    row = cast.conversation(minutes_ago=30 * 60)
    with isolation.act_as(cast.tenant.pk):
        of_before = Tenant.objects.get(pk=cast.tenant.pk)
    acting(cast.tenant.pk, tuning.tune, delay_cap_minutes=4000)()
    recalculation.catch_up(cast.tenant.pk, until=float("inf"))

    flagged = acting(cast.tenant.pk, queue.flag_saturated, of_before, 5000)()

    assert (flagged, cast.again(row).saturated) == (0, False)


def test_a_row_put_back_behind_the_walk_is_told_and_ranked_by_the_next_tick(committed: None) -> None:
    cast = assemble()
    row = cast.conversation(message_count=10)

    with isolation.act_as(cast.tenant.pk):
        of_before = Tenant.objects.get(pk=cast.tenant.pk)
        assert Call(lambda: weights_change(cast)).done() is None
        conversation = queue.lock(row.pk)
        lifecycle.requeue(conversation, lifecycle.step("move", conversation), of_before, row.waits_from)

    assert not up_to_date(cast)
    assert recalculation.tick() == Counts(reranked=1)
    assert cast.again(row).credit == 2 * row.credit


def test_control_a_row_that_does_not_say_under_which_weights_it_stands_stays_there(
    committed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = queue.place
    monkeypatch.setattr(queue, "place", lambda *facts: place(*facts) | {"ranked_under": 2})
    cast = assemble()
    row = placed_behind_the_walk(cast)

    assert up_to_date(cast), "which is not so"
    assert recalculation.tick() == Counts()
    assert cast.again(row).credit == row.credit


def test_what_somebody_holds_keeps_no_tick_waiting_and_is_ranked_by_the_one_after(committed: None) -> None:
    cast = assemble()
    row = placed_behind_the_walk(cast)

    with isolation.act_as(cast.tenant.pk):
        queue.lock(row.pk)
        assert Call(recalculation.tick).done() == Counts()

    assert not up_to_date(cast)
    assert recalculation.tick() == Counts(reranked=1)


def test_two_walks_at_once_the_second_simply_ends(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalculation, "BATCH", 2)
    cast = assemble()
    for _ in range(5):
        cast.conversation()
    acting(cast.tenant.pk, tuning.tune, priority_alpha=Decimal("0.8"))()
    others: list[Any] = []

    def another(rows: int) -> None:
        others.append(Call(lambda: recalculation.catch_up(cast.tenant.pk, float("inf"))).done())
        others.append(type(Call(lambda: recalculation.recalculate(cast.tenant.pk)).done()))

    assert recalculation.recalculate(cast.tenant.pk, progress=another) == 5

    assert others == [0, RankingRuns] * 3
    tenant = cast.again(cast.tenant)
    assert (tenant.ranking_done, tenant.ranking_total, tenant.ranking_run) == (5, 5, 1)


def test_a_walk_that_died_is_taken_over_and_what_it_did_counts(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalculation, "BATCH", 2)
    cast = assemble()
    for _ in range(5):
        cast.conversation()
    acting(cast.tenant.pk, tuning.tune, priority_alpha=Decimal("0.8"))()
    monkeypatch.setattr("tenants.ranking.leave", lambda walk: None)  # as if its process were killed
    assert recalculation.recalculate(cast.tenant.pk, everything=False, until=0) == 0
    assert recalculation.tick() == Counts(), "it may still live"

    with isolation.act_as(cast.tenant.pk):
        moved = Tenant.objects.get(pk=cast.tenant.pk).ranking_moved_at
        assert moved is not None
        Tenant.objects.filter(pk=cast.tenant.pk).update(ranking_moved_at=moved - ranking.PATIENCE)
        queue.rerank_after(Tenant.objects.get(pk=cast.tenant.pk), 0, 3)

    assert recalculation.tick() == Counts(reranked=2)
    tenant = cast.again(cast.tenant)
    assert (tenant.ranking_done, tenant.ranking_total, tenant.ranked_version) == (5, 5, 2)


def test_weights_that_change_during_a_walk_are_ranked_by_the_same_task(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalculation, "BATCH", 2)
    cast = assemble()
    rows = [cast.conversation(message_count=10) for _ in range(5)]
    acting(cast.tenant.pk, tuning.tune, priority_alpha=Decimal("0.8"))()
    rerank, changes, calls = queue.rerank_after, iter(["1.2"]), []

    def change_after_the_first(*facts: Any, **named: Any) -> tuple[int, int]:
        found = rerank(*facts, **named)
        for alpha in changes:
            calls.append(Call(acting(cast.tenant.pk, tuning.tune, priority_alpha=Decimal(alpha))))  # waits for this batch
        return found

    monkeypatch.setattr(queue, "rerank_after", change_after_the_first)

    recalculation.catch_up(cast.tenant.pk, float("inf"))
    for call in calls:
        call.done()  # a slow thread may come after the walk: then the change is the tick's

    recalculation.tick()
    assert [cast.again(row).credit == 3 * row.credit for row in rows] == [True] * 5
    assert up_to_date(cast)
