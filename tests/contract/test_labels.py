"""GET and POST /labels, PUT and DELETE /labels/{id}: the vocabulary of the inboxes."""

from typing import Any

import pytest

from conversations.models import ConversationLabel
from labels.models import Label
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST

DUPLICATE = witness.refusal(409, "duplicate_label", "A label with this name already exists in this inbox")


def wear(cast: Cast, api: type[Api], conversation: Any, label: Any) -> None:
    """Put a label on, as Mia."""
    assert api(cast.mia).post("/labels/attach", conversation_id=conversation.pk, label_id=label.pk).status == 200


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("caller", "sees"), [("olga", 2), ("otto", 1), ("mia", 2), ("ada", 2)])
def test_everybody_reads_those_of_the_inboxes_they_see(cast: Cast, api: type[Api], caller: str, sees: int) -> None:
    rows = [cast.label(), cast.label(inbox=cast.sales)]

    answer = api(getattr(cast, caller)).get("/labels")

    assert [row["id"] for row in answer.data] == [row.pk for row in rows][:sees]
    assert answer.body["meta"]["count"] == sees


def test_a_label_on_the_wire(cast: Cast, api: type[Api]) -> None:
    label = cast.label(name="Urgent", color="#FF0000")

    [row] = api(cast.olga).get("/labels").data

    assert row.pop("created_at").endswith("Z")
    assert row.pop("updated_at").endswith("Z")
    assert row == {
        "id": label.pk,
        "version": 1,
        "tenant_id": cast.tenant.pk,
        "inbox_id": cast.support.pk,
        "name": "Urgent",
        "color": "#FF0000",
        "created_by": cast.mia.pk,
    }


def test_reads_one_inbox(cast: Cast, api: type[Api]) -> None:
    cast.label()
    there = cast.label(inbox=cast.sales)

    answer = api(cast.mia).get(f"/labels?inbox_id={cast.sales.pk}")

    assert [row["id"] for row in answer.data] == [there.pk]


def test_an_inbox_that_the_caller_does_not_see_is_forbidden_to_read(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.otto).get(f"/labels?inbox_id={cast.sales.pk}")

    assert witness.said(answer) == witness.NOT_YOUR_INBOX


@pytest.mark.parametrize("value", ["abc", "1e3", "1.0", "%00", "%FF"])
def test_an_inbox_is_named_by_its_id(cast: Cast, api: type[Api], value: str) -> None:
    answer = api(cast.mia).get(f"/labels?inbox_id={value}")

    assert witness.said(answer) == witness.invalid(inbox_id='"inbox_id" must be an id')


# --- creating -------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["olga", "otto", "mia", "ada"])
def test_everybody_creates_in_inboxes_they_see(cast: Cast, api: type[Api], caller: str) -> None:
    creator = getattr(cast, caller)

    with witness.appended(cast) as events:
        body = {"inbox_id": cast.support.pk, "name": " Urgent ", "color": "#ff00AA"}
        answer = api(creator).call("POST", "/labels", body, **REQUEST)

    assert (answer.status, answer.body["message"]) == (201, "Label created successfully")
    assert (answer.data["name"], answer.data["color"], answer.data["created_by"]) == ("Urgent", "#ff00AA", creator.pk)
    with isolation.act_as(cast.tenant.pk):
        label = Label.objects.get(pk=answer.data["id"])
    after = {"inbox_id": cast.support.pk, "name": "Urgent", "color": "#ff00AA"}
    assert events == [witness.event("label.created", label, creator, {}, after)]


def test_an_operator_creates_nothing_in_an_inbox_they_do_not_see(cast: Cast, api: type[Api]) -> None:
    with witness.untouched(cast):
        answer = api(cast.otto).post("/labels", inbox_id=cast.sales.pk, name="Urgent", color="#FF0000")

    assert witness.said(answer) == witness.NOT_YOUR_INBOX


def test_a_name_stands_once_in_an_inbox_and_again_in_another(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    cast.label(name="Urgent")
    neighbours.label(name="Sale")

    with witness.untouched(cast):
        again = api(cast.olga).post("/labels", inbox_id=cast.support.pk, name="Urgent", color="#000000")
    elsewhere = api(cast.olga).post("/labels", inbox_id=cast.sales.pk, name="Urgent", color="#000000")
    neighbours_word = api(cast.olga).post("/labels", inbox_id=cast.support.pk, name="Sale", color="#000000")

    assert witness.said(again) == DUPLICATE
    assert (elsewhere.status, neighbours_word.status) == (201, 201)


def test_created_by_is_the_caller_or_from_a_manager_anybody_of_the_tenant(cast: Cast, api: type[Api]) -> None:
    body = {"inbox_id": cast.support.pk, "color": "#000000"}

    own = api(cast.olga).post("/labels", **body, name="one", created_by=cast.olga.pk)
    with witness.untouched(cast):
        others = api(cast.olga).post("/labels", **body, name="two", created_by=cast.otto.pk)
        nobodys = api(cast.mia).post("/labels", **body, name="three", created_by=987654321)
    managers = api(cast.mia).post("/labels", **body, name="four", created_by=cast.otto.pk)

    assert (own.status, own.data["created_by"]) == (201, cast.olga.pk)
    assert witness.said(others) == witness.OTHERS_WORK
    assert witness.said(nobodys) == witness.missing("Operator")
    assert (managers.status, managers.data["created_by"]) == (201, cast.otto.pk)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"inbox_id": '"inbox_id" is required', "name": '"name" is required', "color": '"color" is required'}),
        ({"name": None}, {"name": '"name" must not be null'}),
        ({"name": ""}, {"name": '"name" is not allowed to be empty'}),
        ({"name": " \t"}, {"name": '"name" is not allowed to be empty'}),
        ({"name": "x" * 101}, {"name": '"name" must be at most 100 characters long'}),
        ({"name": "a\0b"}, {"name": '"name" must not contain NUL'}),
        ({"name": True}, {"name": '"name" must be text'}),
        ({"name": ["a"]}, {"name": '"name" must be text'}),
        ({"color": "red"}, {"color": '"color" must be #RRGGBB'}),
        ({"color": "#12345"}, {"color": '"color" must be #RRGGBB'}),
        ({"color": "#12345G"}, {"color": '"color" must be #RRGGBB'}),
        ({"color": "#1234567"}, {"color": '"color" must be #RRGGBB'}),
        ({"color": "#12\N{ARABIC-INDIC DIGIT FIVE}456"}, {"color": '"color" must be #RRGGBB'}),
        ({"color": 123456}, {"color": '"color" must be #RRGGBB'}),
        ({"created_by": "me"}, {"created_by": '"created_by" must be an id'}),
    ],
)
def test_refuses_a_malformed_label(cast: Cast, api: type[Api], body: Any, fields: dict[str, str]) -> None:
    good = {"inbox_id": cast.support.pk, "name": "Urgent", "color": "#FF0000"} if body else {}

    with witness.untouched(cast):
        answer = api(cast.olga).call("POST", "/labels", good | body)

    assert answer.status == 400
    assert answer.fields == fields


@pytest.mark.parametrize("name", ["x" * 100, "\U0001f525 hot", "'; DROP TABLE labels; --", "\N{RIGHT-TO-LEFT OVERRIDE}abc", "a\u2028b"])
def test_a_name_is_any_text(cast: Cast, api: type[Api], name: str) -> None:
    answer = api(cast.olga).post("/labels", inbox_id=cast.support.pk, name=name, color="#FF0000")

    assert (answer.status, answer.data["name"]) == (201, name)


# --- changing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["olga", "mia", "ada"])
def test_its_creator_managers_and_admins_change_it(cast: Cast, api: type[Api], caller: str) -> None:
    label = cast.label(created_by=cast.olga, name="Urgent", color="#FF0000")

    with witness.appended(cast) as events:
        answer = api(getattr(cast, caller)).call("PUT", f"/labels/{label.pk}", {"name": "Calm", "color": "#00FF00"}, **REQUEST)

    assert (answer.status, answer.body["message"]) == (200, "Label updated successfully")
    assert (answer.data["name"], answer.data["color"], answer.data["created_by"]) == ("Calm", "#00FF00", cast.olga.pk)
    change = {"name": "Urgent", "color": "#FF0000"}, {"name": "Calm", "color": "#00FF00"}
    assert events == [witness.event("label.changed", label, getattr(cast, caller), *change)]


@pytest.mark.parametrize(("words", "before"), [({"name": "Calm"}, {"name": "Urgent"}), ({"color": "#00FF00"}, {"color": "#FF0000"})])
def test_name_or_colour_alone_can_change(cast: Cast, api: type[Api], words: dict[str, str], before: dict[str, str]) -> None:
    label = cast.label(name="Urgent", color="#FF0000")

    with witness.appended(cast) as events:
        answer = api(cast.mia).call("PUT", f"/labels/{label.pk}", words, **REQUEST)

    assert answer.status == 200
    assert events == [witness.event("label.changed", label, cast.mia, before, words)]


def test_repeating_a_change_is_200_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    label = cast.label(name="Urgent", color="#FF0000")

    with witness.untouched(cast):
        answer = api(cast.mia).put(f"/labels/{label.pk}", name="Urgent", color="#FF0000")

    assert answer.status == 200


def test_a_change_to_a_name_that_is_taken_is_a_conflict(cast: Cast, api: type[Api]) -> None:
    label = cast.label(name="Urgent")
    cast.label(name="Calm")

    with witness.untouched(cast):
        answer = api(cast.mia).put(f"/labels/{label.pk}", name="Calm")

    assert witness.said(answer) == DUPLICATE


def test_a_change_names_something(cast: Cast, api: type[Api]) -> None:
    label = cast.label()

    answer = api(cast.mia).put(f"/labels/{label.pk}")

    assert witness.said(answer) == witness.invalid(name='"name" or "color" is required')


# --- deleting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["olga", "mia", "ada"])
def test_its_creator_managers_and_admins_delete_it_off_everything(cast: Cast, api: type[Api], caller: str) -> None:
    label, conversation = cast.label(created_by=cast.olga, name="Urgent", color="#FF0000"), cast.conversation()
    wear(cast, api, conversation, label)

    with witness.appended(cast) as events:
        answer = api(getattr(cast, caller)).call("DELETE", f"/labels/{label.pk}", **REQUEST)

    assert witness.said(answer) == (200, {"status": "success", "message": "Label deleted successfully", "data": None})
    before = {"inbox_id": cast.support.pk, "name": "Urgent", "color": "#FF0000"}
    assert events == [witness.event("label.deleted", label, getattr(cast, caller), before, {})]
    with isolation.act_as(cast.tenant.pk):
        assert not Label.objects.exists()
        assert not ConversationLabel.objects.exists()


def test_deleting_it_again_finds_nothing(cast: Cast, api: type[Api]) -> None:
    label = cast.label()
    api(cast.mia).delete(f"/labels/{label.pk}")

    answer = api(cast.mia).delete(f"/labels/{label.pk}")

    assert witness.said(answer) == witness.missing("Label")


def test_an_operator_neither_changes_nor_deletes_what_others_created(cast: Cast, api: type[Api]) -> None:
    label = cast.label(created_by=cast.otto)

    with witness.untouched(cast):
        answers = [api(cast.olga).put(f"/labels/{label.pk}", name="mine"), api(cast.olga).delete(f"/labels/{label.pk}")]

    assert [witness.said(answer) for answer in answers] == [witness.OTHERS_WORK] * 2


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("id_", ["987654321", "0", "9999999999999999999"])
def test_what_does_not_exist_is_missing(cast: Cast, api: type[Api], method: str, id_: str) -> None:
    answer = api(cast.olga).call(method, f"/labels/{id_}", {"name": "x"})

    assert witness.said(answer) == witness.missing("Label")
