"""Every operation answers as the OpenAPI schema says: one call that works for each, and one for each kind of refusal."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from convalloc.api.docs import openapi
from conversations.deliveries import IncomingMessage
from operators import sessions, staff
from operators.models import Operator
from tenants import isolation
from tests.conftest import Answer, Api, Cast, assemble
from tests.contract.routes import api_key, session, signing_secret
from tests.contract.witness import kept
from tests.schema.answers import breaks, operation
from tests.schema.of_webhooks import OF_WEBHOOKS


class Call(NamedTuple):
    """A call of an operation: who, what, and the row it is about, once there is a cast."""

    method: str
    template: str
    prepare: Callable[[Cast], tuple[Any, str, dict[str, Any] | None]]

    def make(self, cast: Cast, api: type[Api]) -> Answer:
        """Prepare the world, then call."""
        caller, path, body = self.prepare(cast)
        return api(caller).call(self.method, path, body)


def held(cast: Cast) -> Any:
    """A labelled conversation that Olga holds."""
    row, label = cast.conversation(), cast.label()
    assert Api(cast.olga).post("/labels/attach", conversation_id=row.pk, label_id=label.pk).status == 200
    assert Api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk).status == 200
    return row


def offline(cast: Cast) -> Any:
    """Olga, who has left."""
    assert Api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE").status == 200
    return cast.olga


def pair(cast: Cast) -> dict[str, int]:
    """A conversation and a label of its inbox."""
    return {"conversation_id": cast.conversation().pk, "label_id": cast.label().pk}


PASSWORD = "correct horse battery"


def keyed(cast: Cast) -> Operator:
    """Olga, who knows her password."""
    with isolation.act_as(cast.tenant.pk):
        return staff.set_password(cast.olga.pk, PASSWORD)


def going_on(cast: Cast) -> str:
    """Her refresh token."""
    return sessions.begin(keyed(cast).email, PASSWORD, "203.0.113.7").refresh_token


OPEN = re.compile("/(health|auth)")
WORKING = [
    Call("GET", "/health", lambda cast: (None, "/health", None)),
    Call("GET", "/health/live", lambda cast: (None, "/health/live", None)),
    Call("GET", "/health/ready", lambda cast: (None, "/health/ready", None)),
    Call("GET", "/conversations", lambda cast: (held(cast) and cast.olga, "/conversations", None)),
    Call("GET", "/conversations/{id}", lambda cast: (cast.olga, f"/conversations/{held(cast).pk}", None)),
    Call("GET", "/conversations/{id}/priority", lambda cast: (cast.olga, f"/conversations/{cast.conversation().pk}/priority", None)),
    Call("GET", "/conversations/{id}/timeline", lambda cast: (cast.olga, f"/conversations/{held(cast).pk}/timeline", None)),
    Call("GET", "/events", lambda cast: (held(cast) and cast.ada, "/events", None)),
    Call(
        "GET",
        "/conversations/search",
        lambda cast: (cast.mia, f"/conversations/search?phone_number={held(cast).customer_phone_number}", None),
    ),
    Call(
        "POST",
        "/conversations/search",
        lambda cast: (cast.mia, "/conversations/search", {"phone_number": held(cast).customer_phone_number}),
    ),
    Call(
        "POST",
        "/conversations/allocate",
        lambda cast: (cast.conversation() and cast.olga, "/conversations/allocate", {"operator_id": cast.olga.pk}),
    ),
    Call(
        "POST",
        "/conversations/claim",
        lambda cast: (cast.olga, "/conversations/claim", {"operator_id": cast.olga.pk, "conversation_id": cast.conversation().pk}),
    ),
    Call(
        "POST",
        "/conversations/manager-allocate",
        lambda cast: (
            cast.mia,
            "/conversations/manager-allocate",
            {"operator_id": cast.otto.pk, "conversation_id": cast.conversation().pk},
        ),
    ),
    Call("POST", "/conversations/resolve", lambda cast: (cast.olga, "/conversations/resolve", {"conversation_id": held(cast).pk})),
    Call("POST", "/conversations/deallocate", lambda cast: (cast.mia, "/conversations/deallocate", {"conversation_id": held(cast).pk})),
    Call(
        "POST",
        "/conversations/release",
        lambda cast: (
            cast.olga,
            "/conversations/release",
            {"conversation_id": held(cast).pk, "reason": "needs somebody who speaks Polish"},
        ),
    ),
    Call("GET", "/grace-periods", lambda cast: (kept(cast, cast.otto) and cast.mia, "/grace-periods", None)),
    Call(
        "POST",
        "/grace-periods/{id}/extend",
        lambda cast: (cast.mia, f"/grace-periods/{kept(cast, cast.otto).pk}/extend", {"minutes": 30, "reason": "on the train"}),
    ),
    Call(
        "POST",
        "/grace-periods/{id}/expire-now",
        lambda cast: (cast.mia, f"/grace-periods/{kept(cast, cast.otto).pk}/expire-now", {"reason": "ill"}),
    ),
    Call(
        "POST",
        "/conversations/reassign",
        lambda cast: (cast.mia, "/conversations/reassign", {"operator_id": cast.otto.pk, "conversation_id": held(cast).pk}),
    ),
    Call(
        "POST",
        "/conversations/move-inbox",
        lambda cast: (cast.mia, "/conversations/move-inbox", {"inbox_id": cast.sales.pk, "conversation_id": cast.conversation().pk}),
    ),
    Call("POST", "/auth/token", lambda cast: (None, "/auth/token", {"email": keyed(cast).email, "password": PASSWORD})),
    Call("POST", "/auth/refresh", lambda cast: (None, "/auth/refresh", {"refresh_token": going_on(cast)})),
    Call("POST", "/auth/logout", lambda cast: (None, "/auth/logout", {"refresh_token": going_on(cast)})),
    Call(
        "POST",
        "/ingest/messages",
        lambda cast: (cast.ada, "/ingest/messages", IncomingMessage.example | {"inbox": cast.support.phone_number}),
    ),
    Call("GET", "/me", lambda cast: (cast.olga, "/me", None)),
    Call("GET", "/api-keys", lambda cast: (api_key(cast) and cast.ada, "/api-keys", None)),
    Call("POST", "/api-keys", lambda cast: (cast.ada, "/api-keys", {"name": "CRM", "operator_id": cast.mia.pk, "scopes": ["labels:read"]})),
    Call("DELETE", "/api-keys/{id}", lambda cast: (cast.ada, f"/api-keys/{api_key(cast).pk}", None)),
    Call("GET", "/signing-secrets", lambda cast: (signing_secret(cast) and cast.ada, "/signing-secrets", None)),
    Call("POST", "/signing-secrets", lambda cast: (cast.ada, "/signing-secrets", {"api_key_id": api_key(cast).pk})),
    Call("DELETE", "/signing-secrets/{id}", lambda cast: (cast.ada, f"/signing-secrets/{signing_secret(cast).pk}", None)),
    Call("POST", "/signatures/check", lambda cast: (cast.olga, "/signatures/check", None)),
    *(Call(*call) for call in OF_WEBHOOKS),
    Call("GET", "/tenant", lambda cast: (cast.olga, "/tenant", None)),
    Call("PATCH", "/tenant", lambda cast: (cast.ada, "/tenant", {"priority_alpha": 0.5, "operator_capacity": 8})),
    Call("GET", "/operators", lambda cast: (cast.mia, "/operators", None)),
    Call(
        "GET",
        "/operators/{id}/sessions",
        lambda cast: (session(cast, cast.olga) and cast.olga, f"/operators/{cast.olga.pk}/sessions", None),
    ),
    Call(
        "DELETE",
        "/operators/{id}/sessions",
        lambda cast: (session(cast, cast.olga) and cast.mia, f"/operators/{cast.olga.pk}/sessions", None),
    ),
    Call(
        "DELETE",
        "/operators/{id}/sessions/{session_id}",
        lambda cast: (cast.olga, f"/operators/{cast.olga.pk}/sessions/{session(cast, cast.olga).pk}", None),
    ),
    Call("GET", "/operators/{id}/status", lambda cast: (cast.olga, f"/operators/{cast.olga.pk}/status", None)),
    Call("PUT", "/operators/{id}/status", lambda cast: (cast.olga, f"/operators/{cast.olga.pk}/status", {"status": "AWAY"})),
    Call("GET", "/operators/{id}/stats", lambda cast: (held(cast) and cast.mia, f"/operators/{cast.olga.pk}/stats", None)),
    Call("GET", "/operators/{id}/inboxes", lambda cast: (cast.olga, f"/operators/{cast.olga.pk}/inboxes", None)),
    Call("GET", "/operators/{id}/capacity", lambda cast: (held(cast) and cast.olga, f"/operators/{cast.olga.pk}/capacity", None)),
    Call(
        "PATCH",
        "/operators/{id}/capacity",
        lambda cast: (
            cast.mia,
            f"/operators/{cast.olga.pk}/capacity",
            {"own_limit": 5, "inboxes": [{"inbox_id": cast.support.pk, "limit": 2}]},
        ),
    ),
    Call("GET", "/operators/{id}/presence", lambda cast: (cast.olga, f"/operators/{cast.olga.pk}/presence", None)),
    Call("POST", "/operators/{id}/heartbeat", lambda cast: (cast.olga, f"/operators/{cast.olga.pk}/heartbeat", None)),
    Call("GET", "/inboxes", lambda cast: (cast.olga, "/inboxes", None)),
    Call("GET", "/labels", lambda cast: (cast.label() and cast.olga, "/labels", None)),
    Call("POST", "/labels", lambda cast: (cast.olga, "/labels", {"inbox_id": cast.support.pk, "name": "Refund", "color": "#112233"})),
    Call("PUT", "/labels/{id}", lambda cast: (cast.mia, f"/labels/{cast.label().pk}", {"name": "Refunds"})),
    Call("DELETE", "/labels/{id}", lambda cast: (cast.mia, f"/labels/{cast.label().pk}", None)),
    Call("POST", "/labels/attach", lambda cast: (cast.olga, "/labels/attach", pair(cast))),
    Call("POST", "/labels/detach", lambda cast: (cast.olga, "/labels/detach", pair(cast))),
    Call(
        "POST", "/contacts/erase", lambda cast: (cast.ada, "/contacts/erase", {"phone_number": cast.conversation().customer_phone_number})
    ),
]
COMMITS_BY_ITSELF = {("POST", "/conversations/update-priorities")}  # tested below, on committed rows
NOBODY_ID = 2**62
NAMES_A_ROW = {f"{kind}_id" for kind in ("api_key", "conversation", "inbox", "label", "operator")} | {"inbox"}
WITH_BODY = [call for call in WORKING if "requestBody" in operation(call.method, call.template)]


def documented() -> dict[tuple[str, str], dict[str, Any]]:
    """Every operation of the schema, by method and path under /api/v1."""
    return {
        (method.upper(), path.removeprefix("/api/v1")): told
        for path, methods in openapi()["paths"].items()
        for method, told in methods.items()
    }


def raw(api: Api, method: str, path: str, body: bytes, content_type: str) -> Answer:
    """A call whose body is these very bytes."""
    response = api.client.generic(method, f"/api/v1{path}", body, content_type, headers=api.headers)
    return Answer(response.status_code, response.json(), response.headers, response.content)


def name(call: Call) -> str:
    return f"{call.method} {call.template}"


def test_every_operation_is_called_here() -> None:
    assert {(call.method, call.template) for call in WORKING} | COMMITS_BY_ITSELF == documented().keys()


ASKS_NOTHING = {"/grace-periods/{id}/expire-now"}  # a body may be empty


@pytest.mark.parametrize("call", WORKING, ids=name)
def test_success_has_the_promised_shape(call: Call, cast: Cast, api: type[Api]) -> None:
    answer = call.make(cast, api)

    assert answer.status < 300, answer.body
    assert breaks(answer, call.method, call.template) == []


@pytest.mark.parametrize("call", [call for call in WORKING if "/health" not in call.template], ids=name)
def test_success_says_what_the_example_says(call: Call, cast: Cast, api: type[Api]) -> None:
    promised = operation(call.method, call.template)["responses"]

    answer = call.make(cast, api)

    example = promised[str(answer.status)]["content"]["application/json"]["examples"]["Success"]["value"]
    assert answer.body.get("message") == example.get("message")
    assert answer.body.keys() == example.keys()


def test_an_empty_queue_has_the_promised_shape(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert answer.data is None
    assert breaks(answer, "POST", "/conversations/allocate") == []


def test_a_recalculation_has_the_promised_shape(committed: None, api: type[Api]) -> None:
    cast = assemble()
    cast.conversation()

    answer = api(cast.ada).post("/conversations/update-priorities")

    assert answer.data == {"updated_count": 1}
    assert breaks(answer, "POST", "/conversations/update-priorities") == []


@pytest.mark.parametrize("call", [call for call in WORKING if not OPEN.match(call.template)], ids=name)
def test_nobody_is_refused_in_the_promised_shape(call: Call, cast: Cast, api: type[Api]) -> None:
    _, path, body = call.prepare(cast)

    answer = api(None).call(call.method, path, body)

    assert answer.status == 401
    assert breaks(answer, call.method, call.template) == []


@pytest.mark.parametrize("call", [call for call in WITH_BODY if call.template not in ASKS_NOTHING], ids=name)
def test_an_empty_question_is_refused_in_the_promised_shape(call: Call, cast: Cast, api: type[Api]) -> None:
    _, path, _ = call.prepare(cast)

    answer = api(cast.ada).call(call.method, path, {})

    assert answer.status == 400
    assert breaks(answer, call.method, call.template) == []


@pytest.mark.parametrize("call", WITH_BODY, ids=name)
def test_another_media_type_is_refused_in_the_promised_shape(call: Call, cast: Cast, api: type[Api]) -> None:
    caller, path, _ = call.prepare(cast)

    answer = raw(api(caller), call.method, path, b"a=1", "text/plain")

    assert answer.status == 415
    assert breaks(answer, call.method, call.template) == []


@pytest.mark.parametrize("call", WITH_BODY, ids=name)
def test_a_broken_body_is_refused_in_the_promised_shape(call: Call, cast: Cast, api: type[Api]) -> None:
    caller, path, _ = call.prepare(cast)

    answer = raw(api(caller), call.method, path, b"{", "application/json")

    assert (answer.status, answer.body["code"]) == (400, "malformed_json")
    assert breaks(answer, call.method, call.template) == []


@pytest.mark.parametrize("call", [call for call in WORKING if "404" in operation(call.method, call.template)["responses"]], ids=name)
def test_what_does_not_exist_is_refused_in_the_promised_shape(call: Call, cast: Cast, api: type[Api]) -> None:
    _, path, body = call.prepare(cast)
    missing = {field: NOBODY_ID if field in NAMES_A_ROW else value for field, value in (body or {}).items()} or None
    path = "/".join(str(NOBODY_ID) if part.isdigit() else part for part in path.split("/"))
    asks = f"?{'conversation' if path == '/events' else 'inbox'}_id={NOBODY_ID}" if body is None and "{id}" not in call.template else ""

    answer = api(cast.ada).call(call.method, path + asks, missing)

    assert answer.status == 404, answer.body
    assert breaks(answer, call.method, call.template) == []


REFUSED = [
    ("role_too_low", Call("GET", "/operators", lambda cast: (cast.olga, "/operators", None))),
    ("not_yourself", Call("GET", "/operators/{id}/stats", lambda cast: (cast.olga, f"/operators/{cast.otto.pk}/stats", None))),
    ("not_your_inbox", Call("GET", "/conversations", lambda cast: (cast.otto, f"/conversations?inbox_id={cast.sales.pk}", None))),
    (
        "not_subscribed",
        Call(
            "POST",
            "/conversations/claim",
            lambda cast: (
                cast.otto,
                "/conversations/claim",
                {"operator_id": cast.otto.pk, "conversation_id": cast.conversation(inbox=cast.sales).pk},
            ),
        ),
    ),
    (
        "not_subscribed",
        Call(
            "PATCH",
            "/operators/{id}/capacity",
            lambda cast: (cast.mia, f"/operators/{cast.otto.pk}/capacity", {"inboxes": [{"inbox_id": cast.sales.pk, "limit": 2}]}),
        ),
    ),
    (
        "already_allocated",
        Call(
            "POST",
            "/conversations/claim",
            lambda cast: (cast.otto, "/conversations/claim", {"operator_id": cast.otto.pk, "conversation_id": held(cast).pk}),
        ),
    ),
    (
        "not_allocated",
        Call(
            "POST",
            "/conversations/deallocate",
            lambda cast: (cast.mia, "/conversations/deallocate", {"conversation_id": cast.conversation().pk}),
        ),
    ),
    (
        "not_the_holder",
        Call("POST", "/conversations/resolve", lambda cast: (cast.otto, "/conversations/resolve", {"conversation_id": held(cast).pk})),
    ),
    (
        "duplicate_label",
        Call(
            "POST",
            "/labels",
            lambda cast: (cast.mia, "/labels", {"inbox_id": cast.support.pk, "name": cast.label().name, "color": "#000000"}),
        ),
    ),
    (
        "label_of_another_inbox",
        Call(
            "POST",
            "/labels/attach",
            lambda cast: (
                cast.mia,
                "/labels/attach",
                {"conversation_id": cast.conversation().pk, "label_id": cast.label(inbox=cast.sales).pk},
            ),
        ),
    ),
    (
        "operator_offline",
        Call("POST", "/operators/{id}/heartbeat", lambda cast: (offline(cast), f"/operators/{cast.olga.pk}/heartbeat", None)),
    ),
    ("validation_failed", Call("GET", "/conversations", lambda cast: (cast.mia, "/conversations?limit=0", None))),
]


@pytest.mark.parametrize(("code", "call"), REFUSED, ids=[code for code, _ in REFUSED])
def test_a_refusal_has_the_promised_code_and_shape(code: str, call: Call, cast: Cast, api: type[Api]) -> None:
    answer = call.make(cast, api)

    assert answer.body["code"] == code
    assert breaks(answer, call.method, call.template) == []
