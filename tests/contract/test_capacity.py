"""Capacity over HTTP: how much an operator may hold, in all and of one inbox, on every way in."""

from collections.abc import Callable
from typing import Any

import pytest

from operators.models import Operator, Subscription
from tenants import isolation
from tenants.models import Tenant
from tests.conftest import Answer, Api, Cast
from tests.contract import witness

Way = Callable[[Cast, type[Api]], Answer]
WAYS: dict[str, Way] = {
    "allocate": lambda cast, api: api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk),
    "claim": lambda cast, api: api(cast.otto).post(
        "/conversations/claim", operator_id=cast.otto.pk, conversation_id=cast.conversation().pk
    ),
    "manager-allocate": lambda cast, api: api(cast.mia).post(
        "/conversations/manager-allocate", operator_id=cast.otto.pk, conversation_id=cast.conversation().pk
    ),
    "reassign": lambda cast, api: api(cast.mia).post(
        "/conversations/reassign", operator_id=cast.otto.pk, conversation_id=witness.held(cast, cast.olga).pk
    ),
}


def limited(cast: Cast, *, own: int | None = None, tenants: int | None = None, inbox: int | None = None) -> None:
    """Otto may hold so much: by his own number, the tenant's, or that of support."""
    with isolation.act_as(cast.tenant.pk):
        Operator.objects.filter(pk=cast.otto.pk).update(capacity=own)
        Subscription.objects.filter(operator=cast.otto, inbox=cast.support).update(capacity=inbox)
        Tenant.objects.update(operator_capacity=tenants)


def full(limit: int, current: int, **details: Any) -> tuple[int, Any]:
    """409: holds as much as allowed."""
    message = f"Operator already holds {current} of at most {limit} conversations"
    return witness.refusal(409, "capacity_exceeded", message, limit=limit, current=current, **details)


@pytest.mark.parametrize("way", WAYS)
def test_who_holds_as_much_as_allowed_gets_no_more(cast: Cast, api: type[Api], way: str) -> None:
    witness.held(cast, cast.otto)
    cast.conversation()
    limited(cast, own=1)

    answer = WAYS[way](cast, api)

    assert witness.said(answer) == full(1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_given_up_makes_room(cast: Cast, api: type[Api], way: str) -> None:
    held = witness.held(cast, cast.otto)
    cast.conversation()
    limited(cast, own=1)
    api(cast.otto).post("/conversations/resolve", conversation_id=held.pk)

    answer = WAYS[way](cast, api)

    assert answer.status == 200


def test_the_tenants_number_counts_where_the_operator_has_none(cast: Cast, api: type[Api]) -> None:
    witness.held(cast, cast.otto)
    cast.conversation()
    limited(cast, tenants=1)

    first = WAYS["allocate"](cast, api)
    limited(cast, tenants=1, own=2)
    second = WAYS["allocate"](cast, api)

    assert witness.said(first) == full(1, 1)
    assert second.status == 200


@pytest.mark.parametrize("way", ["claim", "manager-allocate", "reassign"])
def test_an_inbox_has_a_number_of_its_own(cast: Cast, api: type[Api], way: str) -> None:
    witness.held(cast, cast.otto)
    limited(cast, own=5, inbox=1)

    answer = WAYS[way](cast, api)

    assert witness.said(answer) == full(1, 1, inbox_id=cast.support.pk)


def test_the_queue_passes_over_an_inbox_that_is_full(cast: Cast, api: type[Api]) -> None:
    witness.subscribe(cast, cast.otto, cast.sales)
    witness.held(cast, cast.otto)
    cast.conversation(message_count=90)
    sale = cast.conversation(inbox=cast.sales)
    limited(cast, inbox=1)

    first, second = (WAYS["allocate"](cast, api) for _ in range(2))

    assert first.data["id"] == sale.pk
    assert witness.said(second) == full(1, 1, inbox_id=cast.support.pk), "nothing else waits"


@pytest.mark.parametrize("path", ["manager-allocate", "reassign"])
def test_a_manager_may_force_it_with_a_reason_that_the_event_keeps(cast: Cast, api: type[Api], path: str) -> None:
    witness.held(cast, cast.otto)
    row = cast.conversation() if path == "manager-allocate" else witness.held(cast, cast.olga)
    limited(cast, own=1)
    forced = {"operator_id": cast.otto.pk, "conversation_id": row.pk, "force": True, "reason": "he asked for it"}

    with witness.appended(cast) as events:
        answer = api(cast.mia).post(f"/conversations/{path}", **forced)

    assert (answer.status, answer.data["assigned_operator_id"]) == (200, cast.otto.pk)
    assert events[-1]["cause"] == "forced: he asked for it"


def test_a_lowered_number_takes_nothing_away(cast: Cast, api: type[Api]) -> None:
    for _ in range(3):
        witness.held(cast, cast.otto)
    limited(cast, own=1)

    answer = WAYS["allocate"](cast, api)

    assert witness.said(answer) == full(1, 3)


def test_a_batch_gives_up_to_so_many_best_first(cast: Cast, api: type[Api]) -> None:
    rows = [cast.conversation(message_count=count) for count in (10, 30, 20)]

    answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk, count=2)

    assert (answer.status, answer.body["message"]) == (200, "2 conversations allocated successfully")
    assert [row["id"] for row in answer.data] == [rows[1].pk, rows[2].pk]


def test_a_batch_ends_at_the_operators_capacity(cast: Cast, api: type[Api]) -> None:
    for _ in range(5):
        cast.conversation()
    limited(cast, own=3)

    first, second = (api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk, count=100) for _ in range(2))

    assert len(first.data) == 3
    assert witness.said(second) == full(3, 3)


def test_an_empty_batch_is_an_empty_list(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk, count=1)

    assert answer.body == {"status": "success", "message": "No conversations available for allocation", "data": []}


@pytest.mark.parametrize("count", [0, 101, "many", 1.5])
def test_a_batch_is_1_to_100(cast: Cast, api: type[Api], count: Any) -> None:
    cast.conversation()

    with witness.untouched(cast):
        answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk, count=count)

    assert answer.status == 400
    assert list(answer.fields) == ["count"]
