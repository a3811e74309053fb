"""What a browser is told by the API and the console as production starts them: behind a proxy with TLS, by granian."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from operators import staff
from operators.models import Operator
from tenants import isolation
from tests import production
from tests.conftest import assemble

PASSWORD = "correct horse battery"
HSTS = "max-age=31536000; includeSubDomains; preload"


@pytest.fixture
def browser(committed: None, tmp_path: Path) -> Iterator[httpx.Client]:
    environment = os.environ | production.SETTINGS | {"REDIS_URL": os.environ["REDIS_URL"], "OPERATOR_HEADER_AUTH": "false"}
    how: dict[str, Any] = {"environment": environment, "log": tmp_path / "api.log", "workers": 1, "threads": 2}
    with (
        production.serve("convalloc.wsgi:application", **how) as api,
        httpx.Client(base_url=f"http://127.0.0.1:{api.port}", headers=production.BEHIND_THE_PROXY) as client,
    ):
        yield client


def manager() -> Operator:
    """A manager who can sign in."""
    cast = assemble()
    with isolation.act_as(cast.tenant.pk):
        return staff.set_password(cast.mia.pk, PASSWORD)


def cookies(response: httpx.Response) -> dict[str, set[str]]:
    """What the answer says of each of its cookies."""
    told = [line.split("; ") for line in response.headers.get_list("Set-Cookie")]
    return {words[0].split("=")[0]: set(words[1:]) for words in told}


def test_what_production_tells_a_browser(browser: httpx.Client) -> None:
    mia = manager()

    answers: dict[str, Any] = {path: browser.get(path) for path in ("/api/v1/me", "/api/v1/docs", "/admin/login/", "/nowhere")}
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', answers["/admin/login/"].text)[0]
    form = {"username": mia.email, "password": PASSWORD, "csrfmiddlewaretoken": token}
    csrf = browser.cookies["__Host-csrf"]
    # httpx sends no Secure cookie without TLS, which ends at the proxy that is played here.
    headers = {"Origin": "https://127.0.0.1", "Cookie": f"__Host-csrf={csrf}"}
    signed_in = browser.post("/admin/login/?next=/admin/", data=form, headers=headers)
    stranger = browser.post("/admin/login/?next=/admin/", data=form, headers=headers | {"Origin": "https://evil.example"})
    without_tls = browser.get("/admin/login/", headers={"X-Forwarded-Proto": "http"})
    live = browser.get("/api/v1/health/live")
    unencrypted = {"X-Forwarded-Proto": "http"}
    programs = [browser.get(path, headers=unencrypted) for path in ("/api/v1/me", "/api/v1/auth/token", "/.well-known/jwks.json")]
    others = [browser.get(path, headers=unencrypted).status_code for path in ("/api/v1/docs", "/api/v1/health/ready")]

    assert {response.headers.get("Strict-Transport-Security") for response in answers.values()} == {HSTS}
    assert [response.status_code for response in answers.values()] == [401, 200, 200, 404]
    host_alone = {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"}
    assert signed_in.status_code == 302
    told = cookies(answers["/admin/login/"]) | cookies(signed_in)
    assert set(told) == {"__Host-csrf", "__Host-session"}
    assert all(host_alone <= words and not any(word.startswith("Domain") for word in words) for words in told.values())
    assert stranger.status_code == 403
    assert (without_tls.status_code, without_tls.headers["Location"]) == (301, "https://127.0.0.1/admin/login/")
    # A program is not sent on: it would never notice that it tells its key to whoever listens.
    assert [(response.status_code, response.json()["code"]) for response in programs] == [(403, "https_required")] * 3
    assert others == [301, 200]
    # granian answers it beside the application, without our headers: it holds what is the same for everybody.
    assert (live.status_code, set(live.json())) == (200, {"status", "message", "timestamp"})
    assert live.headers["Content-Type"] == "application/json"
