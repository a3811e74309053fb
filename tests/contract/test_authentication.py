"""X-Operator-Id: who is calling. Whoever cannot be told is 401, whatever they ask for."""

import pytest
from pytest_django.fixtures import Settings

from operators.models import Operator, Role
from tests.conftest import Api, Cast
from tests.contract import witness


def test_names_the_caller(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).get("/inboxes")

    assert answer.status == 200


@pytest.mark.parametrize(
    "offered",
    [
        "",
        " ",
        "0",
        "-1",
        "+1",
        "007",
        "1.0",
        "1e3",
        "0x1",
        "1_0",
        "abc",
        "1 OR 1=1",
        "1,2",
        "1;2",
        "\N{ARABIC-INDIC DIGIT FIVE}",
        "\N{SUPERSCRIPT TWO}",
        "null",
        "9223372036854775807",
        "9223372036854775808",
        "9999999999999999999",
        "9" * 5000,
        "987654321",
        "1\0",
    ],
)
def test_a_malformed_unknown_or_huge_id_is_401(cast: Cast, api: type[Api], offered: str) -> None:
    with witness.untouched(cast):
        answer = api(None).call("GET", "/inboxes", **{"X-Operator-Id": offered})

    assert witness.said(answer) == witness.UNKNOWN_CALLER
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="convalloc"'


def test_no_header_is_401(cast: Cast, api: type[Api]) -> None:
    answer = api(None).get("/inboxes")

    assert witness.said(answer) == witness.UNKNOWN_CALLER


def test_the_caller_is_told_before_the_body_is_read(cast: Cast, api: type[Api]) -> None:
    answer = api(None).call("POST", "/conversations/claim", b"{")

    assert witness.said(answer) == witness.UNKNOWN_CALLER


def test_a_disabled_account_is_401(cast: Cast, api: type[Api]) -> None:
    witness.change(cast, cast.olga, is_active=False)

    answer = api(cast.olga).get("/inboxes")

    assert witness.said(answer) == witness.UNKNOWN_CALLER


def test_an_account_of_the_platform_belongs_to_no_tenant(cast: Cast, api: type[Api]) -> None:
    superuser = Operator.objects.create_superuser("root@platform.example", None, role=Role.ADMIN)

    answers = [api(superuser).get("/conversations"), api(superuser).post("/conversations/allocate", operator_id=cast.olga.pk)]

    refusal = witness.refusal(403, "platform_account", "Accounts of the platform belong to no tenant: sign in as an operator of one")
    assert [witness.said(answer) for answer in answers] == [refusal] * 2


def test_with_the_setting_off_the_header_is_believed_by_nobody(cast: Cast, api: type[Api], settings: Settings) -> None:
    settings.OPERATOR_HEADER_AUTH = False

    answer = api(cast.ada).get("/inboxes")

    assert witness.said(answer) == witness.UNKNOWN_CALLER


def test_the_next_request_remembers_nothing_of_the_last(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    caller = api(cast.ada)
    caller.get("/inboxes")
    caller.headers = {}

    answer = caller.get("/inboxes")

    assert witness.said(answer) == witness.UNKNOWN_CALLER
