"""Random queues, a thousand of them in `make model`: what the queue hands out, and lists, is what exact rationals say at that instant."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from convalloc import clock
from conversations import allocation, queue
from conversations.api.pages import page
from conversations.models import Conversation
from conversations.priority import Weights
from conversations.states import State
from conversations.walk import View
from operators.models import Operator
from tenants import isolation
from tenants.models import Tenant
from tests.conftest import Cast
from tests.conversations.formula import FORMULAS, Formula, message_counts, waiting_times

ORDERED = settings(
    max_examples=int(os.environ.get("QUEUE_EXAMPLES", "100")),  # `make model` takes more
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # not shrink: against a database it takes minutes, and these are small
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Recipe(NamedTuple):
    """A random queue: who asks, the tenant's settings, and what waits where since when."""

    caller: str
    formula: Formula
    clock: str
    rows: list[dict[str, Any]]


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """Olga answers at both inboxes, Otto at support alone."""
    formula = draw(FORMULAS)
    row = st.fixed_dictionaries(
        {
            "inbox": st.sampled_from(["support", "support", "sales"]),
            "message_count": message_counts(formula),
            "last_message": waiting_times(formula),
            "unanswered": st.one_of(st.none(), waiting_times(formula)),
        }
    )
    caller, clock_of_waiting = draw(st.sampled_from(["olga", "otto"])), draw(st.sampled_from(Tenant.WaitingClock.values))
    return Recipe(caller, formula, clock_of_waiting, draw(st.lists(row, max_size=9)))


@contextmanager
def filled(cast: Cast, recipe: Recipe, at: datetime, flagged_until: datetime) -> Iterator[Tenant]:
    """The recipe's queue, flagged as the last tick left it; gone afterwards."""
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.filter(pk=cast.tenant.pk).update(waiting_clock=recipe.clock, **recipe.formula.settings)
        tenant = Tenant.objects.get(pk=cast.tenant.pk)
        rows = [
            Conversation(
                tenant_id=tenant.pk,
                inbox_id=getattr(cast, facts["inbox"]).pk,
                external_conversation_id=str(number),
                customer_phone_number="+1",
                message_count=facts["message_count"],
                last_message_at=at - facts["last_message"],
                waiting_since=None if facts["unanswered"] is None else at - facts["unanswered"],
                waits_from=at,
                credit=0,
                rank=0,
            )
            for number, facts in enumerate(recipe.rows)
        ]
        for row in rows:
            for column, value in queue.place(row, tenant, flagged_until).items():
                setattr(row, column, value)
        Conversation.objects.bulk_create(rows)
        yield tenant
        transaction.set_rollback(True)


def waits_from(row: Conversation, recipe: Recipe) -> datetime:
    """The definition of the two clocks."""
    return row.last_message_at if recipe.clock == "last_message_at" or row.waiting_since is None else row.waiting_since


def waiting(cast: Cast, recipe: Recipe) -> list[Conversation]:
    """What waits where the caller answers, since when by the definition."""
    rows = Conversation.objects.filter(state=State.QUEUED)
    mine = [row for row in rows if recipe.caller == "olga" or row.inbox_id == cast.support.pk]
    for row in mine:
        row.waits_from = waits_from(row, recipe)
    return mine


def expected(cast: Cast, recipe: Recipe, at: datetime) -> list[int]:
    """Ids in the order of the definition, of what waits where the caller answers."""
    return [row.pk for row in recipe.formula.in_order(waiting(cast, recipe), at)]


def drained(operator: Operator, tenant: Tenant, at: datetime | None = None) -> list[int]:
    """Ids as the queue hands them out at one instant, until it says that nothing waits."""
    taken: list[int] = []
    while row := queue.lock_best(operator.pk, tenant, at):
        taken.append(row.pk)
        Conversation.objects.filter(pk=row.pk).update(state=State.RESOLVED, resolved_at=clock.now())
    return taken


def listed(operator: Operator, tenant: Tenant, at: datetime, limit: int) -> list[int]:
    """Ids as the caller's list sorted by priority shows them, page by page, pinned to one instant."""
    ids, wish = [], {"sort": "priority", "limit": limit, "cursor": ""}
    while True:
        found = page(View.of(operator, {}), wish, Weights.of(tenant), at)
        ids += [row["id"] for row in found.conversations]
        if found.next_cursor is None:
            return ids
        wish["cursor"] = found.next_cursor


@ORDERED
@given(recipe=recipes(), limit=st.integers(1, 10))
def test_the_best_comes_first_though_the_tick_never_ran(cast: Cast, recipe: Recipe, limit: int) -> None:
    at = clock.now()

    with filled(cast, recipe, at, flagged_until=at - timedelta(days=365)) as tenant:
        caller, order = getattr(cast, recipe.caller), expected(cast, recipe, at)

        assert listed(caller, tenant, at, limit) == order
        assert drained(caller, tenant, at) == order


@ORDERED
@given(recipe=recipes(), limit=st.integers(1, 10))
def test_the_best_comes_first_though_the_tick_stopped_two_days_ago(cast: Cast, recipe: Recipe, limit: int) -> None:
    at = clock.now()

    with filled(cast, recipe, at, flagged_until=at - timedelta(days=2)) as tenant:
        caller, order = getattr(cast, recipe.caller), expected(cast, recipe, at)

        assert listed(caller, tenant, at, limit) == order
        assert drained(caller, tenant, at) == order


@ORDERED
@given(recipe=recipes(), limit=st.integers(1, 10))
def test_the_best_comes_first_right_after_a_tick(cast: Cast, recipe: Recipe, limit: int) -> None:
    begun = clock.now()

    with filled(cast, recipe, begun, flagged_until=begun - timedelta(days=365)) as tenant:
        queue.flag_saturated(tenant, limit=5000)
        at = clock.now()
        caller, order = getattr(cast, recipe.caller), expected(cast, recipe, at)
        flagged = Conversation.objects.filter(saturated=True).count()
        crossed = [
            row for row in Conversation.objects.all() if at - waits_from(row, recipe) >= timedelta(microseconds=recipe.formula.delay_cap)
        ]

        assert flagged == len(crossed)
        assert listed(caller, tenant, at, limit) == order
        assert drained(caller, tenant, at) == order


@ORDERED
@given(recipe=recipes(), count=st.integers(1, 4), days=st.sampled_from([0, 2, 365]))
def test_what_is_handed_out_at_once_is_the_best_whenever_the_tick_last_ran(cast: Cast, recipe: Recipe, count: int, days: int) -> None:
    begun = clock.now()

    with filled(cast, recipe, begun, flagged_until=begun - timedelta(days=days)) as tenant:
        caller = getattr(cast, recipe.caller)
        while rows := waiting(cast, recipe):
            before = clock.now()
            given_out = [row.pk for row in allocation.allocate_many(caller.pk, tenant, count)]
            after = clock.now()

            orders = [[row.pk for row in recipe.formula.in_order(rows, at)] for at in (before, after)]
            assert given_out in [order[:count] for order in orders]

        assert allocation.allocate_many(caller.pk, tenant, count) == []


def test_without_an_instant_given_it_is_the_databases_now(cast: Cast) -> None:
    tied = [cast.conversation(minutes_ago=60, message_count=2) for _ in range(2)]
    best = cast.conversation(minutes_ago=61, message_count=2)
    from_the_future = cast.conversation(minutes_ago=-600)

    with isolation.act_as(cast.tenant.pk):
        order = drained(cast.olga, cast.tenant)

    assert order == [best.pk, *(row.pk for row in tied), from_the_future.pk]


def test_a_retired_flag_of_a_longer_cap_is_found_all_the_same(cast: Cast) -> None:
    flagged = cast.conversation(minutes_ago=30 * 60)
    with isolation.act_as(cast.tenant.pk):
        assert Conversation.objects.get(pk=flagged.pk).saturated
        Tenant.objects.filter(pk=cast.tenant.pk).update(delay_cap_minutes=4000)

        found = queue.lock_best(cast.olga.pk, Tenant.objects.get(pk=cast.tenant.pk))

    assert found is not None
    assert found.pk == flagged.pk


def test_what_is_not_the_callers_is_never_handed_out(cast: Cast, neighbours: Cast) -> None:
    neighbours.conversation(minutes_ago=600)
    cast.conversation(inbox=cast.sales, minutes_ago=600)

    with isolation.act_as(cast.tenant.pk):
        found = queue.lock_best(cast.otto.pk, cast.tenant)

    assert found is None


@pytest.mark.parametrize("state", [State.ALLOCATED, State.RESOLVED])
def test_only_what_is_queued_is_handed_out(cast: Cast, state: State) -> None:
    row = cast.conversation()
    holder = cast.olga.pk if state == State.ALLOCATED else None
    with isolation.act_as(cast.tenant.pk):
        resolved_at = clock.now() if state == State.RESOLVED else None
        Conversation.objects.filter(pk=row.pk).update(state=state, assigned_operator_id=holder, resolved_at=resolved_at)

        found = queue.lock_best(cast.olga.pk, cast.tenant)

    assert found is None
