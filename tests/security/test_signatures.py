"""Signed requests: who signs with a secret of a key is let in as that key, once and in time; everything else is a clean 401."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from standardwebhooks import Webhook

from convalloc import clock
from operators import signatures, signing_secrets, staff, sweeping
from operators.models import ApiKey, SeenMessage
from tenants import isolation
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.security.signing import another_secret, check, fresh_id, program, send

ALLOCATE, RELEASE = "/conversations/allocate", "/conversations/release"
OF_THE_KEY = "no signing secret of this API key made the signature"
REPLAYED = witness.refusal(
    401, "signature_replayed", "This signed message was let in before: whoever tries again signs anew, with the time of then"
)


def invalid(reason: str) -> tuple[int, Any]:
    return witness.refusal(401, "signature_invalid", f"The request is not signed as it must be: {reason}", reason=reason)


def wish(cast: Cast) -> bytes:
    return b'{"operator_id": %d}' % cast.olga.pk


# --- let in ---------------------------------------------------------------------------------------


def test_who_signs_is_let_in_as_the_key_and_it_stands_in_the_log_so(cast: Cast) -> None:
    row, caller = cast.conversation(), program(cast)

    with witness.appended(cast) as events:
        answer = send(ALLOCATE, wish(cast), caller.headers(wish(cast)))

    assert (answer.status, answer.data["id"]) == (200, row.pk)
    assert {event["actor_id"] for event in events} == {cast.olga.pk}


def test_the_check_tells_which_key_and_which_secret_signed(cast: Cast) -> None:
    caller = program(cast, scopes=["labels:read"])

    answer = check(caller.headers(b"{}"))

    told = {"api_key_id": caller.key_id, "signing_secret_id": caller.secret_id, "operator_id": cast.olga.pk, "scopes": ["labels:read"]}
    assert (answer.status, answer.data) == (200, told)


def test_the_check_tells_who_did_not_sign_that_they_did_not(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/signatures/check")

    assert (answer.status, answer.data) == (200, None)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b' {"a" :\t1 }\n', '{"a": "Ünïcödé \N{PILE OF POO}"}'.encode(), b'{"a": "%s"}' % (b"x" * 100_000)]
)
def test_the_body_is_signed_byte_for_byte_as_it_was_sent(cast: Cast, body: bytes) -> None:
    caller = program(cast)

    assert check(caller.headers(body), body).status == 200
    assert witness.said(check(caller.headers(body), body + b" ")) == invalid(OF_THE_KEY)


def test_while_secrets_are_changed_either_is_good_and_so_are_both_at_once(cast: Cast) -> None:
    old = program(cast)
    new = another_secret(cast, old.key_id)
    message_id = fresh_id()
    both = new.headers(b"{}", message_id=message_id)
    both["webhook-signature"] = f"{old.headers(b'{}', message_id=message_id)['webhook-signature']} {both['webhook-signature']}"

    answers = [check(headers) for headers in (old.headers(b"{}"), new.headers(b"{}"), both)]

    assert [(answer.status, answer.data["signing_secret_id"]) for answer in answers] == [
        (200, secret_id) for secret_id in (old.secret_id, new.secret_id, new.secret_id)
    ]


def test_signatures_of_other_versions_are_passed_over(cast: Cast) -> None:
    caller = program(cast)
    headers = caller.headers(b"{}")
    headers["webhook-signature"] = f"v1a,{'b' * 86}== v2,abc {headers['webhook-signature']}"

    assert check(headers).status == 200


@pytest.mark.parametrize("late", [timedelta(seconds=270), timedelta(seconds=-270)])
def test_five_minutes_of_difference_between_two_clocks_are_borne(cast: Cast, late: timedelta) -> None:
    assert check(program(cast).headers(b"{}", late=late)).status == 200


def test_who_signs_needs_no_other_credential_and_no_other_one_helps(cast: Cast, api: type[Api]) -> None:
    caller = program(cast)
    headers = caller.headers(b"{}") | {"webhook-id": "another"}

    assert witness.said(api(cast.ada).call("POST", "/signatures/check", b"{}", **headers)) == invalid(OF_THE_KEY)
    key = api(cast.ada).post("/api-keys", name="CRM", scopes=["labels:read"]).data["key"]
    assert witness.said(check(headers | {"Authorization": f"Bearer {key}"})) == invalid(OF_THE_KEY)


# --- bounds ---------------------------------------------------------------------------------------


def test_the_scopes_and_the_role_of_the_key_bound_who_signs(cast: Cast) -> None:
    row = witness.held(cast, cast.olga)
    body = b'{"conversation_id": %d}' % row.pk
    reader, operator = program(cast, scopes=["conversations:read"]), program(cast)

    answers = [send("/conversations/deallocate", body, caller.headers(body)) for caller in (reader, operator)]

    assert [(answer.status, answer.body["code"]) for answer in answers] == [(403, "role_too_low"), (403, "role_too_low")]
    released = send(RELEASE, body, reader.headers(body))
    assert (released.status, released.body["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("end", ["secret dropped", "key revoked", "key expired", "account closed"])
def test_what_has_ended_signs_nothing(cast: Cast, api: type[Api], end: str, caplog: pytest.LogCaptureFixture) -> None:
    caller = program(cast)
    assert check(caller.headers(b"{}")).status == 200

    with isolation.act_as(cast.tenant.pk):
        match end:
            case "secret dropped":
                signing_secrets.drop(caller.secret_id)
            case "key revoked":
                assert api(cast.ada).delete(f"/api-keys/{caller.key_id}").status == 200
            case "key expired":
                ApiKey.objects.update(expires_at=cast.mia.created_at - timedelta(days=1))
            case "account closed":
                staff.change(cast.olga.pk, by=cast.ada, is_active=False)

    refused = witness.UNKNOWN_CALLER if end == "account closed" else invalid(OF_THE_KEY)
    assert witness.said(check(caller.headers(b"{}"))) == refused
    assert "checks nothing" not in caplog.text  # nobody tried to open what was forgotten


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_was_signed_to_be_posted_does_nothing_else(cast: Cast, method: str) -> None:
    label, caller = cast.label(created_by=cast.olga), program(cast)
    headers = caller.headers(b"")

    with witness.untouched(cast):
        answer = Api(None).call(method, f"/labels/{label.pk}" if method != "GET" else "/labels", b"", **headers)

    assert witness.said(answer) == invalid("only a POST can be signed")


def test_another_tenants_key_of_the_same_secret_s_signature_is_nobodys(cast: Cast, neighbours: Cast) -> None:
    caller, other = program(cast), program(neighbours)
    swapped = [caller.headers(b"{}") | {"X-Api-Key-Id": name} for name in (other.sign_as, f"cvk_{neighbours.tenant.pk}_{caller.key_id}")]

    with witness.untouched(cast, neighbours):
        answers = [check(headers) for headers in swapped]

    assert [witness.said(answer) for answer in answers] == [invalid(OF_THE_KEY)] * 2


def test_a_key_that_does_not_exist_is_refused_as_a_wrong_signature_is(cast: Cast) -> None:
    caller = program(cast)
    wrong = caller.headers(b"{}") | {"webhook-signature": Webhook("whsec_" + "a" * 44).sign("msg_1", clock.now(), "{}")}

    answers = [check(headers) for headers in (wrong, *(wrong | {"X-Api-Key-Id": name} for name in ("cvk_1_987654321", "cvk_987654321_1")))]

    assert {answer.raw for answer in answers} == {answers[0].raw}
    assert witness.said(answers[0]) == invalid(OF_THE_KEY)


def test_a_body_that_is_too_large_is_413_whoever_signed_it(cast: Cast, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    caller, body = program(cast), b'{"a": "%s"}' % (b"x" * 1000)

    with witness.untouched(cast):
        answer = check(caller.headers(body), body)

    assert witness.said(answer) == witness.refusal(413, "body_too_large", "The body is too large")


# --- once, and in time ----------------------------------------------------------------------------


@pytest.mark.parametrize("late", [timedelta(seconds=301), timedelta(hours=1), timedelta(seconds=-330), timedelta(days=-1)])
def test_what_was_signed_too_long_ago_or_in_the_future_is_refused(cast: Cast, late: timedelta) -> None:
    caller = program(cast)

    with witness.untouched(cast):
        answer = check(caller.headers(b"{}", late=late))

    assert witness.said(answer) == invalid("webhook-timestamp is more than 300 s away from our clock")


def test_a_message_is_let_in_once(cast: Cast) -> None:
    for _ in range(2):
        cast.conversation()
    caller = program(cast)
    headers = caller.headers(wish(cast))
    assert send(ALLOCATE, wish(cast), headers).status == 200

    with witness.untouched(cast):
        again = send(ALLOCATE, wish(cast), headers)

    assert witness.said(again) == REPLAYED


def test_a_message_that_was_let_in_is_let_in_nowhere_else(cast: Cast) -> None:
    caller = program(cast)
    headers = caller.headers(wish(cast))
    assert check(headers, wish(cast)).status == 200
    cast.conversation()

    with witness.untouched(cast):
        elsewhere = send(ALLOCATE, wish(cast), headers)

    assert witness.said(elsewhere) == REPLAYED


def test_who_tries_again_signs_anew_and_is_let_in(cast: Cast) -> None:
    caller, message_id = program(cast), fresh_id()

    answers = [check(caller.headers(b"{}", message_id=message_id, late=timedelta(seconds=late))) for late in (2, 0)]

    assert [answer.status for answer in answers] == [200, 200]


def test_what_was_rolled_back_may_be_sent_again(cast: Cast) -> None:
    caller = program(cast)
    headers = caller.headers(wish(cast))
    witness.set_status(cast, cast.olga, "OFFLINE")
    assert send(ALLOCATE, wish(cast), headers).status == 409

    row = cast.conversation()
    witness.set_status(cast, cast.olga, "AVAILABLE")
    answer = send(ALLOCATE, wish(cast), headers)

    assert (answer.status, answer.data["id"]) == (200, row.pk)


def test_two_keys_may_use_the_same_id(cast: Cast) -> None:
    message_id = fresh_id()

    answers = [check(program(cast).headers(b"{}", message_id=message_id)) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]


def test_a_copy_with_other_words_around_it_is_the_same_message(cast: Cast) -> None:
    caller = program(cast)
    headers = caller.headers(b"{}")
    assert check(headers).status == 200

    copies = [
        headers | {"webhook-signature": f"v2,abc {headers['webhook-signature']}"},
        headers | {"webhook-timestamp": f"0{headers['webhook-timestamp']}"},
        headers | {"webhook-timestamp": f"{headers['webhook-timestamp']} "},
    ]

    assert [check(copy).body["code"] for copy in copies] == ["signature_replayed", "signature_invalid", "signature_invalid"]


# --- what is forgotten ----------------------------------------------------------------------------


def test_a_message_is_forgotten_when_its_time_cannot_let_it_in_any_more(cast: Cast) -> None:
    caller = program(cast)
    headers = caller.headers(b"{}")
    assert check(headers).status == 200

    sweeping.sweep()
    within = check(headers)
    with isolation.act_as(cast.tenant.pk):
        SeenMessage.objects.update(signed_at=clock.now() - signatures.KEPT - timedelta(seconds=1))
    counts = sweeping.sweep()

    assert witness.said(within) == REPLAYED
    assert counts["seen_messages"] == 1
    with isolation.act_as(cast.tenant.pk):
        assert not SeenMessage.objects.exists()


def test_many_are_forgotten_in_rounds_of_every_tenant(cast: Cast, neighbours: Cast) -> None:
    for tenant in (cast, neighbours):
        caller = program(tenant)
        with isolation.act_as(tenant.tenant.pk):
            long_ago = clock.now() - timedelta(days=1)
            SeenMessage.objects.bulk_create(
                [
                    SeenMessage(tenant_id=tenant.tenant.pk, api_key_id=caller.key_id, message_id=fresh_id(), signed_at=long_ago)
                    for _ in range(5)
                ]
            )

    counts = sweeping.sweep(limit=2)

    assert counts["seen_messages"] == 10


def test_what_is_kept_is_kept_for_longer_than_a_message_may_be_late() -> None:
    """A sweep is no request: one may still wait, that was in time when it came."""
    for_a_request = signatures.KEPT - signatures.TOLERANCE

    assert for_a_request >= timedelta(seconds=60)


# --- hostile --------------------------------------------------------------------------------------

KEY, ID, AT, SIGNATURE = "X-Api-Key-Id", "webhook-id", "webhook-timestamp", "webhook-signature"
HUGE = "9" * 100_000
GOOD = "v1," + "a" * 43 + "="
HOSTILE = [
    *(
        (KEY, value)
        for value in ("", " ", "cvk", "cvk_1", "cvk_1_", "cvk__1", "cvk_0_1", "cvk_1_0", "cvk_-1_1", "cvk_01_1", "cvk_1_1_secret")
    ),
    *((KEY, value) for value in ("cvr_1_1", "CVK_1_1", "cvk_1_1 ", "cvk_1_1\n", "cvk_1_1\0", "cvk_1_\N{ARABIC-INDIC DIGIT FIVE}")),
    *((KEY, value) for value in ("cvk_1_1,cvk_1_2", f"cvk_1_{HUGE}", "cvk_9223372036854775808_1", "cvk_1_' OR 1=1", "\xff")),
    *((ID, value) for value in ("", " ", "a b", "a.b", "a,b", "a\0b", "a\nb", "\xff", "\N{PILE OF POO}", "a" * 257, HUGE)),
    *(
        (AT, value)
        for value in ("", " ", "0", "-1", "+1700000000", "1.7e9", "1700000000.5", "0x65500000", "1_700_000_000", "now", "NaN", "inf")
    ),
    *((AT, value) for value in ("2026-11-23T10:00:00Z", "1700000000\0", "\N{ARABIC-INDIC DIGIT FIVE}" * 10, "\N{SUPERSCRIPT TWO}" * 10)),
    *((AT, value) for value in ("9" * 12, "9223372036854775808", HUGE, "1700000000,1700000000", "1700000000 1700000000")),
    *(
        (SIGNATURE, value)
        for value in ("", " ", ",", "v1", "v1,", ",abc", "v1 abc", "v1;abc", "v1=abc", "v1,!!!", "v1,a b", f"{GOOD},{GOOD}")
    ),
    *((SIGNATURE, value) for value in (f" {GOOD}", f"{GOOD} ", f"{GOOD}  {GOOD}", f"{GOOD}\t{GOOD}", f"{GOOD}\0", "v1,\xff", "v1," + HUGE)),
    *((SIGNATURE, value) for value in (" ".join([GOOD] * 11), " ".join([GOOD] * 100), "hmac-sha256=abc", "Bearer abc", "sha256=abc")),
]


def named(case: Any) -> str:
    return repr(case)[:40]


@pytest.mark.parametrize(("header", "value"), HOSTILE, ids=named)
def test_a_malformed_header_is_a_401_that_names_it(cast: Cast, header: str, value: str) -> None:
    caller = program(cast)

    with witness.untouched(cast):
        answer = check(caller.headers(b"{}") | {header: value})

    assert witness.said(answer) == invalid(f"{header} is malformed")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="convalloc"'


@pytest.mark.parametrize("header", [KEY, ID, AT, SIGNATURE])
def test_a_missing_header_is_a_401_that_names_it(cast: Cast, header: str) -> None:
    headers = program(cast).headers(b"{}")
    del headers[header]

    with witness.untouched(cast):
        answer = check(headers)

    assert witness.said(answer) == invalid(f"{header} is missing")


@pytest.mark.parametrize("bent", ["last bit", "padding", "unpadded", "url-safe", "hex", "upper case", "another version", "empty secret"])
def test_a_well_formed_signature_that_is_not_the_one_is_a_401(cast: Cast, bent: str) -> None:
    caller = program(cast)
    headers = caller.headers(b"{}")
    good = headers[SIGNATURE].removeprefix("v1,")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    headers[SIGNATURE] = {
        "last bit": f"v1,{good[:42]}{alphabet[alphabet.index(good[42]) ^ 1]}=",  # what a lenient decoder takes for the same bytes
        "padding": f"v1,{good}=",
        "unpadded": f"v1,{good.rstrip('=')}",
        "url-safe": f"v1,-_{good[2:]}",
        "hex": "v1," + "0" * 64,
        "upper case": f"v1,{good.upper()}",
        "another version": f"v1a,{good}",
        "empty secret": "v1,uTYPSWwB8pUlgr1xw4ORhhyzDC+y5RxZ8PVyo2WRIlE=",
    }[bent]

    with witness.untouched(cast):
        answer = check(headers)

    assert witness.said(answer) == invalid(OF_THE_KEY)


@pytest.mark.parametrize("part", [ID, AT])
def test_what_stands_before_the_body_is_signed_too(cast: Cast, part: str) -> None:
    caller = program(cast)
    headers = caller.headers(b"{}")
    headers[part] = f"x{headers[part]}" if part == ID else str(int(headers[part]) + 1)

    with witness.untouched(cast):
        answer = check(headers)

    assert witness.said(answer) == invalid(OF_THE_KEY)
