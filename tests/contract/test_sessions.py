"""Signing in, going on, signing out: /auth and /me."""

import re
from datetime import timedelta
from typing import Any

import jwt
import pytest

from conversations import grace
from operators import sessions, staff
from operators.models import Operator, RefreshToken, Role, Session
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness

PASSWORD = "correct horse battery"
WRONG = witness.refusal(401, "wrong_credentials", "Email or password is wrong")
ENDED = witness.refusal(401, "session_ended", "This refresh token serves no more: sign in again")


@pytest.fixture
def olga(cast: Cast) -> Operator:
    """Olga, who knows her password."""
    with isolation.act_as(cast.tenant.pk):
        return staff.set_password(cast.olga.pk, PASSWORD)


def sign_in(api: type[Api], who: Operator, password: str = PASSWORD) -> Answer:
    return api(None).post("/auth/token", email=who.email, password=password)


def with_token(api: type[Api], token: str) -> Api:
    caller = api(None)
    caller.headers = {"Authorization": f"Bearer {token}"}
    return caller


def refresh(api: type[Api], token: str) -> Answer:
    return api(None).post("/auth/refresh", refresh_token=token)


def test_email_and_password_give_tokens_that_open_the_api(cast: Cast, api: type[Api], olga: Operator) -> None:
    answer = sign_in(api, olga)

    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    given = answer.data
    assert (given["token_type"], given["operator_id"], given["tenant_id"]) == ("Bearer", olga.pk, cast.tenant.pk)
    assert (given["expires_in"], given["refresh_expires_in"]) == (600, pytest.approx(7 * 86400, abs=60))
    assert with_token(api, given["access_token"]).get("/me").data["email"] == olga.email


def test_the_email_may_be_written_in_any_case(cast: Cast, api: type[Api], olga: Operator) -> None:
    answer = api(None).post("/auth/token", email=f" {olga.email.upper()} ", password=PASSWORD)

    assert answer.status == 200


def test_a_password_is_taken_exactly_as_it_is_typed(cast: Cast, api: type[Api]) -> None:
    password = f"  Correct horse {'battery ' * 40}🐎 "
    with isolation.act_as(cast.tenant.pk):
        otto = staff.set_password(cast.otto.pk, password)

    answers = [sign_in(api, otto, typed) for typed in (password, password.strip(), password.lower(), password[:72])]

    assert [answer.status for answer in answers] == [200, 401, 401, 401]


def test_an_access_token_says_what_rfc_9068_asks_for_and_nothing_of_the_account(cast: Cast, api: type[Api], olga: Operator) -> None:
    token = sign_in(api, olga).data["access_token"]

    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})

    assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")
    assert header.keys() == {"alg", "typ", "kid"}
    assert claims.keys() == {"iss", "aud", "sub", "tenant", "sid", "iat", "nbf", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 600


def test_a_wrong_password_an_unknown_address_and_a_closed_account_are_told_the_same(cast: Cast, api: type[Api], olga: Operator) -> None:
    with isolation.act_as(cast.tenant.pk):
        staff.set_password(cast.otto.pk, PASSWORD)
        grace.dismiss(cast.otto.pk, cast.tenant, by=cast.ada)

    answers = [
        sign_in(api, olga, "something else"),
        api(None).post("/auth/token", email="nobody@example.com", password=PASSWORD),
        sign_in(api, cast.otto),
        sign_in(api, cast.mia),  # who has no password at all
    ]

    assert [witness.said(answer) for answer in answers] == [WRONG] * 4


def test_the_platforms_own_people_do_not_sign_in_here(cast: Cast, api: type[Api]) -> None:
    root = Operator.objects.create_superuser("root@platform.example", PASSWORD)

    assert witness.said(sign_in(api, root)) == WRONG


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, witness.required("email", "password")),
        ({"email": "a@b.c"}, witness.required("password")),
        ({"email": "a\0@b.c", "password": "x"}, witness.invalid(email='"email" must not contain NUL')),
        ({"email": 1, "password": []}, None),
        ({"email": "a" * 300, "password": "x"}, None),
        ({"email": "a@b.c", "password": "x" * 4097}, None),
    ],
)
def test_credentials_that_are_none_are_400(db: None, api: type[Api], body: dict[str, Any], said: Any) -> None:
    answer = api(None).post("/auth/token", **body)

    assert answer.status == 400
    assert said is None or witness.said(answer) == said


def test_a_refresh_token_gives_new_tokens_and_serves_once(cast: Cast, api: type[Api], olga: Operator) -> None:
    first = sign_in(api, olga).data

    second = refresh(api, first["refresh_token"])

    assert second.status == 200
    assert second.data["refresh_token"] != first["refresh_token"]
    assert with_token(api, second.data["access_token"]).get("/me").status == 200


def test_a_refresh_token_that_is_offered_twice_ends_the_session_for_thief_and_owner(cast: Cast, api: type[Api], olga: Operator) -> None:
    first = sign_in(api, olga).data
    second = refresh(api, first["refresh_token"]).data

    with witness.appended(cast) as events:
        again = refresh(api, first["refresh_token"])

    assert witness.said(again) == ENDED
    assert [(event["kind"], event["cause"]) for event in events] == [("session.ended", "reused")]
    assert witness.said(refresh(api, second["refresh_token"])) == ENDED
    assert with_token(api, second["access_token"]).get("/me").status == 401


def test_another_session_of_the_same_operator_goes_on_meanwhile(cast: Cast, api: type[Api], olga: Operator) -> None:
    stolen, other = sign_in(api, olga).data, sign_in(api, olga).data
    refresh(api, stolen["refresh_token"])
    refresh(api, stolen["refresh_token"])

    assert refresh(api, other["refresh_token"]).status == 200


@pytest.mark.parametrize(
    "offered", ["", "cvr", "cvr_1_1_", "cvr_0_1_" + "a" * 43, "cvk_1_1_" + "a" * 43, "cvr_1_1_" + "ä" * 43, "x" * 201, "cvr_{t}_{r}_{bad}"]
)
def test_what_is_no_refresh_token_of_ours_ends_nothing(cast: Cast, api: type[Api], olga: Operator, offered: str) -> None:
    given = sign_in(api, olga).data
    _, tenant, row, _ = re.fullmatch(r"(cvr)_(\d+)_(\d+)_(.{43})", given["refresh_token"]).groups()  # type: ignore[union-attr]

    answer = refresh(api, offered.format(t=tenant, r=row, bad="b" * 43))

    assert answer.status in (400, 401)
    assert refresh(api, given["refresh_token"]).status == 200


def test_the_database_holds_nothing_that_opens_anything(cast: Cast, api: type[Api], olga: Operator) -> None:
    given = sign_in(api, olga).data
    secret = given["refresh_token"].split("_", 3)[3]

    with isolation.act_as(cast.tenant.pk):
        kept = str([*RefreshToken.objects.values(), *Session.objects.values()])

    assert secret not in kept
    assert given["access_token"] not in kept


def test_signing_out_ends_the_session_at_once_and_twice_is_once(cast: Cast, api: type[Api], olga: Operator) -> None:
    given = sign_in(api, olga).data

    answers = [api(None).post("/auth/logout", refresh_token=given["refresh_token"]) for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert with_token(api, given["access_token"]).get("/me").status == 401
    assert witness.said(refresh(api, given["refresh_token"])) == ENDED


@pytest.mark.parametrize("what", ["closing the account", "another password"])
def test_what_ends_the_right_to_be_here_ends_it_at_once(cast: Cast, api: type[Api], olga: Operator, what: str) -> None:
    given = sign_in(api, olga).data

    with isolation.act_as(cast.tenant.pk):
        if what == "closing the account":
            grace.dismiss(olga.pk, cast.tenant, by=cast.ada)
            staff.change(olga.pk, by=cast.ada, is_active=True)  # opened again, the old sessions stay ended
        else:
            staff.set_password(olga.pk, "another one altogether")

    assert with_token(api, given["access_token"]).get("/me").status == 401
    assert witness.said(refresh(api, given["refresh_token"])) == ENDED


def test_another_role_counts_from_the_next_request_on(cast: Cast, api: type[Api], olga: Operator) -> None:
    caller = with_token(api, sign_in(api, olga).data["access_token"])
    assert caller.get("/operators").status == 403

    with isolation.act_as(cast.tenant.pk):
        staff.change(olga.pk, by=cast.ada, role=Role.MANAGER)

    assert caller.get("/operators").status == 200


@pytest.mark.parametrize("which", ["refresh token", "session"])
def test_what_has_expired_serves_no_more(cast: Cast, api: type[Api], olga: Operator, which: str) -> None:
    given = sign_in(api, olga).data
    with isolation.act_as(cast.tenant.pk):
        for row in [*RefreshToken.objects.all()] if which == "refresh token" else [*Session.objects.all()]:
            row.expires_at -= timedelta(days=400)
            row.save(update_fields=["expires_at"])

    assert witness.said(refresh(api, given["refresh_token"])) == ENDED
    assert with_token(api, given["access_token"]).get("/me").status == (200 if which == "refresh token" else 401)


def test_sessions_that_are_over_are_swept_away_in_bounded_rounds(cast: Cast, api: type[Api], olga: Operator) -> None:
    for _ in range(3):
        sign_in(api, olga)
    with isolation.act_as(cast.tenant.pk):
        Session.objects.update(expires_at=olga.created_at)
        sign_in(api, olga)

        swept = [sessions.sweep(2) for _ in range(3)]

        assert swept == [2, 1, 0]
        assert Session.objects.count() == 1
        assert RefreshToken.objects.count() == 1


def test_me_tells_a_front_end_who_it_is(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).get("/me")

    assert answer.data == {
        "id": cast.olga.pk,
        "tenant_id": cast.tenant.pk,
        "tenant_name": cast.tenant.name,
        "email": cast.olga.email,
        "name": "Olga",
        "role": "OPERATOR",
        "status": "AVAILABLE",
        "inboxes": [{"inbox_id": inbox.pk, "name": inbox.name} for inbox in (cast.sales, cast.support)],
        "scopes": None,
    }
