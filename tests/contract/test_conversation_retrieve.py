"""GET /conversations/{id}."""

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness


@pytest.mark.parametrize("caller", ["olga", "otto", "mia", "ada"])
def test_shows_what_the_list_shows(cast: Cast, api: type[Api], caller: str) -> None:
    conversation = witness.held(cast, cast.olga)
    someone = api(getattr(cast, caller))

    with witness.untouched(cast):
        answer = someone.get(f"/conversations/{conversation.pk}")

    [listed] = someone.get("/conversations").data["conversations"]
    assert answer.status == 200
    assert set(answer.body) == {"status", "data"}
    assert answer.data | {"priority_score": 0} == listed | {"priority_score": 0}


def test_the_score_is_that_of_this_instant(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation(message_count=50, minutes_ago=12 * 60)
    witness.change(cast, conversation, priority_score=99)

    answer = api(cast.olga).get(f"/conversations/{conversation.pk}")

    assert answer.data["priority_score"] == pytest.approx(0.4 * 0.5 + 0.6 * 0.5, abs=1e-4)


def test_an_operator_sees_nothing_of_another_inbox(cast: Cast, api: type[Api]) -> None:
    elsewhere = cast.conversation(inbox=cast.sales)

    answer = api(cast.otto).get(f"/conversations/{elsewhere.pk}")

    assert witness.said(answer) == witness.NOT_YOUR_INBOX


def test_an_operator_sees_what_they_hold_at_another_inbox(cast: Cast, api: type[Api]) -> None:
    elsewhere = cast.conversation(inbox=cast.sales)
    words = {"operator_id": cast.otto.pk, "conversation_id": elsewhere.pk, "force": True, "reason": "Olga is ill"}
    api(cast.mia).post("/conversations/manager-allocate", **words)

    answer = api(cast.otto).get(f"/conversations/{elsewhere.pk}")

    assert answer.status == 200


@pytest.mark.parametrize("id_", ["0", "987654321", "9223372036854775807", "9223372036854775808", "9999999999999999999"])
def test_an_id_that_does_not_exist_is_missing(cast: Cast, api: type[Api], id_: str) -> None:
    answer = api(cast.ada).get(f"/conversations/{id_}")

    assert witness.said(answer) == witness.missing("Conversation")


@pytest.mark.parametrize("id_", ["abc", "-1", "1.0", "%D9%A5", "%00", "1%0A", "99999999999999999999", "%FF"])
def test_what_is_no_id_is_no_route(cast: Cast, api: type[Api], id_: str) -> None:
    answer = api(cast.ada).get(f"/conversations/{id_}")

    assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert answer.body["message"].startswith("Cannot GET /api/v1/conversations/")


def test_another_tenants_is_missing(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    theirs = neighbours.conversation()

    answer = api(cast.ada).get(f"/conversations/{theirs.pk}")

    assert witness.said(answer) == witness.missing("Conversation")
