"""Signing in to the console: who comes in, who hears why not, and what is bound when."""

import re
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.test import Client

from operators.console import ConsoleBackend
from operators.models import Operator
from tenants import isolation
from tests.conftest import Cast
from tests.console.conftest import PASSWORD, give_password, sign_in


def test_a_manager_comes_in_and_the_time_is_written(cast: Cast, client: Client) -> None:
    give_password(cast.mia)

    response = sign_in(client, cast.mia)

    assert response.status_code == 302
    assert response["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
    assert cast.again(cast.mia).last_login is not None


def test_the_email_may_be_written_in_capitals(cast: Cast, client: Client) -> None:
    give_password(cast.ada)

    response = client.post("/admin/login/", {"username": f" {cast.ada.email.upper()} ", "password": PASSWORD})

    assert response.status_code == 302


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_signing_in_leads_to_no_other_site(cast: Cast, client: Client, elsewhere: str) -> None:
    give_password(cast.mia)

    response = client.post("/admin/login/", {"username": cast.mia.email, "password": PASSWORD, "next": elsewhere})

    assert (response.status_code, response["Location"]) == (302, "/admin/")


@pytest.mark.usefixtures("db")
def test_a_password_is_masked_and_may_come_from_a_password_manager(client: Client) -> None:
    (field,) = re.findall(r'<input[^>]*name="password"[^>]*>', client.get("/admin/login/").content.decode())

    assert 'type="password"' in field
    assert 'autocomplete="current-password"' in field


def test_an_operator_hears_that_the_console_is_not_for_them(cast: Cast, client: Client) -> None:
    give_password(cast.olga)

    response = sign_in(client, cast.olga)

    assert response.status_code == 200
    assert "The console is for managers and administrators" in response.content.decode()
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    assert cast.again(cast.olga).last_login is None


def test_a_closed_account_hears_that_it_is_closed(cast: Cast, client: Client) -> None:
    _close(give_password(cast.mia))

    response = sign_in(client, cast.mia)

    assert "This account is closed" in response.content.decode()
    assert client.get("/admin/").status_code == 302


def test_who_does_not_know_the_password_hears_the_same_of_every_account(cast: Cast, client: Client) -> None:
    _close(give_password(cast.mia))
    people = [cast.ada.email, cast.olga.email, cast.mia.email, "nobody@nowhere.example"]

    answers = [client.post("/admin/login/", {"username": email, "password": "wrong"}) for email in people]

    pages = {answer.content.decode().split("csrfmiddlewaretoken")[0] for answer in answers}
    assert len(pages) == 1
    assert "Email or password is wrong." in pages.pop()


def test_an_unknown_email_costs_as_much_hashing_as_a_wrong_password(cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    give_password(cast.mia)
    hashed: list[str] = []
    hasher = type(hashers.get_hasher())
    encode = hasher.encode

    def counted(self: Any, password: str, *rest: Any, **more: Any) -> str:
        hashed.append(password)
        return str(encode(self, password, *rest, **more))

    monkeypatch.setattr(hasher, "encode", counted)

    client.post("/admin/login/", {"username": cast.mia.email, "password": "wrong"})
    known = len(hashed)
    client.post("/admin/login/", {"username": "nobody@nowhere.example", "password": "wrong"})

    assert known == 1
    assert len(hashed) - known == known


@pytest.mark.parametrize("email", ["", " ", "\0", "a@b\0c", "x" * 1000, "' OR 1=1 --"])
def test_nonsense_is_refused_and_never_an_error(cast: Cast, client: Client, email: str) -> None:
    response = client.post("/admin/login/", {"username": email, "password": "wrong\0"})

    assert response.status_code == 200
    assert client.get("/admin/").status_code == 302


def test_a_session_ends_when_its_account_is_closed(cast: Cast, browse: Any) -> None:
    browser = browse(cast.mia)
    assert browser.get("/admin/").status_code == 200

    _close(cast.mia)

    assert browser.get("/admin/").status_code == 302
    assert ConsoleBackend().get_user(cast.mia.pk) is None


def test_a_session_ends_when_somebody_else_sets_the_password(cast: Cast, browse: Any) -> None:
    browser = browse(cast.mia)

    give_password(cast.mia, "quite another phrase")

    assert browser.get("/admin/").status_code == 302


def test_a_session_whose_role_was_taken_away_sees_nothing(cast: Cast, browse: Any) -> None:
    browser = browse(cast.mia)

    with isolation.act_as(cast.tenant.pk):
        Operator.objects.filter(pk=cast.mia.pk).update(role="OPERATOR")

    assert browser.get("/admin/conversations/conversation/").status_code == 302


def test_logging_out_ends_the_session(cast: Cast, browse: Any) -> None:
    browser = browse(cast.mia)

    browser.post("/admin/logout/")

    assert browser.get("/admin/").status_code == 302


def test_a_new_password_keeps_the_session_and_is_told_in_the_event_log_without_a_word_of_it(cast: Cast, browse: Any, told: Any) -> None:
    browser = browse(cast.mia)
    new = "a better phrase altogether"

    response = browser.post("/admin/password_change/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})

    assert response.status_code == 302, response.context["form"].errors
    assert browser.get("/admin/").status_code == 200
    assert cast.again(cast.mia).check_password(new)
    (event,) = told(cast, "operator.password_changed")
    assert (event.subject_id, event.actor_id, event.before, event.after) == (cast.mia.pk, cast.mia.pk, {}, {})


def test_a_new_password_writes_nothing_else_of_the_account(cast: Cast, browse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = browse(cast.mia)
    loaded = Operator.check_password

    def renamed_meanwhile(self: Operator, password: str) -> bool:
        Operator.objects.filter(pk=self.pk).update(name="Renamed meanwhile")
        return loaded(self, password)

    monkeypatch.setattr(Operator, "check_password", renamed_meanwhile)
    new = "one more phrase"

    browser.post("/admin/password_change/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})

    assert cast.again(cast.mia).name == "Renamed meanwhile"


def test_a_form_without_its_token_is_refused(cast: Cast) -> None:
    give_password(cast.mia)
    strict = Client(enforce_csrf_checks=True)

    response = sign_in(strict, cast.mia)

    assert response.status_code == 403


def test_an_act_without_its_token_is_refused_and_changes_nothing(cast: Cast, browse: Any) -> None:
    row = cast.conversation()
    browser = browse(cast.mia)
    browser.handler.enforce_csrf_checks = True

    response = browser.post("/admin/conversations/conversation/", {"action": "resolve", "_selected_action": row.pk, "index": 0})

    assert response.status_code == 403
    assert cast.again(row).state == "QUEUED"


def test_a_page_that_does_not_exist_is_a_page_to_read(cast: Cast, browse: Any) -> None:
    response = browse(cast.mia).get("/admin/nothing/here/")

    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()
    assert response["Content-Type"].startswith("text/html")


def _close(operator: Operator) -> None:
    with isolation.act_as(operator.tenant_id):
        Operator.objects.filter(pk=operator.pk).update(is_active=False)
