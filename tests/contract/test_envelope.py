"""What every answer shares: the envelope, both spellings of a path, the id of the request, and errors of every kind."""

import re
from typing import Any

import pytest
from django.db import connection
from django.urls import path
from psycopg import connect
from pytest_django.fixtures import Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from convalloc import urls
from operators.api.permissions import MATRIX, Reach
from operators.models import Role
from tests.conftest import Api, Cast, assemble
from tests.contract import witness
from tests.contract.routes import MAKES_A_ROW, OPEN, ROUTES, Route, call, stage


class Broken(ViewSet):
    """A bug of ours."""

    authentication_classes = ()
    permission_classes = ()

    def list(self, request: Request) -> Response:
        """Falls over."""
        raise ZeroDivisionError("a detail that nobody outside may read")


# This module is also a URLconf: the API with a view that has a bug.
urlpatterns = [path("api/v1/broken", Broken.as_view({"get": "list"})), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


@pytest.mark.parametrize("spelling", ["{path}", "{path}/"])
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_both_spellings_of_a_path_work_without_a_redirect(cast: Cast, api: type[Api], route: Route, spelling: str) -> None:
    method, path, body = call(route, stage(cast, route.operation, cast.olga))
    path, *query = path.split("?")

    who = cast.olga if MATRIX[route.operation][Role.ADMIN] is Reach.OWN else cast.ada  # not even an admin for others
    answer = api(who).call(method, "?".join([spelling.format(path=path), *query]), body)

    assert answer.status == (201 if route.operation in MAKES_A_ROW else 200), answer.body
    assert answer.body["status"] == "success"
    assert set(answer.body) <= {"status", "message", "data", "meta"}
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", OPEN.values())
def test_open_routes_have_both_spellings_too(db: None, api: type[Api], path: str) -> None:
    statuses = [api(None).get(path).status, api(None).get(f"{path}/").status]

    assert statuses == [200, 200]


@pytest.mark.parametrize(
    "path", ["/nothing", "/conversations/5/nothing", "/operators/1", "/conversations//", "/%00", "/%FF", "/\N{SNOWMAN}"]
)
def test_no_route_is_404_in_the_envelope(cast: Cast, api: type[Api], path: str) -> None:
    answer = api(cast.ada).get(path)

    assert (answer.status, answer.body["status"], answer.body["code"], answer.body["errors"]) == (404, "error", "not_found", [])
    assert answer.body["message"].startswith("Cannot GET /api/v1/")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/conversations", "GET"),
        ("POST", "/conversations", "GET"),
        ("GET", "/conversations/allocate", "POST"),
        ("PATCH", "/labels/1", "PUT"),
        ("GET", "/labels/1", "PUT"),
        ("POST", "/operators/1/status", "PUT"),
        ("OPTIONS", "/conversations", "GET"),
        ("TRACE", "/conversations", "GET"),
        ("POST", "/health", "GET"),
        ("DELETE", "/health/ready", "GET"),
    ],
)
def test_another_method_is_405_and_says_which_are_allowed(cast: Cast, api: type[Api], method: str, path: str, allowed: str) -> None:
    answer = api(cast.ada).call(method, path)

    assert witness.said(answer) == witness.refusal(405, "method_not_allowed", f'Method "{method}" not allowed.')
    assert allowed in answer.headers["Allow"]


# --- the id of the request ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/inboxes", "/nothing", "/health", "/conversations/987654321", "/conversations?limit=0"])
def test_the_requests_id_is_echoed(cast: Cast, api: type[Api], path: str) -> None:
    answer = api(cast.ada).call("GET", path, **{"X-Request-Id": "Abc-123_4.5"})

    assert answer.headers["X-Request-Id"] == "Abc-123_4.5"


@pytest.mark.parametrize("offered", ["", " ", "a b", "a\0b", "x" * 65, "<script>", "\N{SNOWMAN}", "a/b"])
def test_a_malformed_id_is_replaced(cast: Cast, api: type[Api], offered: str) -> None:
    answer = api(cast.ada).call("GET", "/inboxes", **{"X-Request-Id": offered})

    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_the_events_carry_the_id_that_the_answer_names(cast: Cast, api: type[Api]) -> None:
    cast.conversation()

    with witness.appended(cast) as events:
        answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert [event["request_id"] for event in events] == [answer.headers["X-Request-Id"]]


# --- when it is our fault, or nobody's ------------------------------------------------------------


def test_a_bug_is_500_in_the_envelope_and_tells_nothing(cast: Cast, api: type[Api], settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__

    answer = api(cast.ada).call("GET", "/broken", **witness.REQUEST)

    assert witness.said(answer) == witness.refusal(500, "internal_error", "Internal server error")
    assert answer.headers["X-Request-Id"] == witness.REQUEST["X-Request-Id"]


LATER = witness.refusal(503, "unavailable", "The service is busy or its database is away: try again")


@pytest.mark.parametrize("act", ["resolve", "deallocate"])
def test_a_lock_that_is_not_had_in_time_is_503_with_retry_after_and_changes_nothing(committed: None, api: type[Api], act: str) -> None:
    cast = assemble()
    conversation = witness.held(cast, cast.olga)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")

    with witness.untouched(cast), connect(**parameters()) as neighbour:
        neighbour.execute(f"SET LOCAL app.tenant_id = '{cast.tenant.pk}'")
        neighbour.execute("SELECT FROM conversations WHERE id = %s FOR UPDATE", [conversation.pk])
        answer = api(cast.mia).post(f"/conversations/{act}", conversation_id=conversation.pk)

    assert witness.said(answer) == LATER
    assert answer.headers["Retry-After"] == "1"


def test_a_database_that_is_away_is_503_with_retry_after(committed: None, api: type[Api], monkeypatch: pytest.MonkeyPatch) -> None:
    cast = assemble()
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    answer = api(cast.mia).get("/conversations")

    assert witness.said(answer) == LATER
    assert answer.headers["Retry-After"] == "1"


def parameters() -> dict[str, Any]:
    """How to reach the tests' database as the runtime role, beside Django."""
    found = connection.get_connection_params()
    return {name: found[name] for name in ("dbname", "user", "password", "host", "port") if name in found}


def test_a_host_that_is_not_ours_is_refused(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).call("GET", "/anything", Host="evil.example")

    assert (answer.status, answer.body["code"]) == (400, "bad_request")
