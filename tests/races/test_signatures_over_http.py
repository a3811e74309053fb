"""A hundred copies of one signed request at the same instant: one is let in, and does what it asks, once."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import psycopg
import pytest

from conversations.models import Assignment
from operators.api.permissions import SCOPES
from tenants import isolation
from tests.conftest import Answer, Cast, assemble
from tests.races.over_http import Caller, callers, released
from tests.security.signing import Program

COPIES = 100


@pytest.fixture
def cast(committed: None) -> Cast:
    """Olga, and more to do than one copy takes."""
    cast = assemble()
    for _ in range(5):
        cast.conversation()
    return cast


@pytest.fixture
def without_the_constraint(committed: None) -> Iterator[None]:
    """Nothing tells two copies apart, until the test is over and the tables are empty."""
    table, name = "seen_messages", "message_once"
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        yield
        owner.execute(f"TRUNCATE {table}")
        owner.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE (tenant_id, api_key_id, message_id, signed_at)")


def program(port: int, cast: Cast) -> Program:
    """A program that acts as Olga; its secret is sealed by the server that opens it."""
    with callers(port, [cast.ada]) as (ada,):
        key = ada.post("/api-keys", name="ingest", operator_id=cast.olga.pk, scopes=SCOPES).data["id"]
        made = ada.post("/signing-secrets", api_key_id=key).data
    return Program(key, made["id"], made["sign_as"], made["secret"])


def sent_by_all(port: int, cast: Cast) -> list[Answer]:
    """The answers to so many copies."""
    wish = {"operator_id": cast.olga.pk}
    headers = program(port, cast).headers(orjson.dumps(wish))

    def copy(caller: Caller) -> Callable[[], Answer]:
        def ask() -> Answer:
            caller.send("POST", "/conversations/allocate", wish, None, **headers)
            return caller.receive("POST")

        return ask

    with callers(port, [cast.otto] * COPIES) as connected:
        return released([copy(caller) for caller in connected])


def codes(answers: list[Answer]) -> list[Any]:
    return sorted(answer.body.get("code", answer.status) for answer in answers if answer.status != 200)


def holds(cast: Cast) -> int:
    with isolation.act_as(cast.tenant.pk):
        return Assignment.objects.filter(operator=cast.olga, ended_at=None).count()


def test_one_of_a_hundred_copies_is_let_in(product: int, cast: Cast) -> None:
    answers = sent_by_all(product, cast)

    assert codes(answers) == ["signature_replayed"] * (COPIES - 1)
    assert holds(cast) == 1


@pytest.mark.usefixtures("without_the_constraint")
def test_without_the_constraint_more_of_them_are(product: int, cast: Cast) -> None:
    """The control."""
    answers = sent_by_all(product, cast)

    assert codes(answers) != ["signature_replayed"] * (COPIES - 1)
    assert holds(cast) > 1


@pytest.mark.parametrize("doubled", ["X-Api-Key-Id", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_comes_twice_is_refused(product: int, cast: Cast, doubled: str) -> None:
    headers = program(product, cast).headers(b"")
    twice = {doubled: f"{headers[doubled]}\r\n{doubled}: {headers[doubled]}"}

    with callers(product, [cast.otto]) as (caller,):
        caller.send("POST", "/signatures/check", None, None, **headers | twice)
        answer = caller.receive("POST")

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")
