"""POST /conversations/allocate: the best waiting conversation of the operator's inboxes."""

from tests.conftest import Api, Cast


def test_gives_the_conversation_with_the_highest_score(cast: Cast, api: type[Api]) -> None:
    cast.conversation(message_count=1, minutes_ago=10)
    best = cast.conversation(message_count=50, minutes_ago=20 * 60)
    cast.conversation(message_count=3, minutes_ago=30)

    answer = api(cast.olga).post("/conversations/allocate", operator_id=cast.olga.pk)

    assert answer.status == 200, answer.body
    assert answer.data["id"] == best.pk
    assert answer.data["state"] == "ALLOCATED"
    assert answer.data["assigned_operator_id"] == cast.olga.pk
    assert answer.data["operator_name"] == "Olga"


def test_says_that_nothing_waits(cast: Cast, api: type[Api]) -> None:
    cast.conversation(inbox=cast.sales)

    answer = api(cast.otto).post("/conversations/allocate", operator_id=cast.otto.pk)

    assert answer.status == 200
    assert answer.body == {"status": "success", "message": "No conversations available for allocation", "data": None}
