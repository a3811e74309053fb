"""/api-keys: made by an administrator, seen once, bounded by scopes, by a date, and by whom it acts as."""

from datetime import timedelta
from typing import Any

import pytest

from conversations import grace
from operators import staff
from operators.api.permissions import MATRIX, SCOPES, scope_of
from operators.models import ApiKey, Operator, Role
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness

SESSION_ONLY = {f"{noun}-{act}" for noun in ("api-key", "signing-secret") for act in ("list", "create", "destroy")} | {
    "session-running",
    "session-end",
    "session-end-all",
}
ANY_KEY = {"me-retrieve", "signature-check"}


def make(cast: Cast, acts_as: Operator | None = None, scopes: list[str] = SCOPES) -> tuple[int, Api]:
    """A key, and the API as whoever shows it calls it."""
    answer = Api(cast.ada).post("/api-keys", name="CRM", operator_id=(acts_as or cast.mia).pk, scopes=scopes)
    assert answer.status == 201, answer.body
    caller = Api(None)
    caller.headers = {"Authorization": f"Bearer {answer.data['key']}"}
    return answer.data["id"], caller


def scope_missing(scope: str) -> tuple[int, Any]:
    return witness.refusal(403, "scope_missing", f"This API key does not have the scope {scope}", scope=scope)


def test_every_operation_has_a_scope_or_is_named_here() -> None:
    assert {operation for operation in MATRIX if scope_of(operation) is None} == SESSION_ONLY | ANY_KEY


def test_a_key_acts_as_its_operator_and_says_so(cast: Cast) -> None:
    _, caller = make(cast, scopes=["labels:read", "conversations:read"])

    me = caller.get("/me").data

    assert (me["id"], me["scopes"]) == (cast.mia.pk, ["conversations:read", "labels:read"])


def test_what_a_key_does_stands_in_the_log_as_its_operators(cast: Cast) -> None:
    row = witness.held(cast, cast.olga)
    _, caller = make(cast, scopes=["conversations:write"])

    with witness.appended(cast) as events:
        answer = caller.post("/conversations/deallocate", conversation_id=row.pk)

    assert answer.status == 200
    assert {event["actor_id"] for event in events} == {cast.mia.pk}


def test_a_scope_that_was_not_given_opens_nothing(cast: Cast) -> None:
    row = witness.held(cast, cast.olga)
    _, caller = make(cast, scopes=["conversations:read", "labels:write"])

    with witness.untouched(cast):
        answer = caller.post("/conversations/deallocate", conversation_id=row.pk)

    assert witness.said(answer) == scope_missing("conversations:write")
    assert caller.get("/conversations").status == 200


def test_a_key_does_no_more_than_the_role_of_whom_it_acts_as(cast: Cast) -> None:
    _, caller = make(cast, acts_as=cast.olga)

    assert witness.said(caller.get("/operators")) == witness.role_too_low("MANAGER")


@pytest.mark.parametrize(("method", "path"), [("GET", "/api-keys"), ("POST", "/api-keys"), ("DELETE", "/api-keys/1")])
def test_no_key_makes_shows_or_revokes_keys(cast: Cast, method: str, path: str) -> None:
    _, caller = make(cast, acts_as=cast.ada)

    answer = caller.call(method, path, {"name": "another", "scopes": SCOPES} if method == "POST" else None)

    assert witness.said(answer) == scope_missing("of a person who is signed in")


def test_the_key_is_shown_once_and_kept_nowhere(cast: Cast, api: type[Api]) -> None:
    made = api(cast.ada).post("/api-keys", name="CRM", scopes=["labels:read"]).data
    secret = made["key"].split("_", 3)[3]

    listed = api(cast.ada).get("/api-keys")

    assert secret.encode() not in listed.raw
    assert listed.data == [{name: value for name, value in made.items() if name != "key"}]
    with isolation.act_as(cast.tenant.pk):
        assert secret not in str(list(ApiKey.objects.values()))


@pytest.mark.parametrize("end", ["revoked", "expired", "its operator's account closed"])
def test_a_key_that_has_ended_is_a_401(cast: Cast, api: type[Api], end: str) -> None:
    id_, caller = make(cast)
    assert caller.get("/me").status == 200

    with isolation.act_as(cast.tenant.pk):
        if end == "revoked":
            assert api(cast.ada).delete(f"/api-keys/{id_}").status == 200
        elif end == "expired":
            ApiKey.objects.update(expires_at=cast.mia.created_at - timedelta(days=1))
        else:
            grace.dismiss(cast.mia.pk, cast.tenant, by=cast.ada)

    assert witness.said(caller.get("/me")) == witness.UNKNOWN_CALLER


def test_revoking_twice_is_revoking_once(cast: Cast, api: type[Api]) -> None:
    id_, _ = make(cast)

    with witness.appended(cast) as events:
        answers = [api(cast.ada).delete(f"/api-keys/{id_}") for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert [event["kind"] for event in events] == ["api_key.revoked"]


def test_its_last_use_is_noted_to_the_minute_without_a_write_for_each_call(cast: Cast, api: type[Api]) -> None:
    _, caller = make(cast)

    first, second = (caller.get("/me") and api(cast.ada).get("/api-keys").data[0]["last_used_at"] for _ in range(2))

    assert first is not None
    assert second == first


@pytest.mark.parametrize("bent", ["tenant", "row", "secret", "prefix"])
def test_a_bent_key_is_a_401(cast: Cast, neighbours: Cast, bent: str) -> None:
    _, caller = make(cast)
    prefix, tenant, row, secret = caller.headers["Authorization"].removeprefix("Bearer ").split("_", 3)
    parts = {"prefix": prefix, "tenant": tenant, "row": row, "secret": secret}
    parts[bent] = {"prefix": "cvr", "tenant": str(neighbours.tenant.pk), "row": str(int(row) + 1), "secret": "a" * 43}[bent]
    caller.headers = {"Authorization": f"Bearer {'_'.join(parts.values())}"}

    assert witness.said(caller.get("/me")) == witness.UNKNOWN_CALLER


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "CRM", "scopes": []},
        {"name": "CRM", "scopes": ["everything"]},
        {"name": "CRM", "scopes": "labels:read"},
        {"name": "", "scopes": ["labels:read"]},
        {"name": "CRM", "scopes": ["labels:read"], "expires_in_days": 0},
        {"name": "CRM", "scopes": ["labels:read"], "expires_in_days": 731},
    ],
)
def test_a_key_that_makes_no_sense_is_400(cast: Cast, api: type[Api], body: dict[str, Any]) -> None:
    with witness.untouched(cast):
        answer = api(cast.ada).post("/api-keys", **body)

    assert (answer.status, answer.body["code"]) == (400, "validation_failed")


def test_no_key_acts_as_somebody_whose_account_is_closed(cast: Cast, api: type[Api]) -> None:
    with isolation.act_as(cast.tenant.pk):
        staff.change(cast.olga.pk, by=cast.ada, is_active=False)

    answer = api(cast.ada).post("/api-keys", name="CRM", operator_id=cast.olga.pk, scopes=["labels:read"])

    assert (answer.status, answer.body["code"]) == (409, "operator_disabled")


def test_a_promotion_reaches_the_key_and_a_demotion_too(cast: Cast) -> None:
    _, caller = make(cast, acts_as=cast.olga)
    with isolation.act_as(cast.tenant.pk):
        staff.change(cast.olga.pk, by=cast.ada, role=Role.MANAGER)
    assert caller.get("/operators").status == 200

    with isolation.act_as(cast.tenant.pk):
        staff.change(cast.olga.pk, by=cast.ada, role=Role.OPERATOR)

    assert caller.get("/operators").status == 403
