"""The bodies that clients have always sent, to the letter: a name that an operation does not know is refused, and none of these is one."""

from typing import Any, NamedTuple

import pytest

from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.routes import CONVERSATION, INBOX, LABEL, OPERATOR, stage

JSON = "application/json; charset=utf-8"
NAMES = {"operator_id": OPERATOR, "conversation_id": CONVERSATION, "inbox_id": INBOX, "label_id": LABEL, "created_by": OPERATOR}


class Call(NamedTuple):
    """A call as it was: `names` are the ids in its body, `words` what else is in it."""

    operation: str  # what the stage is set for
    method: str
    path: str
    names: tuple[str, ...] = ()
    words: dict[str, Any] = {}


CALLS = [
    Call("conversation-allocate", "POST", "/conversations/allocate", ("operator_id",)),
    Call("conversation-claim", "POST", "/conversations/claim", ("operator_id", "conversation_id")),
    Call("conversation-manager-allocate", "POST", "/conversations/manager-allocate", ("operator_id", "conversation_id")),
    Call("conversation-resolve", "POST", "/conversations/resolve", ("conversation_id",)),
    Call("conversation-deallocate", "POST", "/conversations/deallocate", ("conversation_id",)),
    Call("conversation-reassign", "POST", "/conversations/reassign", ("conversation_id", "operator_id")),
    Call("conversation-move-inbox", "POST", "/conversations/move-inbox", ("conversation_id", "inbox_id")),
    Call("recalculation-update-priorities", "POST", "/conversations/update-priorities"),
    Call("operator-change-status", "PUT", "/operators/{operator}/status", words={"status": "OFFLINE"}),
    Call("label-create", "POST", "/labels", ("inbox_id",), {"name": "Refund", "color": "#336699"}),
    Call("label-create", "POST", "/labels", ("inbox_id", "created_by"), {"name": "Refund", "color": "#336699"}),
    Call("label-update", "PUT", "/labels/{label}", words={"name": "Refund"}),
    Call("label-update", "PUT", "/labels/{label}", words={"color": "#336699"}),
    Call("label-update", "PUT", "/labels/{label}", ("inbox_id", "created_by"), {"name": "Refund", "color": "#336699"}),
    Call("label-destroy", "DELETE", "/labels/{label}"),
    Call("label-attach", "POST", "/labels/attach", ("conversation_id", "label_id")),
    Call("label-detach", "POST", "/labels/detach", ("conversation_id", "label_id")),
]
QUESTIONS = [
    "/conversations?limit=20&inbox_id={inbox}&state=QUEUED&label_id={label}&sort=priority",
    "/conversations?sort=newest&operator_id={operator}",
    "/conversations/search?phone_number=%2B19870000000",
    "/conversations/{conversation}",
    "/operators",
    "/operators/{operator}/status",
    "/operators/{operator}/stats",
    "/operators/{operator}/inboxes",
    "/inboxes",
    "/labels",
    "/labels?inbox_id={inbox}",
    "/health",
]


@pytest.mark.parametrize("signed", [(), ("operator_id",), ("operator_id", "tenant_id")], ids="-".join)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.operation} {' '.join((*call.names, *call.words))}")
def test_a_call_is_taken_as_it_always_was_however_it_is_signed(cast: Cast, call: Call, signed: tuple[str, ...]) -> None:
    ids = stage(cast, call.operation, cast.ada)
    ids.setdefault(CONVERSATION, 0)
    body = dict(call.words) | {name: ids[NAMES[name]] for name in call.names}
    signature = {"operator_id": cast.ada.pk, "tenant_id": cast.tenant.pk}

    answer = sent(cast, call.method, call.path.format(**ids), {name: signature[name] for name in signed} | body)

    assert answer.status in (200, 201), answer.body


@pytest.mark.parametrize("signed", ["", "operator_id={operator}", "operator_id={operator}&tenant_id=1"])
@pytest.mark.parametrize("path", QUESTIONS)
def test_so_is_a_question(cast: Cast, api: type[Api], path: str, signed: str) -> None:
    ids = stage(cast, "conversation-claim", cast.ada)

    answer = api(cast.ada).get(f"{path}{'&' if '?' in path else '?'}{signed}".rstrip("?&").format(**ids))

    assert answer.status == 200, answer.body


def sent(cast: Cast, method: str, path: str, body: dict[str, Any]) -> Answer:
    """As libraries send it: with the charset, and with a body of nothing where there is nothing to say."""
    return Api(cast.ada).call(method, path, body, **{"Content-Type": JSON})


def test_a_label_that_is_put_whole_stays_in_its_inbox_and_its_creators(cast: Cast, api: type[Api]) -> None:
    label = cast.label(created_by=cast.olga)
    whole = {"inbox_id": cast.support.pk, "name": "Refund", "color": "#336699", "created_by": cast.otto.pk}

    answer = api(cast.mia).call("PUT", f"/labels/{label.pk}", whole)

    kept = {name: answer.data[name] for name in ("inbox_id", "name", "color", "created_by")}
    assert kept == {"inbox_id": cast.support.pk, "name": "Refund", "color": "#336699", "created_by": cast.olga.pk}


def test_a_label_cannot_be_put_into_another_inbox(cast: Cast, api: type[Api]) -> None:
    label = cast.label()

    with witness.untouched(cast):
        answer = api(cast.mia).put(f"/labels/{label.pk}", inbox_id=cast.sales.pk, name="Refund")

    assert witness.said(answer) == witness.invalid(inbox_id='"inbox_id" must be the inbox of the label: it cannot move')


def test_nobody_signs_a_change_of_a_label_as_somebody_else(cast: Cast, api: type[Api]) -> None:
    label = cast.label(created_by=cast.olga)

    with witness.untouched(cast):
        answer = api(cast.olga).put(f"/labels/{label.pk}", created_by=cast.otto.pk, name="Refund")

    assert witness.said(answer) == witness.OTHERS_WORK
