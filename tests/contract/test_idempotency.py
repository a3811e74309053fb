"""Idempotency-Key: what is asked again is answered as the first time, and done once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from convalloc import vault
from conversations.errors import AlreadyResolved
from operators import repeats, staff, sweeping
from operators.api.permissions import CHANGES_NOTHING
from operators.models import ApiKey, IdempotencyKey
from tenants import isolation
from tests.conftest import Answer, Api, Cast, assemble
from tests.contract import witness
from tests.contract.failing import FAULTS, faults
from tests.contract.routes import ROUTES, Route, call
from tests.contract.test_all_or_nothing import WRITES, staged
from tests.contract.test_api_keys import make

PASSWORD = "correct horse battery"
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"
LONG = [route for route in ROUTES if route.operation in {"recalculation-update-priorities", "contact-erase"}]
MALFORMED = witness.invalid(**{"Idempotency-Key": '"Idempotency-Key" must be 1 to 255 of A-Z, a-z, 0-9 and ._~:+/=@-'})


def said(answer: Answer) -> tuple[int, bytes]:
    """Status and bytes."""
    return answer.status, answer.raw


def is_replayed(answer: Answer) -> bool:
    return bool(answer.headers.get("Idempotency-Replayed") == "true")


def rows(cast: Cast) -> list[IdempotencyKey]:
    with isolation.act_as(cast.tenant.pk):
        return list(IdempotencyKey.objects.order_by("pk"))


def everything_but_keys(cast: Cast) -> Any:
    return {table: found for table, found in witness.everything_of(cast.tenant).items() if table != "idempotency_keys"}


@pytest.mark.parametrize("route", WRITES, ids=str)
def test_every_write_is_done_once_and_answered_twice(cast: Cast, api: type[Api], route: Route) -> None:
    question = call(route, staged(cast, route))
    first = api(cast.ada).call(*question, **{"Idempotency-Key": KEY})
    before = everything_but_keys(cast)

    second = api(cast.ada).call(*question, **{"Idempotency-Key": KEY})

    assert first.status < 300
    assert (is_replayed(first), is_replayed(second)) == (False, True)
    assert said(second) == said(first)
    assert second.headers["Content-Type"] == first.headers["Content-Type"]
    assert everything_but_keys(cast) == before


@pytest.mark.parametrize("route", LONG, ids=str)
def test_so_is_what_takes_many_transactions(committed: None, api: type[Api], route: Route) -> None:
    cast = assemble()
    cast.conversation(customer_phone_number="+19870000000")
    question = call(route, {})
    first = api(cast.ada).call(*question, **{"Idempotency-Key": KEY})
    before = everything_but_keys(cast)

    second = api(cast.ada).call(*question, **{"Idempotency-Key": KEY})

    assert (first.status, is_replayed(first), is_replayed(second)) == (200, False, True)
    assert said(second) == said(first)
    assert everything_but_keys(cast) == before


def test_every_write_knows_keys_or_changes_nothing() -> None:
    known = {route.operation for route in [*WRITES, *LONG]}

    assert known | CHANGES_NOTHING == {route.operation for route in ROUTES if route.method != "GET"}


def allocate(caller: Api, operator_id: int, key: str = KEY, **more: Any) -> Answer:
    return caller.call("POST", "/conversations/allocate", {"operator_id": operator_id, **more}, **{"Idempotency-Key": key})


def test_another_key_is_another_question(cast: Cast, api: type[Api]) -> None:
    cast.conversation(), cast.conversation()

    first, second = (allocate(api(cast.olga), cast.olga.pk, key) for key in ("one", "two"))

    assert first.data["id"] != second.data["id"]
    assert not is_replayed(second)


def test_another_question_with_the_same_key_is_refused(cast: Cast, api: type[Api]) -> None:
    cast.conversation(), cast.conversation()
    allocate(api(cast.olga), cast.olga.pk)

    with witness.untouched(cast):
        answer = allocate(api(cast.olga), cast.olga.pk, count=2)

    message = "This Idempotency-Key stands for another question already: take a new one"
    assert witness.said(answer) == witness.refusal(422, "idempotency_key_reused", message)


def test_the_same_names_in_another_order_are_the_same_question(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation()
    bodies = [{"operator_id": cast.olga.pk, "conversation_id": row.pk}, {"conversation_id": row.pk, "operator_id": cast.olga.pk}]

    first, second = (api(cast.olga).call("POST", "/conversations/claim", body, **{"Idempotency-Key": KEY}) for body in bodies)

    assert is_replayed(second)
    assert said(first) == said(second)


@pytest.mark.parametrize("spelling", ["/conversations/allocate/", "/conversations/allocate"])
def test_a_final_slash_and_quotes_make_no_other_question(cast: Cast, api: type[Api], spelling: str) -> None:
    cast.conversation(), cast.conversation()
    allocate(api(cast.olga), cast.olga.pk)

    again = api(cast.olga).call("POST", spelling, {"operator_id": cast.olga.pk}, **{"Idempotency-Key": f'"{KEY}"'})

    assert is_replayed(again)


def test_another_row_with_the_same_key_is_another_question(cast: Cast, api: type[Api]) -> None:
    labels = [cast.label(name="a"), cast.label(name="b")]

    first, second = (api(cast.mia).call("DELETE", f"/labels/{label.pk}", **{"Idempotency-Key": KEY}) for label in labels)

    assert (first.status, second.status) == (200, 422)


def test_a_key_is_the_callers_the_operations_and_the_tenants_own(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    for crowd in (cast, neighbours):
        crowd.conversation(), crowd.conversation(), crowd.label()

    answers = [allocate(api(who), who.pk) for who in (cast.olga, cast.otto, neighbours.olga)]
    body = {"inbox_id": cast.support.pk, "name": "new", "color": "#112233"}
    answers.append(api(cast.olga).call("POST", "/labels", body, **{"Idempotency-Key": KEY}))

    assert [(answer.status, is_replayed(answer)) for answer in answers] == [(200, False)] * 3 + [(201, False)]


@pytest.mark.parametrize("key", ["", "  ", "a b", "a,b", '"a', "ü", "x" * 256, "a\x7f"])
def test_a_malformed_key_is_refused_and_nothing_done(cast: Cast, api: type[Api], key: str) -> None:
    cast.conversation()

    with witness.untouched(cast):
        answer = allocate(api(cast.olga), cast.olga.pk, key)

    assert witness.said(answer) == MALFORMED


def test_reading_takes_no_key(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation()

    for question in [("GET", "/conversations", None), ("POST", "/conversations/search", {"phone_number": row.customer_phone_number})]:
        answers = [api(cast.mia).call(*question, **{"Idempotency-Key": KEY}) for _ in range(2)]
        assert [(answer.status, is_replayed(answer)) for answer in answers] == [(200, False)] * 2
    assert rows(cast) == []


# --- what was refused -----------------------------------------------------------------------------


def test_what_a_room_refused_stays_refused_under_this_key(cast: Cast, api: type[Api]) -> None:
    """A copy that a proxy sends an hour late must not do what its caller was told had not happened."""
    cast.conversation()
    put = api(cast.olga).put
    put(f"/operators/{cast.olga.pk}/status", status="AWAY")
    refused = allocate(api(cast.olga), cast.olga.pk)
    put(f"/operators/{cast.olga.pk}/status", status="AVAILABLE")

    late, anew = (allocate(api(cast.olga), cast.olga.pk, key) for key in (KEY, "another"))

    assert (refused.status, refused.body["code"]) == (409, "operator_not_available")
    assert (said(late), is_replayed(late)) == (said(refused), True)
    assert anew.status == 200


def test_what_a_room_had_done_before_it_refused_is_undone(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation()
    body = {"operator_id": cast.olga.pk, "conversation_id": row.pk}

    def refusing_late(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith('UPDATE "conversations"'):  # the assignment has begun
            raise AlreadyResolved
        return execute(sql, *rest)

    before = everything_but_keys(cast)
    with connection.execute_wrapper(refusing_late):
        refused = api(cast.olga).call("POST", "/conversations/claim", body, **{"Idempotency-Key": KEY})
    again = api(cast.olga).call("POST", "/conversations/claim", body, **{"Idempotency-Key": KEY})

    assert (refused.status, said(again), is_replayed(again)) == (409, said(refused), True)
    assert everything_but_keys(cast) == before


def test_what_the_database_refuses_is_a_refusal_like_others(cast: Cast, api: type[Api]) -> None:
    cast.label(name="taken")
    body = {"inbox_id": cast.support.pk, "name": "taken", "color": "#112233"}

    with witness.appended(cast) as events:
        answers = [api(cast.mia).call("POST", "/labels", body, **{"Idempotency-Key": KEY}) for _ in range(2)]

    assert [(answer.status, answer.body["code"]) for answer in answers] == [(409, "duplicate_label")] * 2
    assert is_replayed(answers[1])
    assert events == []


@pytest.mark.parametrize("body", [{}, {"operator_id": "perhaps"}, {"operator_id": 1, "cuont": 2}], ids=["empty", "bad", "misspelt"])
def test_a_malformed_question_uses_no_key_up(cast: Cast, api: type[Api], body: dict[str, Any]) -> None:
    cast.conversation()
    malformed = api(cast.olga).call("POST", "/conversations/allocate", body, **{"Idempotency-Key": KEY})

    answer = allocate(api(cast.olga), cast.olga.pk)

    assert (malformed.status, answer.status, is_replayed(answer)) == (400, 200, False)


@pytest.mark.parametrize("depth", [10, 200, 300, 600, 900])
def test_a_body_that_is_nested_deeply_is_a_malformed_one(cast: Cast, api: type[Api], depth: int) -> None:
    caller, body = api(cast.ada), b'{"name": ' + b"[" * depth + b"]" * depth + b"}"
    headers = caller.headers | {"Idempotency-Key": KEY}

    answer = caller.client.generic("PATCH", "/api/v1/tenant", body, "application/json", headers=headers)

    assert answer.status_code == 400
    assert rows(cast) == []


def test_signing_in_knows_no_keys(cast: Cast, api: type[Api]) -> None:
    """Nobody is known yet, and nothing that opens anything is kept."""
    with isolation.act_as(cast.tenant.pk):
        staff.set_password(cast.olga.pk, PASSWORD)
    body = {"email": cast.olga.email, "password": PASSWORD}

    first, second = (api(None).call("POST", "/auth/token", body, **{"Idempotency-Key": KEY}) for _ in range(2))

    assert (first.status, second.status, is_replayed(second)) == (200, 200, False)
    assert first.data["refresh_token"] != second.data["refresh_token"]
    assert rows(cast) == []


def test_who_may_not_ask_at_all_uses_no_key_up(cast: Cast, api: type[Api]) -> None:
    row = witness.held(cast, cast.olga)

    answer = api(cast.otto).call("POST", "/conversations/deallocate", {"conversation_id": row.pk}, **{"Idempotency-Key": KEY})

    assert answer.status == 403
    assert rows(cast) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_statement_stores_nothing_and_the_same_key_succeeds(committed: None, api: type[Api], fault: str) -> None:
    cast = assemble()
    cast.conversation()
    before = witness.everything_of(cast.tenant)

    *failed, done = faults(fault, lambda: allocate(api(cast.olga), cast.olga.pk), lambda: witness.everything_of(cast.tenant))

    assert {answer.status for answer, _ in failed} == {503}
    assert len(failed) > 8
    assert [after for _, after in failed if after != before] == []
    assert (done[0].status, is_replayed(done[0])) == (200, False)


@pytest.mark.parametrize("route", LONG, ids=str)
def test_of_many_transactions_any_may_fail_and_the_same_key_succeeds(committed: None, api: type[Api], route: Route) -> None:
    cast = assemble()
    cast.conversation(customer_phone_number="+19870000000")

    def look() -> list[IdempotencyKey]:
        witness.change(cast, cast.tenant, ranking_moved_at=None)  # a walk that died counts as running for a minute
        return rows(cast)

    *failed, done = faults("refused", lambda: api(cast.ada).call(*call(route, {}), **{"Idempotency-Key": KEY}), look)

    assert {answer.status for answer, _ in failed} == {503}
    assert [row.status for _, kept in failed for row in kept if row.status is not None] == []
    assert done[0].status in (200, 409)


def test_a_bug_of_ours_undoes_what_was_done_and_stores_nothing(committed: None, api: type[Api]) -> None:
    cast = assemble()
    cast.conversation()
    caller = api(cast.olga)

    def broken(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        return execute(sql.replace('UPDATE "idempotency_keys" SET "status"', 'UPDATE "no_such_table" SET "status"'), *rest)

    with connection.execute_wrapper(broken):
        headers = caller.headers | {"Idempotency-Key": KEY}
        body = {"operator_id": cast.olga.pk}
        failed = caller.client.post("/api/v1/conversations/allocate", body, content_type="application/json", headers=headers)

    assert failed.status_code == 500
    assert rows(cast) == []
    assert allocate(caller, cast.olga.pk).data is not None


# --- how long, and what of it can be read ---------------------------------------------------------


def pass_time(cast: Cast, by: timedelta) -> None:
    with isolation.act_as(cast.tenant.pk):
        IdempotencyKey.objects.update(expires_at=F("expires_at") - by)


def test_a_key_is_good_for_a_day_and_then_forgotten(cast: Cast, api: type[Api]) -> None:
    cast.conversation(), cast.conversation()
    first = allocate(api(cast.olga), cast.olga.pk)
    pass_time(cast, timedelta(hours=23, minutes=59))
    at_the_last = allocate(api(cast.olga), cast.olga.pk)
    kept = sweeping.sweep()["idempotency_keys"]
    pass_time(cast, timedelta(minutes=1))

    anew = allocate(api(cast.olga), cast.olga.pk)  # nobody has swept yet

    assert (is_replayed(at_the_last), kept) == (True, 0)
    assert not is_replayed(anew)
    assert anew.data["id"] != first.data["id"]
    pass_time(cast, timedelta(hours=24))
    assert sweeping.sweep()["idempotency_keys"] == 1
    assert rows(cast) == []


def test_what_is_shown_once_is_shown_again_for_the_key_and_kept_unreadable(cast: Cast, api: type[Api], settings: Any) -> None:
    body = {"name": "CRM", "operator_id": cast.mia.pk, "scopes": ["labels:read"]}
    first, second = (api(cast.ada).call("POST", "/api-keys", body, **{"Idempotency-Key": KEY}) for _ in range(2))

    assert second.data["key"] == first.data["key"]
    with isolation.act_as(cast.tenant.pk):
        assert ApiKey.objects.count() == 1
    (row,) = rows(cast)
    stored = repr(vars(row))
    assert KEY not in stored
    assert first.data["key"] not in stored
    with pytest.raises(vault.Unreadable):
        vault.open_(row.sealed)  # with all that we have, but not the caller's key


def test_an_api_key_and_the_person_it_acts_as_are_one_caller(cast: Cast, api: type[Api]) -> None:
    """An integrator who changes keys between two attempts still asks the same."""
    cast.conversation(), cast.conversation()
    callers = [make(cast, acts_as=cast.olga)[1], make(cast, acts_as=cast.olga)[1], api(cast.olga)]

    answers = [allocate(caller, cast.olga.pk) for caller in callers]

    assert [is_replayed(answer) for answer in answers] == [False, True, True]


def test_another_secret_key_without_the_former_refuses_and_does_nothing(cast: Cast, api: type[Api], settings: Any) -> None:
    cast.conversation(), cast.conversation()
    first, former = allocate(api(cast.olga), cast.olga.pk), settings.SECRET_KEY
    settings.SECRET_KEY = "another-secret-key-" * 4

    refused = allocate(api(cast.olga), cast.olga.pk)
    settings.SECRET_KEY_FALLBACKS = [former]
    again = allocate(api(cast.olga), cast.olga.pk)

    assert refused.status == 422
    assert said(again) == said(first)


def test_who_comes_while_a_long_one_is_done_is_told_so(cast: Cast, api: type[Api]) -> None:
    question = repeats.Question(
        cast.ada.pk, "recalculation-update-priorities", KEY, "POST\n/api/v1/conversations/update-priorities\n\n\n{}"
    )
    with isolation.act_as(cast.tenant.pk):
        assert repeats.claim(question, repeats.HELD) is None

    answer = api(cast.ada).call("POST", "/conversations/update-priorities", **{"Idempotency-Key": KEY})

    assert (answer.status, answer.body["code"]) == (409, "idempotency_key_in_use")
