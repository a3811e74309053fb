"""Every route of the URLconf, every role, for oneself and for others: as operators.api.permissions.MATRIX says."""

import pytest

from operators.api.permissions import MATRIX, Reach, lowest_role
from operators.models import Role
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.routes import MAKES_A_ROW, OPEN, OPEN_TO_POST, ROUTES, Route, call, operations, stage


def test_every_route_has_a_row_or_is_open_to_anyone() -> None:
    found = {operation for operation, _, _ in operations()}

    assert found == MATRIX.keys() | OPEN.keys() | OPEN_TO_POST.keys(), "give the new route a row in MATRIX, or name it among the open ones"


def test_every_row_says_something_for_every_role() -> None:
    assert {operation: set(row) for operation, row in MATRIX.items()} == {operation: set(Role) for operation in MATRIX}


def test_every_operation_is_walked() -> None:
    walked = (
        {(route.operation, route.method) for route in ROUTES} | {(name, "GET") for name in OPEN} | {(name, "POST") for name in OPEN_TO_POST}
    )

    assert walked == {(operation, method) for operation, method, _ in operations()}


@pytest.mark.parametrize("whose", ["own", "other"])
@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_role_reaches_as_far_as_its_row_says(cast: Cast, api: type[Api], route: Route, role: Role, whose: str) -> None:
    caller = {Role.OPERATOR: cast.olga, Role.MANAGER: cast.mia, Role.ADMIN: cast.ada}[role]
    ids = stage(cast, route.operation, caller if whose == "own" else cast.otto)
    if route.operation == "label-create":
        ids["operator"] = caller.pk  # created_by is a matter of the body, not of reach: see test_label_create
    reach = MATRIX[route.operation][role]

    answer = api(caller).call(*call(route, ids))

    if reach is Reach.NOBODY:
        assert witness.said(answer) == witness.role_too_low(lowest_role(route.operation))
    elif reach is Reach.OWN and whose == "other":
        assert answer.status == 403
        assert answer.body["code"] in {"not_yourself", "not_the_holder"}
    else:
        assert answer.status == (201 if route.operation in MAKES_A_ROW else 200), answer.body


@pytest.mark.parametrize("path", OPEN.values(), ids=OPEN)
def test_an_open_route_asks_nobody_who_they_are(db: None, api: type[Api], path: str) -> None:
    answer = api(None).get(path)

    assert answer.status == 200


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_other_route_refuses_nobody_in_particular(cast: Cast, api: type[Api], route: Route) -> None:
    ids = stage(cast, route.operation, cast.olga)

    with witness.untouched(cast):
        answer = api(None).call(*call(route, ids))

    assert witness.said(answer) == witness.UNKNOWN_CALLER
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="convalloc"'
