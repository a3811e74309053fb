"""docs/integrating.md keeps what it promises: each row of its table is made to happen, and its lists are the product's."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from operators.api.repeating import WELL_FORMED
from tests.architecture import reference
from tests.conftest import Api, Cast

TEXT = (Path(settings.BASE_DIR) / "docs" / "integrating.md").read_text()
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def test_its_codes_are_ours() -> None:
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", TEXT))
    known = set(re.findall(r"^\| `([a-z_]+)` \|", reference.codes(), re.MULTILINE))

    assert named & {"idempotency_key_in_use", "idempotency_key_reused", "outcome_unknown", "version_mismatch"} <= known
    assert {"idempotency_key_in_use", "idempotency_key_reused", "outcome_unknown", "version_mismatch"} <= named


def test_a_browser_may_send_and_read_what_it_says() -> None:
    told = TEXT[TEXT.index("## From a browser") :]
    sent, read = told.split("and read", 1)

    assert {name.lower() for name in re.findall(r"`([A-Za-z-]+)`", sent)} - {"traceparent"} <= set(settings.CORS_ALLOW_HEADERS)
    assert {name.lower() for name in re.findall(r"`([A-Za-z-]+)`", read)} == set(settings.CORS_EXPOSE_HEADERS)


@pytest.mark.parametrize("key", ["A-z0.9_~:+/=@-", "x" * 255, '"8e03978e"'])
def test_its_keys_are_well_formed(key: str) -> None:
    assert WELL_FORMED.fullmatch(key)


@pytest.mark.parametrize("command", re.findall(r"```sh\n(curl .*?)\n```", TEXT, re.DOTALL), ids=["a retry", "a version"])
def test_its_commands_do_what_they_say(cast: Cast, api: type[Api], command: str) -> None:
    cast.conversation()
    method = re.search(r"-X ([A-Z]+)", command)
    path = re.search(r'"\$API(/[a-z/-]+)"', command)
    body = re.search(r"-d '(.+)'", command)
    headers: dict[str, Any] = dict(re.findall(r"-H '([A-Z][A-Za-z-]+): ([^']+)'", command))
    assert path
    assert body
    text = body[1].replace('"operator_id": 1', f'"operator_id": {cast.ada.pk}').encode()
    if "If-Match" in headers:
        for name in "abcdef":  # until it is the seventh version
            api(cast.ada).call("PATCH", "/tenant", {"name": name})
    who = cast.operator(role="ADMIN") if "operator_id" in body[1] else cast.ada
    text = text.replace(str(cast.ada.pk).encode(), str(who.pk).encode())
    caller = api(who)
    del headers["Content-Type"]

    asked = (method[1] if method else "POST", f"/api/v1{path[1]}", text, "application/json")
    answers = [caller.client.generic(*asked, headers=caller.headers | headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == ([200, 412] if "If-Match" in headers else [200, 200])
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true" if "Idempotency-Key" in headers else None]
