"""POST /labels/attach and /labels/detach: which conversation wears which word."""

from typing import Any

import pytest

from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST

OF_ANOTHER_INBOX = witness.refusal(409, "label_of_another_inbox", "Label belongs to another inbox than the conversation")
BOTH = pytest.mark.parametrize("act", ["attach", "detach"])


def do(act: str, api: type[Api], by: Any, conversation: Any, label: Any) -> Answer:
    """The call."""
    return api(by).call("POST", f"/labels/{act}", {"conversation_id": conversation.pk, "label_id": label.pk}, **REQUEST)


@pytest.mark.parametrize("caller", ["olga", "otto", "mia", "ada"])
def test_everybody_who_sees_the_conversation_attaches(cast: Cast, api: type[Api], caller: str) -> None:
    conversation, label = cast.conversation(), cast.label(name="Urgent", color="#FF0000")

    with witness.appended(cast) as events:
        answer = do("attach", api, getattr(cast, caller), conversation, label)

    assert (answer.status, answer.body["message"]) == (200, "Label attached successfully")
    assert answer.data["labels"] == [{"id": label.pk, "name": "Urgent", "color": "#FF0000"}]
    assert answer.data["version"] == 2
    change = {"label_ids": [], "version": 1}, {"label_ids": [label.pk], "version": 2}
    assert events == [witness.event("conversation.labelled", conversation, getattr(cast, caller), *change, cause="Urgent")]


@pytest.mark.parametrize("caller", ["olga", "otto", "mia", "ada"])
def test_everybody_who_sees_the_conversation_detaches(cast: Cast, api: type[Api], caller: str) -> None:
    conversation, label, kept = cast.conversation(), cast.label(name="Urgent"), cast.label(name="Bug")
    do("attach", api, cast.mia, conversation, label)
    do("attach", api, cast.mia, conversation, kept)

    with witness.appended(cast) as events:
        answer = do("detach", api, getattr(cast, caller), conversation, label)

    assert (answer.status, answer.body["message"]) == (200, "Label detached successfully")
    assert [worn["name"] for worn in answer.data["labels"]] == ["Bug"]
    change = {"label_ids": [label.pk, kept.pk], "version": 3}, {"label_ids": [kept.pk], "version": 4}
    assert events == [witness.event("conversation.unlabelled", conversation, getattr(cast, caller), *change, cause="Urgent")]


@BOTH
def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api], act: str) -> None:
    conversation, label = cast.conversation(), cast.label()
    do("attach", api, cast.olga, conversation, label)
    do(act, api, cast.olga, conversation, label)

    with witness.untouched(cast):
        answer = do(act, api, cast.olga, conversation, label)

    assert answer.status == 200
    assert len(answer.data["labels"]) == (1 if act == "attach" else 0)


@BOTH
def test_a_label_of_another_inbox_is_refused(cast: Cast, api: type[Api], act: str) -> None:
    conversation, label = cast.conversation(), cast.label(inbox=cast.sales)

    with witness.untouched(cast):
        answer = do(act, api, cast.mia, conversation, label)

    assert witness.said(answer) == OF_ANOTHER_INBOX


@BOTH
def test_whoever_does_not_see_the_conversation_is_refused(cast: Cast, api: type[Api], act: str) -> None:
    conversation, label = cast.conversation(inbox=cast.sales), cast.label(inbox=cast.sales)

    with witness.untouched(cast):
        answer = do(act, api, cast.otto, conversation, label)

    assert witness.said(answer) == witness.NOT_YOUR_INBOX


@BOTH
def test_what_does_not_exist_is_missing(cast: Cast, api: type[Api], act: str) -> None:
    conversation, label = cast.conversation(), cast.label()

    answers = [
        api(cast.olga).post(f"/labels/{act}", conversation_id=987654321, label_id=label.pk),
        api(cast.olga).post(f"/labels/{act}", conversation_id=conversation.pk, label_id=987654321),
    ]

    assert [witness.said(answer) for answer in answers] == [witness.missing("Conversation"), witness.missing("Label")]


@BOTH
def test_needs_both_ids(cast: Cast, api: type[Api], act: str) -> None:
    answer = api(cast.olga).post(f"/labels/{act}")

    assert answer.status == 400
    assert answer.fields == {"conversation_id": '"conversation_id" is required', "label_id": '"label_id" is required'}
