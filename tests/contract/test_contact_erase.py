"""POST /contacts/erase: an admin has a customer forgotten, in their own tenant."""

from typing import Any

import pytest

from conversations.contacts import Contact
from operators import api_keys
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.conversations import invariants
from tests.conversations.test_erasure import NUMBER, noted, standing


def test_an_admin_has_a_customer_forgotten(cast: Cast, api: type[Api]) -> None:
    row = noted(cast)

    answer = api(cast.ada).call("POST", "/contacts/erase", {"phone_number": "+1 (202) 555-0123"}, **witness.REQUEST)

    contact = Contact.of(cast.tenant.pk, NUMBER)
    texts = answer.data.pop("texts")
    told = {"contact": contact.fingerprint, "stand_in": contact.stand_in, "conversations": 1, "erased_before": 0, "dry_run": False}
    assert (answer.status, answer.body["message"], answer.data) == (200, "Contact erased successfully", told)
    assert texts > 0
    assert standing(cast) == []
    with isolation.act_as(cast.tenant.pk):
        *_, last = invariants.timeline(row)
    assert (last.kind, last.actor_id, last.request_id) == ("conversation.erased", cast.ada.pk, "request-of-the-test")


def test_a_client_goes_on_with_the_conversation_and_sees_the_stand_in(cast: Cast, api: type[Api]) -> None:
    row = noted(cast)
    stand_in = api(cast.ada).post("/contacts/erase", phone_number=NUMBER).data["stand_in"]

    given = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert (given.data["id"], given.data["customer_phone_number"]) == (row.pk, stand_in)
    assert api(cast.olga).post("/conversations/resolve", conversation_id=row.pk).status == 200


def test_a_dry_run_counts_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    noted(cast)

    with witness.untouched(cast):
        answer = api(cast.ada).post("/contacts/erase", phone_number=NUMBER, dry_run=True)

    assert (answer.data["conversations"], answer.data["dry_run"], answer.body["message"]) == (1, True, "Nothing was changed")


def test_repeating_it_changes_nothing_but_the_audit_and_says_what_was_erased_before(cast: Cast, api: type[Api]) -> None:
    noted(cast)
    api(cast.ada).post("/contacts/erase", phone_number=NUMBER)

    before = witness.everything_of(cast.tenant)

    answer = api(cast.ada).post("/contacts/erase", phone_number=NUMBER)

    after = witness.everything_of(cast.tenant)
    assert (answer.data["conversations"], answer.data["texts"], answer.data["erased_before"]) == (0, 0, 1)
    assert after | {"events": after["events"][:-1]} == before
    assert answer.body["message"] == "Nothing is left to erase"


def test_the_neighbours_remember_the_same_customer(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    noted(neighbours)

    with witness.untouched(neighbours):
        answer = api(cast.ada).post("/contacts/erase", phone_number=NUMBER)

    assert answer.data["conversations"] == 0


@pytest.mark.parametrize("who", ["olga", "mia"])
def test_only_an_admin_may(cast: Cast, api: type[Api], who: str) -> None:
    noted(cast)

    with witness.untouched(cast):
        answer = api(getattr(cast, who)).post("/contacts/erase", phone_number=NUMBER)

    assert witness.said(answer) == witness.role_too_low("ADMIN")


def test_a_program_may_with_the_scope_for_it_alone(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation(customer_phone_number=NUMBER)
    statuses = []
    for scope in ("conversations:write", "contacts:write"):
        with isolation.act_as(cast.tenant.pk):
            _, secret = api_keys.make("CRM", acts_as=cast.ada.pk, scopes=[scope], days=1, by=cast.ada)
        answer = api(None).call("POST", "/contacts/erase", {"phone_number": NUMBER}, Authorization=f"Bearer {secret}")
        statuses.append(answer.status)

    assert statuses == [403, 200]
    assert cast.again(row).customer_phone_number != NUMBER


NO_NUMBER: list[tuple[dict[str, Any], str]] = [
    ({}, "phone_number"),
    ({"phone_number": ""}, "phone_number"),
    ({"phone_number": " + "}, "phone_number"),
    ({"phone_number": None}, "phone_number"),
    ({"phone_number": "1" * 41}, "phone_number"),
    ({"phone_number": "a\0b"}, "phone_number"),
    ({"phone_number": [NUMBER]}, "phone_number"),
    ({"phone_number": NUMBER, "dry_run": "perhaps"}, "dry_run"),
    ({"phone_number": NUMBER, "everything": True}, "everything"),
]


@pytest.mark.parametrize(("body", "field"), NO_NUMBER)
def test_what_names_nobody_is_400_and_changes_nothing(cast: Cast, api: type[Api], body: dict[str, Any], field: str) -> None:
    noted(cast)

    with witness.untouched(cast):
        answer = api(cast.ada).call("POST", "/contacts/erase", body)

    assert (answer.status, list(answer.fields)) == (400, [field])


def test_the_number_of_an_inbox_is_409(cast: Cast, api: type[Api]) -> None:
    with witness.untouched(cast):
        answer = api(cast.ada).post("/contacts/erase", phone_number=cast.support.phone_number)

    assert witness.said(answer) == witness.refusal(409, "number_of_an_inbox", "This is the number of an inbox, and no customer's")
