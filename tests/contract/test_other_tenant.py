"""Another tenant's ids, in every position of every route, from every role: as if they did not exist."""

import pytest

from operators.api.permissions import MATRIX, Reach
from operators.models import Role
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.routes import KINDS, ROUTES, Route, call, stage_anything

NO_SUCH_ID = 987_654_321


def positions(route: Route) -> list[str]:
    """Where an id stands in a call of the route: `kind` in the path or the body, `kind?` in the query."""
    in_path = [kind for kind in KINDS if f"{{{kind}}}" in route.path]
    return in_path + list(route.body.values()) + [f"{kind}?" for kind in route.query.values()]


WALK = [(route, position) for route in ROUTES for position in positions(route)]


def comparable(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    """Everything a caller can see, but the id of the request."""
    return answer.status, answer.raw, {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}


def test_the_walk_has_an_id_to_try_on_every_route_that_takes_one() -> None:
    without = {route.operation for route in ROUTES if not positions(route)}

    assert without == {
        "conversation-search",
        "recalculation-update-priorities",
        "me-retrieve",
        "contact-erase",
        "api-key-list",
        "signing-secret-list",
        "signature-check",
        "webhook-list",
        "webhook-create",
        "tenant-retrieve",
        "tenant-change",
        "operator-list",
        "inbox-list",
    }


@pytest.mark.parametrize(("route", "position"), WALK, ids=[f"{route} {position}" for route, position in WALK])
def test_a_foreign_id_answers_byte_for_byte_as_a_missing_one(
    cast: Cast, neighbours: Cast, api: type[Api], route: Route, position: str
) -> None:
    own, foreign = stage_anything(cast), stage_anything(neighbours)
    unknown, theirs = (call(route, own | {position: pk}) for pk in (NO_SUCH_ID, foreign[position.rstrip("?")]))
    callers = {Role.OPERATOR: cast.olga, Role.MANAGER: cast.mia, Role.ADMIN: cast.ada}

    with witness.untouched(cast, neighbours):
        answers = {role: (api(caller).call(*unknown), api(caller).call(*theirs)) for role, caller in callers.items()}

    assert {role: comparable(answer) for role, (_, answer) in answers.items()} == {
        role: comparable(missing) for role, (missing, _) in answers.items()
    }
    assert {role: answer.status for role, (_, answer) in answers.items()} == {
        role: 403 if MATRIX[route.operation][role] is Reach.NOBODY else 404 for role in callers
    }


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_call_for_ones_own_tenant_changes_nothing_of_another(
    cast: Cast, neighbours: Cast, api: type[Api], route: Route, role: Role
) -> None:
    caller = {Role.OPERATOR: cast.olga, Role.MANAGER: cast.mia, Role.ADMIN: cast.ada}[role]
    own = stage_anything(cast)
    stage_anything(neighbours)

    with witness.untouched(neighbours):
        answer = api(caller).call(*call(route, own))

    assert answer.status < 500
    assert f'"tenant_id":{neighbours.tenant.pk},'.encode() not in answer.raw
