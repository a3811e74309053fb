"""What goes wrong in the console is told to people: a page to read, where the API's clients get JSON."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from convalloc import urls
from tests.conftest import Cast
from tests.console.conftest import said

LIST = "/admin/conversations/conversation/"
REQUEST = {"X-Request-Id": "request-of-the-test"}


def _bug(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("a secret")


def _away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("a secret")


# This module is also a URLconf: the product with two pages that fail.
urlpatterns = [path("admin/bug/", _bug), path("admin/away/", _away), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


def assert_a_page(response: Any, status: int, text: str) -> None:
    """A page for people: HTML that says so, and nothing of the inside."""
    page = response.content.decode()
    assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8"), page
    assert text in page
    assert "secret" not in page


@pytest.fixture
def browser() -> Client:
    """A browser that shows what the product answers when it fails."""
    return Client(raise_request_exception=False)


def test_a_bug_is_a_page_that_names_the_request(db: None, browser: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__

    response = browser.get("/admin/bug/", headers=REQUEST)

    assert_a_page(response, 500, "Internal server error")
    assert "request-of-the-test" in response.content.decode()


def test_a_database_that_goes_away_is_a_page_with_retry_after(db: None, browser: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = __name__

    response = browser.get("/admin/away/")

    assert_a_page(response, 503, "The service is busy or its database is away")
    assert response["Retry-After"] == "1"


@pytest.mark.parametrize("cookies", [{}, {"sessionid": "x" * 32}], ids=["a stranger", "somebody signed in"])
def test_a_database_that_is_away_from_the_start_is_503_too(
    committed: None, browser: Client, monkeypatch: pytest.MonkeyPatch, cookies: dict[str, str]
) -> None:
    browser.cookies.load(cookies)
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")

    response = browser.get("/admin/")

    assert_a_page(response, 503, "The service is busy or its database is away")
    assert response["Retry-After"] == "1"


def test_a_malformed_request_is_a_page(db: None, browser: Client) -> None:
    response = browser.get("/admin/", headers={"Host": "evil.example"})

    assert_a_page(response, 400, "The request is too large or malformed")


def test_beside_the_console_it_stays_json(db: None, browser: Client) -> None:
    response = browser.get("/administration/")

    assert (response.status_code, response["Content-Type"]) == (404, "application/json")


@pytest.mark.parametrize(
    ("act", "chosen"),
    [
        *(("resolve", text) for text in ("", "1_0", "1.0", "\0", "-1", str(2**63), "9" * 100, "\N{ARABIC-INDIC DIGIT THREE}")),
        *((act, "abc") for act in ("resolve", "deallocate", "reassign", "move")),
    ],
)
def test_a_choice_that_is_no_row_is_told(cast: Cast, browse: Any, act: str, chosen: str) -> None:
    row = cast.conversation()

    response = browse(cast.mia).post(LIST, {"action": act, "_selected_action": [row.pk, chosen], "index": 0}, follow=True)

    assert (response.status_code, said(response)) == (200, "Nothing was done: what was chosen is no row of this list")
    assert cast.again(row).state == "QUEUED"


def test_deleting_what_is_no_row_is_told(cast: Cast, browse: Any) -> None:
    label = cast.label()

    response = browse(cast.ada).post(
        "/admin/labels/label/", {"action": "delete_selected", "_selected_action": [label.pk, "abc"], "index": 0}, follow=True
    )

    assert (response.status_code, said(response)) == (200, "Nothing was done: what was chosen is no row of this list")
    assert cast.again(label) == label
