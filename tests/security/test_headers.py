"""What answers say to browsers: what a page may load, that nobody keeps a copy, who may call from elsewhere."""

import re
from typing import Any

import pytest
from django.test import Client

from operators import staff
from tenants import isolation
from tests.conftest import Api, Cast

PASSWORD = "correct horse battery"
NOTHING = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
API = ["/conversations", "/me", "/health", "/schema", "/no/such/route", "/conversations/0"]
FRONT_END = "https://desk.example.com"
LOOKALIKES = [
    "http://desk.example.com",
    "https://desk.example.com.evil.example",
    "https://evil-desk.example.com",
    "https://desk.example.com:8443",
    "https://DESK.example.com/",
    "null",
]


def policy(response: Any) -> dict[str, str]:
    """The Content-Security-Policy, by directive."""
    return dict(directive.split(" ", 1) for directive in response.headers["Content-Security-Policy"].split("; "))


def got(path: str) -> Any:
    """The answer to a stranger; a file of it is closed."""
    response = Client().get(path)
    response.close()
    return response


@pytest.fixture
def browser(cast: Cast) -> Client:
    """Mia, signed in to the console."""
    with isolation.act_as(cast.tenant.pk):
        staff.set_password(cast.mia.pk, PASSWORD)
    client = Client()
    client.post("/admin/login/?next=/admin/", {"username": cast.mia.email, "password": PASSWORD})
    return client


# --- every answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", API)
def test_an_answer_of_the_api_is_no_page_and_stays_in_no_cache(cast: Cast, api: type[Api], path: str) -> None:
    answer = api(cast.mia).get(path)

    assert policy(answer) == NOTHING
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/docs", "/admin/login/", "/nowhere", "/static/unfold/js/app.js"])
def test_whatever_is_answered_asks_for_no_camera_and_tells_no_stranger_where_one_came_from(db: None, path: str) -> None:
    response = got(path)

    assert "camera=()" in response.headers["Permissions-Policy"]
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert policy(response)["frame-ancestors"] == "'none'"


def test_what_may_be_kept_says_so_itself(db: None) -> None:
    assert got("/.well-known/jwks.json").headers["Cache-Control"] == "public, max-age=60"
    assert "max-age" in got("/static/unfold/js/app.js").headers["Cache-Control"]


# --- pages ----------------------------------------------------------------------------------------


def test_the_documentation_loads_our_own_files_and_nothing_inline(db: None) -> None:
    response = Client().get("/api/v1/docs")

    told, page = policy(response), response.content.decode()
    assert (told["script-src"], told["style-src"], told["connect-src"]) == ("'self'",) * 3
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert inline(page) == []
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=", page) == []
    assert len(re.findall(r'<script src="/', page)) == 3


PAGES = ["/admin/", "/admin/conversations/conversation/", "/admin/labels/label/add/", "/admin/second-factor/", "/admin/login/"]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_the_console_runs_no_inline_script_and_has_none(browser: Client, path: str) -> None:
    response = (Client() if "login" in path else browser).get(path)

    assert response.status_code == 200
    told, page = policy(response), response.content.decode()
    assert told["script-src"] == "'self' 'unsafe-eval'"
    assert (told["default-src"], told["form-action"], told["base-uri"]) == ("'none'", "'self'", "'none'")
    assert inline(page) == []
    assert re.findall(r"<[^>]*\son(?:click|load|error|change|submit)=", page) == []
    assert "no-store" in response.headers["Cache-Control"]


def inline(page: str) -> list[str]:
    """Scripts that stand in a page; one that holds data runs nothing."""
    scripts = re.findall(r"<script([^>]*)>", page)
    return [told for told in scripts if "src=" not in told and "application/json" not in told]


def test_the_look_for_inline_scripts_finds_one() -> None:
    """The control."""
    assert inline("<script>alert(1)</script>") == [""]


# --- who may call from elsewhere ------------------------------------------------------------------


def preflight(origin: str) -> Any:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    return Client().options("/api/v1/conversations/claim", headers=asks)


def test_a_front_end_on_the_list_may_call(db: None, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = [FRONT_END]

    response = preflight(FRONT_END)

    assert response.headers["Access-Control-Allow-Origin"] == FRONT_END
    assert "Access-Control-Allow-Credentials" not in response.headers


@pytest.mark.parametrize("origin", LOOKALIKES)
def test_one_that_only_looks_like_it_may_not(db: None, settings: Any, origin: str) -> None:
    settings.CORS_ALLOWED_ORIGINS = [FRONT_END]

    answers = [preflight(origin), Client().get("/api/v1/me", headers={"Origin": origin})]

    assert [name for answer in answers for name in answer.headers if name.startswith("Access-Control")] == []


@pytest.mark.parametrize("path", ["/admin/login/", "/.well-known/jwks.json"])
def test_the_console_is_nobodys_to_call_from_elsewhere(db: None, settings: Any, path: str) -> None:
    settings.CORS_ALLOWED_ORIGINS = [FRONT_END]

    response = Client().get(path, headers={"Origin": FRONT_END})

    assert "Access-Control-Allow-Origin" not in response.headers
