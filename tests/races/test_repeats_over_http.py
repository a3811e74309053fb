"""One question, asked by sixteen at the same instant under one Idempotency-Key: it is done once, and all hear the same."""

import os
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conversations.models import Assignment
from operators.models import IdempotencyKey, Operator
from tenants import isolation
from tenants.models import Event
from tests.conftest import Answer, Cast, assemble
from tests.races import dying, over_http
from tests.races.over_http import Caller, callers, released

pytestmark = pytest.mark.xdist_group("over http")  # one of xdist's workers starts the servers

COPIES = 16
ROUNDS = 5
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


@pytest.fixture
def cast(committed: None) -> Cast:
    """Olga, and more to do than she is asked for."""
    cast = assemble()
    for _ in range(COPIES + 4):
        cast.conversation()
    return cast


@pytest.fixture
def without_the_constraint(committed: None) -> Iterator[None]:
    """Nothing tells two copies apart, until the test is over and the tables are empty."""
    table, name = "idempotency_keys", "idempotency_key_once"
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        yield
        owner.execute(f"TRUNCATE {table}")
        owner.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE (tenant_id, operator_id, operation, digest)")


@pytest.fixture
def mortal(django_db_setup: None, tmp_path: Path) -> Iterator[int]:
    """The product, whose processes die at a word."""
    with over_http.served("tests.races.dying:application", tmp_path) as port:
        yield port


def asked(caller: Caller, method: str, path: str, body: dict[str, Any], **headers: str) -> Answer:
    caller.send(method, path, body, None, **KEY | headers)
    return caller.receive(method)


def asked_again(port: int, operator: Operator, body: dict[str, Any], **headers: str) -> Answer:
    """After a death. What the kernel still hands to the dying process is reset unread: it is asked once more."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with callers(port, [operator]) as (caller,):
                caller.send("POST", "/conversations/allocate", body, None, **headers)
                return caller.receive("POST")
        except (OSError, HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def sent_by_all(port: int, operator: Operator, method: str, path: str, body: dict[str, Any], **headers: str) -> list[Answer]:
    """The answers to so many copies."""

    def copy(caller: Caller) -> Callable[[], Answer]:
        return lambda: asked(caller, method, path, body, **headers)

    with callers(port, [operator] * COPIES) as connected:
        return released([copy(caller) for caller in connected])


def held_by(cast: Cast, operator: Operator) -> int:
    with isolation.act_as(cast.tenant.pk):
        return Assignment.objects.filter(operator=operator, ended_at=None).count()


def replayed(answers: list[Answer]) -> int:
    return sum(answer.headers.get("Idempotency-Replayed") == "true" for answer in answers)


def test_sixteen_copies_are_one_effect_and_sixteen_equal_answers(product: int, cast: Cast) -> None:
    for number in range(1, ROUNDS + 1):
        key = {"Idempotency-Key": f"round-{number}"}

        answers = sent_by_all(product, cast.olga, "POST", "/conversations/allocate", {"operator_id": cast.olga.pk}, **key)

        assert {(answer.status, answer.raw) for answer in answers} == {(200, answers[0].raw)}
        assert replayed(answers) == COPIES - 1
        assert held_by(cast, cast.olga) == number


def test_a_refusal_too_is_one(product: int, cast: Cast) -> None:
    with callers(product, [cast.olga]) as (olga,):
        olga.call("PUT", f"/operators/{cast.olga.pk}/status", {"status": "AWAY"})

    answers = sent_by_all(product, cast.olga, "POST", "/conversations/allocate", {"operator_id": cast.olga.pk})

    assert {(answer.status, answer.raw) for answer in answers} == {(409, answers[0].raw)}
    assert replayed(answers) == COPIES - 1


def test_so_is_a_key_that_is_told_once(product: int, cast: Cast) -> None:
    body = {"name": "CRM", "operator_id": cast.mia.pk, "scopes": ["labels:read"]}

    answers = sent_by_all(product, cast.ada, "POST", "/api-keys", body)

    assert {(answer.status, answer.data["key"]) for answer in answers} == {(201, answers[0].data["key"])}


def test_of_two_questions_under_one_key_one_is_refused(product: int, cast: Cast) -> None:
    bodies = [{"operator_id": cast.olga.pk}, {"operator_id": cast.olga.pk, "count": 2}] * (COPIES // 2)

    with callers(product, [cast.olga] * COPIES) as connected:
        pairs = zip(connected, bodies, strict=True)
        answers = released([lambda c=caller, b=body: asked(c, "POST", "/conversations/allocate", b) for caller, body in pairs])  # type: ignore[misc]

    assert sorted(answer.status for answer in answers) == [200] * (COPIES // 2) + [422] * (COPIES // 2)
    assert held_by(cast, cast.olga) in (1, 2)


def test_an_expired_key_is_taken_over_by_one(product: int, cast: Cast) -> None:
    body = {"operator_id": cast.olga.pk}
    sent_by_all(product, cast.olga, "POST", "/conversations/allocate", body)
    with isolation.act_as(cast.tenant.pk):
        IdempotencyKey.objects.update(expires_at="2025-01-01T00:00:00Z")

    answers = sent_by_all(product, cast.olga, "POST", "/conversations/allocate", body)

    assert {(answer.status, answer.raw) for answer in answers} == {(200, answers[0].raw)}
    assert held_by(cast, cast.olga) == 2


def test_what_takes_many_transactions_is_begun_by_one_and_the_others_are_told_to_wait(product: int, cast: Cast) -> None:
    answers = sent_by_all(product, cast.ada, "POST", "/contacts/erase", {"phone_number": "+19870000000"})

    done = [answer for answer in answers if answer.status == 200]
    assert len({answer.raw for answer in done}) == 1
    assert len(done) - replayed(done) == 1
    assert {answer.body["code"] for answer in answers if answer.status != 200} <= {"idempotency_key_in_use"}
    with isolation.act_as(cast.tenant.pk):
        assert Event.objects.filter(kind="contact.erased").count() == 1


@pytest.mark.usefixtures("without_the_constraint")
def test_without_the_constraint_it_is_done_more_than_once(product: int, cast: Cast) -> None:
    """The control."""
    answers = sent_by_all(product, cast.olga, "POST", "/conversations/allocate", {"operator_id": cast.olga.pk})

    assert len({answer.raw for answer in answers}) > 1
    assert held_by(cast, cast.olga) > 1


@pytest.mark.parametrize(("moment", "done"), [(dying.BEFORE_THE_COMMIT, 0), (dying.BEFORE_THE_ANSWER, 1)])
def test_a_worker_that_dies_on_the_way_leaves_all_or_nothing_and_the_retry_hears_the_truth(
    mortal: int, cast: Cast, moment: str, done: int
) -> None:
    body = {"operator_id": cast.olga.pk}
    with callers(mortal, [cast.olga]) as (caller,), pytest.raises((OSError, HTTPException)):
        asked(caller, "POST", "/conversations/allocate", body, **{"X-Die": moment})
    assert held_by(cast, cast.olga) == done

    answer = asked_again(mortal, cast.olga, body, **KEY)

    assert (answer.status, replayed([answer])) == (200, done)
    assert held_by(cast, cast.olga) == 1
    with isolation.act_as(cast.tenant.pk):
        assert Assignment.objects.get(operator=cast.olga).conversation_id == answer.data["id"]


def test_without_a_key_the_same_death_leaves_its_caller_with_two(mortal: int, cast: Cast) -> None:
    """The control."""
    body = {"operator_id": cast.olga.pk}
    with callers(mortal, [cast.olga]) as (caller,):
        caller.send("POST", "/conversations/allocate", body, None, **{"X-Die": dying.BEFORE_THE_ANSWER})
        with pytest.raises((OSError, HTTPException)):
            caller.receive("POST")

    assert asked_again(mortal, cast.olga, body).status == 200

    assert held_by(cast, cast.olga) == 2
