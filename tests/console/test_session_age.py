"""How long somebody stays signed in to the console: not for ever, and not while nobody is there."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from convalloc import clock
from operators import console
from tests.conftest import Cast
from tests.console.conftest import PASSWORD, give_password, sign_in

Wait = Callable[..., None]


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Let time pass, as the console sees it: wait(minutes=5)."""
    now, passed = clock.now, timedelta()

    class Later:
        @staticmethod
        def now() -> datetime:
            return now() + passed

    def move_on(**span: float) -> None:
        nonlocal passed
        passed += timedelta(**span)

    monkeypatch.setattr(console, "clock", Later)
    return move_on


def is_in(browser: Client) -> bool:
    return browser.get("/admin/").status_code == 200


def test_who_turns_pages_stays_signed_in(cast: Cast, browse: Any, wait: Wait) -> None:
    browser = browse(cast.mia)

    for _ in range(4):
        wait(minutes=59)
        assert is_in(browser)


def test_an_hour_without_a_page_ends_it(cast: Cast, browse: Any, wait: Wait) -> None:
    browser = browse(cast.mia)

    wait(minutes=61)

    assert not is_in(browser)
    wait(minutes=-61)
    assert not is_in(browser)  # it is gone, not hidden


def test_a_working_day_ends_it_whoever_turns_pages(cast: Cast, browse: Any, wait: Wait) -> None:
    browser = browse(cast.mia)
    for _ in range(12):
        wait(minutes=59)
        assert is_in(browser)

    wait(minutes=20)

    assert not is_in(browser)


def test_signing_in_again_begins_anew(cast: Cast, browse: Any, wait: Wait) -> None:
    browser = browse(cast.mia)
    for _ in range(11):
        wait(minutes=59)
        browser.get("/admin/")

    sign_in(browser, cast.mia)
    for _ in range(2):
        wait(minutes=59)
        assert is_in(browser)


def test_signing_in_gives_the_session_another_key(cast: Cast, client: Client) -> None:
    give_password(cast.mia)
    client.get("/admin/login/")
    session = client.session
    session["planted"] = "by somebody"
    session.save()
    planted = str(session.session_key)
    client.cookies["sessionid"] = planted

    client.post("/admin/login/?next=/admin/", {"username": cast.mia.email, "password": PASSWORD})

    assert client.session.session_key != planted
    thief = Client()
    thief.cookies["sessionid"] = planted
    assert not is_in(thief)


def test_to_be_seen_is_written_once_a_minute(cast: Cast, browse: Any, wait: Wait) -> None:
    browser = browse(cast.mia)
    first = browser.session["seen"]

    wait(seconds=50)
    browser.get("/admin/")
    second = browser.session["seen"]
    wait(seconds=20)
    browser.get("/admin/")

    assert second == first
    assert browser.session["seen"] > first + 60
