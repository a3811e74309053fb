"""Whatever a caller writes into a path, a query or a header: 4xx in the envelope, never 500, and nothing changes."""

from urllib.parse import quote

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness
from tests.contract.routes import KINDS, OPEN, OPEN_TO_POST, ROUTES, Route, call, stage_anything

QUERIED = [(route, name) for route in ROUTES for name in (*route.query, *(route.extra if route.method == "GET" else ()))]
IN_PATH = [route for route in ROUTES if "{" in route.path]
NO_IDS = [
    "0",
    "00",
    "01x",
    "-1",
    "1.5",
    "1e3",
    "9" * 19,
    "9223372036854775808",
    "9" * 400,
    "%00",
    "1%00",
    "%ff",
    "%F0%9F%92%A3",
    "%D9%A5",
    "..",
    "%2e%2e",
]
IN_QUERY = ["%00", "a%00b", "%ff%fe", "%ED%A0%80", "9" * 400, "%F0%9F%92%A3", "-1", "1e3", quote("' OR 1=1 --"), "%0d%0aX-Evil:%201"]


@pytest.mark.parametrize("route", IN_PATH, ids=str)
def test_what_is_no_id_in_a_path_is_nothing(cast: Cast, api: type[Api], route: Route) -> None:
    method, path, body = call(route, dict.fromkeys(KINDS, 77))

    with witness.untouched(cast):
        answers = [api(cast.ada).call(method, path.replace("/77", f"/{text}"), body) for text in NO_IDS]

    assert {(answer.status, answer.body["status"]) for answer in answers} <= {(404, "error"), (405, "error")}


@pytest.mark.parametrize(("route", "name"), QUERIED, ids=[f"{route} {name}" for route, name in QUERIED])
def test_a_query_of_nonsense_is_a_question_or_a_400(cast: Cast, api: type[Api], route: Route, name: str) -> None:
    method, path, _ = call(route, stage_anything(cast))

    answers = [api(cast.ada).call(method, f"{path.split('?')[0]}?{name}={text}") for text in IN_QUERY]

    assert {answer.status for answer in answers} <= ({200, 400} if name == "phone_number" else {400})
    assert not any("X-Evil" in answer.headers for answer in answers)


@pytest.mark.parametrize("name", ["cursor", "limit", "sort", "state", "from", "to"])
@pytest.mark.parametrize("path", ["/conversations", "/grace-periods", "/operators/{operator}/presence"])
def test_a_page_of_nonsense_is_a_400(cast: Cast, api: type[Api], path: str, name: str) -> None:
    ids = stage_anything(cast)

    answers = [api(cast.ada).get(f"{path.format(**ids)}?{name}={text}") for text in IN_QUERY]

    assert {(answer.status, answer.body["code"]) for answer in answers} == {(400, "validation_failed")}
    assert {field for answer in answers for field in answer.fields} == {name}


@pytest.mark.parametrize("path", [*OPEN.values(), *OPEN_TO_POST.values(), "/me"])
def test_what_the_url_says_besides_is_never_an_error_of_ours(db: None, api: type[Api], path: str) -> None:
    answers = [api(None).call("POST" if "auth" in path else "GET", f"{path}?{text}={text}") for text in IN_QUERY]

    assert all(answer.status < 500 for answer in answers)


@pytest.mark.parametrize("name", ["X-Operator-Id", "X-Request-Id", "Accept", "Authorization", "Origin", "X-Forwarded-For"])
def test_a_header_of_nonsense_is_never_an_error_of_ours(cast: Cast, api: type[Api], name: str) -> None:
    values = ["", " ", "\x00", "9" * 5000, "\xff\xfe", "💣", "a, b, c", "../..", "%0d%0aX-Evil: 1"]

    answers = [api(cast.ada).call("GET", "/me", None, **{name: value}) for value in values]

    assert all(answer.status < 500 for answer in answers)
    assert not any("X-Evil" in answer.headers for answer in answers)
