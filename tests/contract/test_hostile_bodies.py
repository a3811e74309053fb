"""Whatever a caller sends as a body: 400 with the field, or 413, 415; never 500, and nothing changes."""

from typing import Any

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.routes import OPEN_TO_POST, ROUTES, Route, call, placed, stage_anything

WITH_BODY = [route for route in ROUTES if route.method in ("POST", "PUT", "PATCH") and (route.body or route.extra)]
# The ingest's inbox may be a phone number as well: tests/contract/test_ingest.py says what it may not be.
ID_FIELDS = [(route, field) for route in WITH_BODY for field in route.body if route.operation != "ingest-messages"]
ANY_FIELD_WILL_DO = {"label-update", "tenant-change", "operator-change-capacity", "webhook-partial-update"}
HOSTILE_IDS: list[Any] = [
    None,
    "",
    " ",
    "abc",
    0,
    -1,
    1.5,
    5.0,
    True,
    False,
    [],
    [1],
    {},
    {"id": 1},
    2**63,
    2**64 - 1,
    1e308,
    "1e3",
    "1_0",
    "0x10",
    "9" * 5000,
    "\N{ARABIC-INDIC DIGIT FIVE}",
    "\0",
    "1\0",
    "\U0001f4a3",
]


@pytest.mark.parametrize(("route", "field"), ID_FIELDS, ids=[f"{route} {field}" for route, field in ID_FIELDS])
def test_what_is_no_id_is_400_and_names_the_field(cast: Cast, api: type[Api], route: Route, field: str) -> None:
    method, path, body = call(route, stage_anything(cast))
    assert body is not None

    with witness.untouched(cast):
        answers = [api(cast.ada).call(method, path, placed(body, field, hostile)) for hostile in HOSTILE_IDS]

    assert [(answer.status, answer.body["code"], list(answer.fields)) for answer in answers] == [
        (400, "validation_failed", [field]) for _ in HOSTILE_IDS
    ]


def test_an_id_in_a_text_of_digits_is_an_id(cast: Cast, api: type[Api]) -> None:
    conversation = cast.conversation()

    answer = api(cast.olga).post("/conversations/allocate", operator_id=str(cast.olga.pk))

    assert (answer.status, answer.data["id"]) == (200, conversation.pk)


NO_OBJECT = "The body must be a JSON object"
RAW: dict[str, tuple[bytes, str | None]] = {
    "null": (b"null", NO_OBJECT),
    "an array": (b'[{"operator_id": 1}]', NO_OBJECT),
    "a text": (b'"x"', NO_OBJECT),
    "a number": (b"5", NO_OBJECT),
    "half an object": (b'{"operator_id": ', None),
    "single quotes": (b"{'operator_id': 1}", None),
    "NaN": (b'{"operator_id": NaN}', None),
    "Infinity": (b'{"operator_id": Infinity}', None),
    "a lone surrogate": (b'{"name": "\\ud800"}', None),
    "a surrogate in UTF-8": (b'{"name": "\xed\xa0\x80"}', None),
    "broken UTF-8": (b'{"name": "\xff\xfe"}', None),
    "UTF-16": ('{"operator_id": 1}'.encode("utf-16"), None),
    "a byte order mark": (b'\xef\xbb\xbf{"operator_id": 1}', None),
    "a raw NUL": (b"\x00", None),
    "deep arrays": (b"[" * 100_000 + b"]" * 100_000, None),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, None),
    "objects as deep as the first reader goes": (b'{"a":' * 1000 + b"1" + b"}" * 1000, None),
    "two objects": (b"{}{}", None),
    "a form": (b"operator_id=1", None),
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_json_object_is_400(cast: Cast, api: type[Api], name: str) -> None:
    raw, message = RAW[name]
    ids = stage_anything(cast)

    with witness.untouched(cast):
        answers = [api(cast.ada).call(route.method, call(route, ids)[1], raw) for route in WITH_BODY]

    assert {(answer.status, answer.body["code"]) for answer in answers} == {(400, "malformed_json")}
    assert all(answer.body["message"].startswith("The body is not valid JSON: ") or answer.body["message"] == message for answer in answers)
    assert all(answer.body["errors"] == [] for answer in answers)


@pytest.mark.parametrize("name", RAW)
def test_neither_do_the_doors_that_are_open_to_anyone_take_it(db: None, api: type[Api], name: str) -> None:
    raw, _ = RAW[name]

    answers = [api(None).call("POST", path, raw) for path in OPEN_TO_POST.values()]

    assert {(answer.status, answer.body["code"]) for answer in answers} == {(400, "malformed_json")}


SECRETS = [("/auth/token", "email"), ("/auth/token", "password"), ("/auth/token", "totp"), ("/auth/refresh", "refresh_token")]
CREDENTIALS = {"/auth/token": {"email": "a@b.example", "password": "x"}, "/auth/refresh": {"refresh_token": "x"}}


@pytest.mark.parametrize("value", [None, "a\0b", [], {}, True, "x" * 5000])
@pytest.mark.parametrize(("path", "field"), [*SECRETS, ("/auth/logout", "refresh_token")])
def test_a_secret_is_a_short_text(db: None, api: type[Api], path: str, field: str, value: Any) -> None:
    answer = api(None).call("POST", path, CREDENTIALS.get(path, {}) | {field: value})

    assert (answer.status, answer.body["code"], list(answer.fields)) == (400, "validation_failed", [field])


@pytest.mark.parametrize("path", OPEN_TO_POST.values())
def test_signing_in_knows_its_fields_and_no_others(db: None, api: type[Api], path: str) -> None:
    answers = [
        api(None).call("POST", path, {"refresh_token": "x", "email": "a@b.example", "password": "x", "grant_type": "password"}),
        api(None).call("POST", path, b'{"email": "a@b.example", "email": "b@b.example", "password": "x", "refresh_token": "x"}'),
    ]

    assert answers[0].fields["grant_type"] == '"grant_type" is not allowed'
    assert witness.said(answers[1]) == witness.invalid(email='"email" is given twice')


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_an_empty_body_lacks_its_fields(cast: Cast, api: type[Api], route: Route) -> None:
    method, path, _ = call(route, stage_anything(cast))

    with witness.untouched(cast):
        answer, *others = (api(cast.ada).call(method, path, raw) for raw in (b"{}", b"", b"  \n"))

    assert [witness.said(other) for other in others] == [witness.said(answer)] * 2
    assert (answer.status, answer.body["code"], answer.body["message"]) == (400, "validation_failed", "Validation failed")
    assert all(message == f'"{field}" is required' for field, message in answer.fields.items() if route.operation not in ANY_FIELD_WILL_DO)


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
def test_a_field_that_nobody_knows_is_refused_by_its_name(cast: Cast, api: type[Api], route: Route) -> None:
    method, path, body = call(route, stage_anything(cast))
    assert body is not None

    with witness.untouched(cast):
        answer = api(cast.ada).call(method, path, body | {"conversatoin_id": 1, "message": "x", "code": "y", "__proto__": {}})

    told = {name: f'"{name}" is not allowed' for name in ("conversatoin_id", "message", "code", "__proto__")}
    assert witness.said(answer) == witness.invalid(**told)


def test_an_unknown_field_is_found_deep_inside_and_beside_what_else_is_wrong(cast: Cast, api: type[Api]) -> None:
    body = {"own_limit": -1, "inboxes": [{"inbox_id": cast.support.pk, "limit": 1, "limt": 2}]}

    with witness.untouched(cast):
        answer = api(cast.mia).call("PATCH", f"/operators/{cast.olga.pk}/capacity", body)

    assert answer.fields == {"own_limit": '"own_limit" must be at least 0', "inboxes.0.limt": '"limt" is not allowed'}


def test_an_answer_repeats_little_of_what_a_caller_made_up(cast: Cast, api: type[Api]) -> None:
    body = {f"{number} {'x' * 10_000}": 1 for number in range(100)}

    answer = api(cast.olga).call("POST", "/conversations/allocate", body)

    assert answer.status == 400
    assert len(answer.raw) < 10_000


@pytest.mark.parametrize("path", ["/conversations/resolve", "/conversations/deallocate"])
def test_clients_of_the_old_system_may_still_sign_their_calls(cast: Cast, neighbours: Cast, api: type[Api], path: str) -> None:
    row = witness.held(cast, cast.olga)

    answer = api(cast.mia).call("POST", path, {"conversation_id": row.pk, "operator_id": cast.mia.pk, "tenant_id": neighbours.tenant.pk})

    assert (answer.status, answer.data["tenant_id"]) == (200, cast.tenant.pk)


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_a_word_of_the_query_that_nobody_knows_is_refused_by_its_name(cast: Cast, api: type[Api], route: Route) -> None:
    method, path, body = call(route, stage_anything(cast))

    with witness.untouched(cast):
        answer = api(cast.ada).call(method, f"{path}{'&' if '?' in path else '?'}inbox=1&operator_id={cast.ada.pk}", body)

    assert witness.said(answer) == witness.invalid(inbox='"inbox" is not allowed')


TWICE = {
    "at once": b'{"operator_id": %d, "operator_id": %d}',
    "deep inside": b'{"operator_id": %d, "reason": {"operator_id": 1, "operator_id": %d}}',
    "spelled otherwise": b'{"operator_id": %d, "operator\\u005fid": %d}',
}


@pytest.mark.parametrize("raw", TWICE.values(), ids=TWICE)
def test_a_name_that_is_given_twice_is_refused(cast: Cast, api: type[Api], raw: bytes) -> None:
    cast.conversation()

    with witness.untouched(cast):
        answer = api(cast.mia).call("POST", "/conversations/allocate", raw % (cast.olga.pk, cast.otto.pk))

    assert witness.said(answer) == witness.invalid(operator_id='"operator_id" is given twice')


def test_a_body_full_of_names_is_refused_in_no_time(cast: Cast, api: type[Api]) -> None:
    names = b",".join(b'"%d":1' % number for number in range(150_000))

    answer = api(cast.olga).call("POST", "/conversations/allocate", b"{" + names + b"}")

    assert (answer.status, len(answer.fields)) == (400, 21)  # and operator_id is required


@pytest.mark.parametrize("value", ["a\0b", 5, 1e308, [], {}, True, "x" * 501])
def test_a_reason_is_a_short_text(cast: Cast, api: type[Api], value: Any) -> None:
    ids = stage_anything(cast)
    body = {"operator_id": ids["operator"], "conversation_id": ids["conversation"], "reason": value}

    answer = api(cast.mia).call("POST", "/conversations/manager-allocate", body)

    assert answer.status == (200 if isinstance(value, int | float) and value is not True else 400)


@pytest.mark.parametrize("value", [None, [], {}, "perhaps", 2, "\0"])
def test_force_is_a_boolean(cast: Cast, api: type[Api], value: Any) -> None:
    ids = stage_anything(cast)
    body = {"operator_id": ids["operator"], "conversation_id": ids["conversation"], "force": value}

    with witness.untouched(cast):
        answer = api(cast.mia).call("POST", "/conversations/manager-allocate", body)

    assert (answer.status, list(answer.fields)) == (400, ["force"])


def test_a_body_beyond_the_limit_is_413(cast: Cast, api: type[Api]) -> None:
    body = b'{"operator_id": "' + b"9" * 3_000_000 + b'"}'

    with witness.untouched(cast):
        answer = api(cast.ada).call("POST", "/conversations/allocate", body)

    assert witness.said(answer) == witness.refusal(413, "body_too_large", "The body is too large")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml"]
)
def test_another_content_type_is_415(cast: Cast, api: type[Api], content_type: str) -> None:
    with witness.untouched(cast):
        response = api(cast.ada).client.generic(
            "POST",
            "/api/v1/conversations/allocate",
            b"operator_id=1",
            content_type=content_type,
            headers={"X-Operator-Id": str(cast.ada.pk)},
        )

    message = f'Unsupported media type "{content_type}" in request.'
    assert (response.status_code, response.json()) == witness.refusal(415, "unsupported_media_type", message)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=latin-1"])
def test_json_may_name_its_charset_and_is_utf_8(cast: Cast, api: type[Api], content_type: str) -> None:
    response = api(cast.ada).client.generic(
        "POST",
        "/api/v1/labels",
        f'{{"inbox_id": {cast.support.pk}, "name": "grün", "color": "#00FF00"}}'.encode(),
        content_type=content_type,
        headers={"X-Operator-Id": str(cast.ada.pk)},
    )

    assert (response.status_code, response.json()["data"]["name"]) == (201, "grün")
