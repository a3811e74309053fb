"""Versions: who says what they saw changes nothing else (If-Match, 412), and who has it already is spared the rest (ETag, 304)."""

import re
from typing import Any

import pytest

from convalloc.api.docs import openapi
from conversations import erasure, expiry, silence
from conversations.models import Conversation
from operators import desk
from operators.api.permissions import MATRIX
from operators.models import OperatorStatus
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.routes import CONVERSATION, INBOX, LABEL, OPERATOR, ROUTES, Route, call, operations
from tests.contract.test_all_or_nothing import staged
from tests.operators.test_leases import silent_for, with_leases

CHANGED = witness.refusal(412, "version_mismatch", "It has changed since you saw it: look again, and decide anew")
ROWS = {
    "/conversations/{conversation}": "conversation",
    "/operators/{operator}/status": "status",
    "/operators/{operator}/capacity": "limits",
    "/tenant": "tenant",
}
ACTS = ("claim", "manager-allocate", "resolve", "deallocate", "release", "reassign", "move-inbox")
TAKEN = {f"conversation-{act}" for act in ACTS} | {
    "label-update",
    "label-destroy",
    "label-attach",
    "label-detach",
    "operator-change-status",
    "operator-change-capacity",
    "tenant-change",
}
WRITES = [route for route in ROUTES if route.operation in TAKEN]
OTHERS = [route for route in ROUTES if route.method != "GET" and route.operation not in TAKEN]
REPEATABLE = [route for route in WRITES if route.operation in {"tenant-change", "operator-change-status", "label-update"}]
SHOWN = [route for route in ROUTES if route.path in ROWS and route.method == "GET"]


def version_of(cast: Cast, operation: str, ids: dict[str, int]) -> int:
    """The version of the row that an operation is about, as the API tells it."""
    ada = Api(cast.ada)
    noun = operation.split("-")[0]
    if operation in ("label-update", "label-destroy"):
        (row,) = [row for row in ada.get("/labels").data if row["id"] == ids[LABEL]]
    elif noun in ("conversation", "label"):
        row = ada.get(f"/conversations/{ids[CONVERSATION]}").data
    elif operation == "operator-change-status":
        row = ada.get(f"/operators/{ids[OPERATOR]}/status").data["status"]
    elif operation == "operator-change-capacity":
        row = ada.get(f"/operators/{ids[OPERATOR]}/capacity").data
    else:
        row = ada.get("/tenant").data
    return int(row["version"])


def told(answer: Answer) -> Any:
    return answer.headers.get("ETag")


def test_these_operations_take_if_match() -> None:
    """As they are documented."""
    documented = set()
    for operation, method, _ in operations():
        route = next((route for route in ROUTES if (route.operation, route.method) == (operation, method)), None)
        if route is not None and method != "GET" and _documented(operation, method):
            documented.add(operation)

    assert documented == TAKEN
    assert MATRIX.keys() >= TAKEN


def _documented(operation: str, method: str) -> bool:
    for path in openapi()["paths"].values():
        told_of = path.get(method.lower())
        if told_of and re.sub("_by_(get|post)$", "", told_of["operationId"]).replace("_", "-") == operation:
            return "If-Match" in {parameter["name"] for parameter in told_of.get("parameters", [])}
    return False


@pytest.mark.parametrize("route", WRITES, ids=str)
def test_who_saw_another_version_changes_nothing(cast: Cast, api: type[Api], route: Route) -> None:
    ids = staged(cast, route)
    version = version_of(cast, route.operation, ids)

    with witness.untouched(cast):
        answers = [
            api(cast.ada).call(*call(route, ids), **{"If-Match": tag})
            for tag in (f'"{version + 1}"', f'"{version - 1}.0123456789ab"', f'W/"{version}"', '"something-else"', f'"{version}0"')
        ]

    assert [witness.said(answer) for answer in answers] == [CHANGED] * 5


@pytest.mark.parametrize("form", ['"{version}"', '"{version}.0123456789ab"', '"0", W/"x",\t"{version}"', "*"])
@pytest.mark.parametrize("route", WRITES, ids=str)
def test_who_saw_this_one_does(cast: Cast, api: type[Api], route: Route, form: str) -> None:
    ids = staged(cast, route)
    version = version_of(cast, route.operation, ids)

    answer = api(cast.ada).call(*call(route, ids), **{"If-Match": form.format(version=version)})

    assert answer.status == 200, answer.body
    if route.operation != "label-destroy":
        assert version_of(cast, route.operation, ids) == version + 1
        assert told(answer).startswith(f'"{version + 1}.')


@pytest.mark.parametrize("route", OTHERS, ids=str)
def test_where_nobody_would_look_at_it_it_is_refused(cast: Cast, api: type[Api], route: Route) -> None:
    ids = staged(cast, route)

    with witness.untouched(cast):
        answer = api(cast.ada).call(*call(route, ids), **{"If-Match": '"1"'})

    problem = '"If-Match" is not taken here: this changes no single row that has a version'
    assert witness.said(answer) == witness.invalid(**{"If-Match": problem})


@pytest.mark.parametrize("tag", ["1", '"1', "", '"1" "2"', ",", '"a"b"', '"1",', "W/1", '"\x7f"'])
def test_what_is_no_tag_is_refused(cast: Cast, api: type[Api], tag: str) -> None:
    with witness.untouched(cast):
        answer = api(cast.ada).call("PATCH", "/tenant", {"name": "other"}, **{"If-Match": tag})

    assert witness.said(answer) == witness.invalid(**{"If-Match": '"If-Match" must be entity tags such as "7", in quotes, or *'})


def test_a_role_is_asked_for_first_and_so_is_whose_it_is(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    row, foreign = witness.held(cast, cast.olga), neighbours.conversation()
    match = {"If-Match": '"99"'}

    answers = [
        api(cast.otto).call("POST", "/conversations/deallocate", {"conversation_id": row.pk}, **match),
        api(cast.mia).call("POST", "/conversations/deallocate", {"conversation_id": foreign.pk}, **match),
        api(cast.otto).call("PUT", f"/operators/{cast.olga.pk}/status", {"status": "AWAY"}, **match),
        api(cast.otto).call("PUT", f"/labels/{cast.label().pk}", {"name": "x"}, **match),
    ]

    assert [answer.status for answer in answers] == [403, 404, 403, 403]


def test_what_is_done_already_is_not_refused_to_who_did_it(cast: Cast, api: type[Api]) -> None:
    """A retry that bears the version from before its own success."""
    row = witness.held(cast, cast.olga)
    wish = ("POST", "/conversations/resolve", {"conversation_id": row.pk})
    match = {"If-Match": f'"{cast.again(row).version}"'}

    answers = [api(cast.olga).call(*wish, **match) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]


def test_one_request_does_not_bind_the_next(cast: Cast, api: type[Api]) -> None:
    caller = api(cast.ada)
    caller.call("PATCH", "/tenant", {"name": "one"}, **{"If-Match": '"77"'})

    assert caller.call("PATCH", "/tenant", {"name": "two"}).status == 200


# --- what a tag tells -----------------------------------------------------------------------------


@pytest.mark.parametrize("route", SHOWN, ids=str)
def test_who_has_it_already_is_told_no_more_than_that(cast: Cast, api: type[Api], route: Route) -> None:
    question = call(route, staged(cast, route))
    first = api(cast.ada).call(*question)

    again = [
        api(cast.ada).call(*question, **{"If-None-Match": tag}) for tag in (told(first), f"W/{told(first)}", f'"x", {told(first)}', "*")
    ]
    other = api(cast.ada).call(*question, **{"If-None-Match": '"1.0"'})

    assert re.fullmatch(r'"[0-9]+\.[0-9a-f]{12}"', told(first))
    assert [(answer.status, answer.raw, told(answer)) for answer in again] == [(304, b"", told(first))] * 4
    assert (other.status, told(other)) == (200, told(first))


def test_a_tag_is_another_when_anything_but_the_score_is(cast: Cast, api: type[Api]) -> None:
    row, label = witness.held(cast, cast.olga), cast.label()
    path, ada, tags = f"/conversations/{row.pk}", api(cast.ada), []

    def look() -> None:
        tags.append(told(ada.get(path)))

    look()
    look()
    ada.post("/labels/attach", conversation_id=row.pk, label_id=label.pk)
    look()
    ada.put(f"/labels/{label.pk}", name="renamed")
    look()

    assert tags[0] == tags[1]
    assert len(set(tags)) == 3
    assert [int(tag.strip('"').split(".")[0]) for tag in tags] == [2, 2, 3, 3]


def test_a_list_and_a_malformed_if_none_match(cast: Cast, api: type[Api]) -> None:
    assert told(api(cast.ada).get("/conversations")) is None
    answer = api(cast.ada).call("GET", "/tenant", **{"If-None-Match": "7"})

    assert witness.said(answer) == witness.invalid(**{"If-None-Match": '"If-None-Match" must be entity tags such as "7", in quotes, or *'})


def test_a_repeated_question_is_answered_with_the_tag_of_then(cast: Cast, api: type[Api]) -> None:
    label = cast.label()
    wish = ("PUT", f"/labels/{label.pk}", {"name": "other"})
    headers = {"If-Match": '"1"', "Idempotency-Key": "once"}

    first, second = (api(cast.mia).call(*wish, **headers) for _ in range(2))

    assert (first.status, second.raw, told(second)) == (200, first.raw, told(first))


# --- whoever changes the row counts ---------------------------------------------------------------


def test_the_clock_counts_too_when_it_sets_a_status(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.olga, 3600)

    silence.declare_lost()

    with isolation.act_as(cast.tenant.pk):
        row = OperatorStatus.objects.get(operator=cast.olga)
    assert (row.status, row.version) == ("OFFLINE", 2)


def test_the_clock_counts_too_when_it_takes_a_conversation(cast: Cast) -> None:
    period = witness.kept(cast, cast.olga)
    with isolation.act_as(cast.tenant.pk):
        row = Conversation.objects.get(pk=period.conversation_id)
        version = row.version
        type(period).objects.filter(pk=period.pk).update(opened_at="2025-01-01T00:00:00Z", expires_at="2025-01-01T00:01:00Z")

    expiry.expire_due()

    assert cast.again(row).version == version + 1


def test_forgetting_a_customer_counts_for_labels(cast: Cast) -> None:
    cast.conversation(customer_phone_number="+12025550123")
    label = cast.label(name="call +12025550123")

    erasure.erase_contact(cast.tenant.pk, "+12025550123")

    assert cast.again(label).version == 2


def test_other_inboxes_are_another_version_of_the_limits(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        desk.answer_at(cast.otto.pk, [cast.support.pk, cast.sales.pk])
        desk.answer_at(cast.otto.pk, [cast.support.pk, cast.sales.pk])

    assert cast.again(cast.otto).limits_version == 2


@pytest.mark.parametrize("route", REPEATABLE, ids=str)
def test_what_changes_nothing_is_no_other_version(cast: Cast, api: type[Api], route: Route) -> None:
    ids = staged(cast, route) | {INBOX: cast.support.pk}
    api(cast.ada).call(*call(route, ids))
    version = version_of(cast, route.operation, ids)

    api(cast.ada).call(*call(route, ids))

    assert version_of(cast, route.operation, ids) == version
