"""GET and PATCH /operators/{id}/capacity: how much an operator may hold and holds, and what follows for the next hand-out."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from operators import desk
from tenants import isolation
from tenants.models import Inbox, Tenant
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.test_capacity import WAYS, full
from tests.contract.witness import REQUEST
from tests.factories import InboxFactory


def change(api: Api, cast: Cast, **limits: Any) -> Answer:
    """Otto's limits as they are wished."""
    return api.call("PATCH", f"/operators/{cast.otto.pk}/capacity", limits, **REQUEST)


def at(inbox: Inbox, limit: Any) -> dict[str, Any]:
    """A limit at one inbox."""
    return {"inbox_id": inbox.pk, "limit": limit}


def shown(cast: Cast, inbox: Inbox, limit: int | None, held: int) -> dict[str, Any]:
    """An inbox in the answer."""
    return {"inbox_id": inbox.pk, "inbox_name": inbox.name, "limit": limit, "held": held}


# --- looking --------------------------------------------------------------------------------------


def test_tells_what_is_allowed_and_what_is_held(cast: Cast, api: type[Api]) -> None:
    witness.held(cast, cast.olga)
    witness.held(cast, cast.olga)
    witness.held(cast, cast.olga, inbox=cast.sales)
    witness.resolved(cast, cast.olga)
    witness.held(cast, cast.otto)

    with witness.untouched(cast):
        answer = api(cast.olga).get(f"/operators/{cast.olga.pk}/capacity")

    assert (answer.status, set(answer.body)) == (200, {"status", "data"})
    assert answer.data == {
        "operator_id": cast.olga.pk,
        "version": 1,
        "limit": None,
        "own_limit": None,
        "tenant_limit": None,
        "held": 3,
        "inboxes": [shown(cast, cast.sales, None, 1), shown(cast, cast.support, None, 2)],
    }


@pytest.mark.parametrize(("own", "tenants", "in_force"), [(None, None, None), (None, 4, 4), (7, 4, 7), (2, 4, 2), (0, 4, 0), (3, None, 3)])
def test_the_own_number_goes_before_the_tenants(
    cast: Cast, api: type[Api], own: int | None, tenants: int | None, in_force: int | None
) -> None:
    witness.change(cast, cast.otto, capacity=own)
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(operator_capacity=tenants)

    told = api(cast.otto).get(f"/operators/{cast.otto.pk}/capacity").data

    assert (told["own_limit"], told["tenant_limit"], told["limit"]) == (own, tenants, in_force)


def test_what_is_held_of_an_inbox_that_one_left_counts_in_all(cast: Cast, api: type[Api]) -> None:
    witness.held(cast, cast.otto)
    with isolation.act_as(cast.tenant.pk):
        desk.answer_at(cast.otto.pk, [])

    told = api(cast.otto).get(f"/operators/{cast.otto.pk}/capacity").data

    assert (told["held"], told["inboxes"]) == (1, [])


def test_many_inboxes_cost_as_many_statements_as_one(cast: Cast, api: type[Api]) -> None:
    with isolation.act_as(cast.tenant.pk):
        more = [InboxFactory.create() for _ in range(20)]
    asked: list[tuple[int, int]] = []

    for inboxes in ([cast.support], [cast.support, *more]):
        for inbox in inboxes:
            witness.subscribe(cast, cast.otto, inbox)
            witness.held(cast, cast.otto, inbox=inbox)
        with CaptureQueriesContext(connection) as looked:
            assert len(api(cast.mia).get(f"/operators/{cast.otto.pk}/capacity").data["inboxes"]) == len(inboxes)
        with CaptureQueriesContext(connection) as changed:
            assert change(api(cast.mia), cast, inboxes=[at(inbox, 100 + len(inboxes)) for inbox in inboxes]).status == 200
        asked.append((len(looked), len(changed)))

    assert asked[0] == asked[1]


# --- changing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["mia", "ada"])
def test_a_manager_sets_both_and_hears_how_it_is_now(cast: Cast, api: type[Api], caller: str) -> None:
    witness.held(cast, cast.otto)
    by = getattr(cast, caller)

    with witness.appended(cast) as events:
        answer = change(api(by), cast, own_limit=5, inboxes=[at(cast.support, 2)])

    assert (answer.status, answer.body["message"]) == (200, "Limits changed successfully")
    assert answer.data == api(by).get(f"/operators/{cast.otto.pk}/capacity").data
    assert (answer.data["limit"], answer.data["own_limit"]) == (5, 5)
    assert answer.data["inboxes"] == [shown(cast, cast.support, 2, 1)]
    before = {"capacity": None, "inboxes": [{"inbox_id": cast.support.pk, "capacity": None}]}
    after = {"capacity": 5, "inboxes": [{"inbox_id": cast.support.pk, "capacity": 2}]}
    assert events == [witness.event("operator.limits_changed", cast.otto, by, before, after)]


def test_what_is_not_named_stays_and_is_not_in_the_event(cast: Cast, api: type[Api]) -> None:
    witness.subscribe(cast, cast.otto, cast.sales)
    change(api(cast.mia), cast, own_limit=5, inboxes=[at(cast.support, 2), at(cast.sales, 3)])

    with witness.appended(cast) as events:
        change(api(cast.mia), cast, own_limit=4)
        last = change(api(cast.mia), cast, inboxes=[at(cast.support, None), at(cast.sales, 3)])

    assert last.data["own_limit"] == 4
    assert last.data["inboxes"] == [shown(cast, cast.sales, 3, 0), shown(cast, cast.support, None, 0)]
    assert [(event["before"], event["after"]) for event in events] == [
        ({"capacity": 5}, {"capacity": 4}),
        ({"inboxes": [{"inbox_id": cast.support.pk, "capacity": 2}]}, {"inboxes": [{"inbox_id": cast.support.pk, "capacity": None}]}),
    ]


def test_null_gives_the_tenants_number_back(cast: Cast, api: type[Api]) -> None:
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(operator_capacity=9)
    change(api(cast.mia), cast, own_limit=5)

    answer = change(api(cast.mia), cast, own_limit=None)

    assert (answer.data["own_limit"], answer.data["limit"]) == (None, 9)


def test_repeating_it_changes_nothing(cast: Cast, api: type[Api]) -> None:
    limits: dict[str, Any] = {"own_limit": 5, "inboxes": [at(cast.support, 2)]}
    nothing: dict[str, Any] = {"inboxes": []}
    first = change(api(cast.mia), cast, **limits)

    with witness.untouched(cast):
        again = [change(api(cast.mia), cast, **body) for body in (limits, nothing)]

    assert [witness.said(answer) for answer in again] == [witness.said(first)] * 2


def test_nobody_sets_their_own_without_the_role(cast: Cast, api: type[Api]) -> None:
    with witness.untouched(cast):
        answer = change(api(cast.otto), cast, own_limit=100)

    assert witness.said(answer) == witness.role_too_low("MANAGER")


def test_where_the_operator_does_not_answer_there_is_no_limit_to_set(cast: Cast, api: type[Api]) -> None:
    with witness.untouched(cast):
        answer = change(api(cast.mia), cast, own_limit=5, inboxes=[at(cast.support, 2), at(cast.sales, 2)])

    assert witness.said(answer) == witness.NOT_SUBSCRIBED


def test_an_inbox_that_is_none_is_missing(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    with witness.untouched(cast, neighbours):
        answers = [
            change(api(cast.mia), cast, own_limit=5, inboxes=[at(cast.sales, 2), {"inbox_id": id_, "limit": 2}])
            for id_ in (neighbours.sales.pk, 987_654_321)
        ]

    assert [witness.said(answer) for answer in answers] == [witness.missing("Inbox")] * 2


NO_WHOLE: list[Any] = ["", "abc", 1.5, 5.0, True, [], {}, "1_0", "\0", "9" * 5000]
NO_LIMIT: list[tuple[Any, str]] = [
    (-1, "must be at least 0"),
    (10_001, "must be at most 10000"),
    (2**63, "must be at most 10000"),
]
NO_LIMIT += [(value, "must be a whole number") for value in NO_WHOLE]


@pytest.mark.parametrize(("value", "words"), NO_LIMIT, ids=lambda value: ascii(value)[:20])
def test_a_limit_is_0_to_10000(cast: Cast, api: type[Api], value: Any, words: str) -> None:
    with witness.untouched(cast):
        own = change(api(cast.mia), cast, own_limit=value)
        inboxes = change(api(cast.mia), cast, own_limit=5, inboxes=[at(cast.support, 1), at(cast.sales, value)])

    assert witness.said(own) == witness.invalid(own_limit=f'"own_limit" {words}')
    assert witness.said(inboxes) == witness.invalid(**{"inboxes.1.limit": f'"limit" {words}'})


@pytest.mark.parametrize("value", [0, 10_000, "7"])
def test_its_ends_are_limits_too(cast: Cast, api: type[Api], value: Any) -> None:
    answer = change(api(cast.mia), cast, own_limit=value, inboxes=[at(cast.support, value)])

    assert (answer.status, answer.data["own_limit"], answer.data["inboxes"][0]["limit"]) == (200, int(value), int(value))


A_LIST = '"inboxes" must be a list of objects'
BAD_LISTS: list[tuple[Any, dict[str, str]]] = [
    (None, {"inboxes": '"inboxes" must not be null'}),
    ({}, {"inboxes": A_LIST}),
    ({"1": 2}, {"inboxes": A_LIST}),
    ("1", {"inboxes": A_LIST}),
    ([None], {"inboxes.0": A_LIST}),
    ([[]], {"inboxes.0": A_LIST}),
    ([{"inbox_id": 1, "limit": 1}, 5], {"inboxes.1": A_LIST}),
    ([{}], {"inboxes.0.inbox_id": '"inbox_id" is required', "inboxes.0.limit": '"limit" is required'}),
    ([{"inbox_id": 1}], {"inboxes.0.limit": '"limit" is required'}),
    ([{"inbox_id": 1, "limit": 1}, {"inbox_id": "1", "limit": 2}], {"inboxes": '"inboxes" must name an inbox once'}),
    ([{"inbox_id": 1, "limit": 1}] * 1001, {"inboxes": '"inboxes" must be a list of at most 1000'}),
]


@pytest.mark.parametrize(("inboxes", "fields"), BAD_LISTS, ids=lambda value: ascii(value)[:40])
def test_what_is_no_list_of_limits_is_400_with_the_place(cast: Cast, api: type[Api], inboxes: Any, fields: dict[str, str]) -> None:
    with witness.untouched(cast):
        answer = change(api(cast.mia), cast, own_limit=5, inboxes=inboxes)

    assert witness.said(answer) == witness.invalid(**fields)


@pytest.mark.parametrize("body", [{}, {"operator_id": 1}])
def test_a_body_without_a_limit_is_400(cast: Cast, api: type[Api], body: dict[str, Any]) -> None:
    with witness.untouched(cast):
        answer = change(api(cast.mia), cast, **body)

    assert witness.said(answer) == witness.invalid(own_limit='"own_limit" or "inboxes" is required')


# --- what follows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_lowered_number_takes_nothing_away_and_ends_hand_outs(cast: Cast, api: type[Api], way: str) -> None:
    held = [witness.held(cast, cast.otto) for _ in range(2)]
    cast.conversation()

    lowered = change(api(cast.mia), cast, own_limit=1)
    answer = WAYS[way](cast, api)

    assert (lowered.data["limit"], lowered.data["held"]) == (1, 2)
    assert witness.said(answer) == full(1, 2)
    assert [cast.again(row).assigned_operator_id for row in held] == [cast.otto.pk] * 2


@pytest.mark.parametrize("way", WAYS)
def test_a_raised_number_makes_room_at_once(cast: Cast, api: type[Api], way: str) -> None:
    witness.held(cast, cast.otto)
    cast.conversation()
    change(api(cast.mia), cast, own_limit=1)
    refused = WAYS[way](cast, api)

    change(api(cast.mia), cast, own_limit=2)
    answer = WAYS[way](cast, api)

    assert (refused.status, answer.status) == (409, 200)


@pytest.mark.parametrize("way", ["claim", "manager-allocate", "reassign"])
def test_a_limit_at_an_inbox_ends_hand_outs_of_it(cast: Cast, api: type[Api], way: str) -> None:
    witness.held(cast, cast.otto)

    change(api(cast.mia), cast, inboxes=[at(cast.support, 1)])
    refused = WAYS[way](cast, api)
    change(api(cast.mia), cast, inboxes=[at(cast.support, None)])
    answer = WAYS[way](cast, api)

    assert witness.said(refused) == full(1, 1, inbox_id=cast.support.pk)
    assert answer.status == 200


def test_the_queue_hands_out_of_other_inboxes_where_one_is_at_its_limit(cast: Cast, api: type[Api]) -> None:
    witness.subscribe(cast, cast.otto, cast.sales)
    cast.conversation(message_count=90)
    sale = cast.conversation(inbox=cast.sales)

    change(api(cast.mia), cast, inboxes=[at(cast.support, 0)])
    first, second = (WAYS["allocate"](cast, api) for _ in range(2))

    assert first.data["id"] == sale.pk
    assert (second.status, second.body["code"]) == (409, "capacity_exceeded"), "nothing else waits"


def test_a_limit_ends_with_the_subscription_that_had_it(cast: Cast, api: type[Api]) -> None:
    change(api(cast.mia), cast, inboxes=[at(cast.support, 1)])
    with isolation.act_as(cast.tenant.pk):
        desk.answer_at(cast.otto.pk, [])
        desk.answer_at(cast.otto.pk, [cast.support.pk])

    told = api(cast.otto).get(f"/operators/{cast.otto.pk}/capacity").data

    assert told["inboxes"] == [shown(cast, cast.support, None, 0)]
