"""The README's tour, as a newcomer takes it: its curl lines, in order, against a live server with the demo data."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from conversations import demo
from tests.newcomer import newcomers_server

BASE = Path(__file__).resolve().parents[2]
README = (BASE / "README.md").read_text()
SIGNED_IN = re.compile(r'^(\w+)="Authorization: Bearer \$\(token (\w+)\)"$', re.MULTILINE)
CUT = re.compile(r"\| sed '(.*)'$", re.MULTILINE)
STEP = re.compile(r"```sh\n(curl .*?)```\n\nIt answers (\d{3}):\n\n```json\n(.*?)```", re.DOTALL)


class Step(NamedTuple):
    """One command of the tour, and the answer that the README shows."""

    command: str
    status: int
    shown: Any


STEPS = [Step(command, int(status), json.loads(shown)) for command, status, shown in STEP.findall(README)]


@pytest.fixture
def server(django_db_setup: None, tmp_path: Path) -> Iterator[str]:
    """What `make run` gives a newcomer."""
    with newcomers_server(tmp_path) as api:
        yield api


def headers(api: str) -> dict[str, str]:
    """The variables that the README fills by its function `token`, whose sed cuts them out of the answers here, too."""
    (cut,) = CUT.findall(README)
    found = {}
    for variable, who in SIGNED_IN.findall(README):
        body = json.dumps({"email": f"{who}@example.com", "password": demo.PASSWORD}).encode()
        with urlopen(Request(f"{api}/auth/token", body, {"Content-Type": "application/json"}), timeout=30) as answer:
            token = subprocess.run(["sed", cut], input=answer.read(), capture_output=True, check=True).stdout.decode().strip()
        found[f"${variable}"] = f"Authorization: Bearer {token}"
    return found


def run(command: str, api: str, variables: dict[str, str]) -> tuple[int, Any]:
    """Status and answer of a curl line. Knows -H, -d and -X; anything else fails the test."""
    for name, value in {"\\\n": " ", "$API": api, **variables}.items():
        command = command.replace(name, value)
    words = shlex.split(command)
    assert words.pop(0) == "curl"
    request, method = Request("http://nowhere"), ""
    while words:
        match words.pop(0):
            case "-H":
                request.add_header(*words.pop(0).split(": "))
            case "-d":
                request.data = words.pop(0).encode()
            case "-X":
                method = words.pop(0)
            case url:
                assert url.startswith(api), f"curl would not understand {url!r}"
                request.full_url = url
    request.method = method or ("POST" if request.data else "GET")
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def differences(shown: Any, real: Any, path: str = "") -> list[str]:
    """Where a shortened answer is not what really came: fields may be left out, `…` stands for anything."""
    if shown == "…":
        return []
    if isinstance(shown, dict) and isinstance(real, dict):
        missing = [f"{path}.{name} does not come" for name in shown.keys() - real.keys()]
        return missing + [found for name in shown.keys() & real.keys() for found in differences(shown[name], real[name], f"{path}.{name}")]
    if isinstance(shown, list) and isinstance(real, list) and len(shown) == len(real):
        return [found for i, pair in enumerate(zip(shown, real, strict=True)) for found in differences(*pair, f"{path}[{i}]")]
    return [] if shown == real else [f"{path} is {real!r}, not {shown!r}"]


def test_the_tour_shows_every_one_of_its_commands_with_an_answer() -> None:
    assert len(STEPS) == len(re.findall(r"^curl ", README, re.MULTILINE))
    assert len(STEPS) >= 10


def test_a_shortened_answer_that_differs_is_noticed() -> None:
    real = {"data": [{"id": 1, "name": "a"}], "code": "x"}

    assert differences({"data": [{"id": 1, "name": "…"}]}, real) == []
    assert differences({"data": [{"id": 2}]}, real) == [".data[0].id is 1, not 2"]
    assert differences({"data": []}, real) != []
    assert differences({"gone": "…"}, real) == [".gone does not come"]


def test_the_tour_goes_as_the_readme_says(server: str) -> None:
    variables = headers(server)

    answers = [(step, *run(step.command, server, variables)) for step in STEPS]

    wrong = [
        f"{step.command}answers {status}: {found}"
        for step, status, real in answers
        for found in [*([] if status == step.status else [f"not {step.status}"]), *differences(step.shown, real)]
    ]
    assert wrong == [], "\n".join(wrong)
