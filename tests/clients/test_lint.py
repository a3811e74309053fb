"""What linters of OpenAPI say of docs/openapi.json: nothing. What they are not asked, spectral.yaml and redocly.yaml say, and why."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.reference import DOCUMENT
from tests.clients.programs import HERE, node

LINTERS = {
    "spectral": ("lint", "--ruleset", HERE / "spectral.yaml", "--fail-severity", "hint"),
    "redocly": ("lint", "--config", HERE / "redocly.yaml"),
}


@pytest.fixture
def worse(tmp_path: Path) -> Path:
    """The document with an operation that says nothing of refusals, under a tag that nobody explains."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    told = document["paths"]["/api/v1/labels"]["get"]
    told["responses"], told["tags"] = {"200": told["responses"]["200"]}, ["mystery"]
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    return tmp_path / "openapi.json"


@pytest.mark.parametrize("linter", LINTERS)
def test_has_nothing_to_say(linter: str) -> None:
    said = node(linter, *LINTERS[linter], DOCUMENT)

    assert said.returncode == 0, said.stdout + said.stderr
    assert "warning" not in said.stdout + said.stderr


@pytest.mark.parametrize(("linter", "rule"), [("spectral", "operation-tag-defined"), ("redocly", "operation-4xx-response")])
def test_says_so_where_something_is_wrong(linter: str, rule: str, worse: Path) -> None:
    """The control."""
    said = node(linter, *LINTERS[linter], worse)

    assert said.returncode != 0
    assert rule in said.stdout + said.stderr
