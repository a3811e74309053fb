"""The README's reference says what the code says."""

import re
import tomllib
from pathlib import Path

import pytest

from conversations import demo
from tests.architecture import reference

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


@pytest.mark.parametrize("name", reference.MADE)
def test_a_part_is_current(name: str) -> None:
    (part,) = re.findall(rf"<!-- {name} -->\n\n(.*?)\n\n<!-- end -->", README, re.DOTALL)

    assert part == reference.MADE[name](), f"Write it anew: {reference.__doc__}"


def test_names_every_kind_of_event_and_no_other() -> None:
    (section,) = re.findall(r"^### Events$(.*?)^##", README, re.MULTILINE | re.DOTALL)

    assert set(re.findall(r"^\| `([a-z_.]+)` \|", section, re.MULTILINE)) == reference.event_kinds()


def test_draws_the_floors_in_their_order() -> None:
    contracts = tomllib.loads((reference.BASE / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (floors,) = [contract["layers"] for contract in contracts if contract["id"] == "floors"]

    drawn = re.findall(r'^    subgraph (\w+)\["', README, re.MULTILINE)

    assert drawn == [*(floor for floor in floors if floor in reference.APPS), "project"]


def test_names_the_demo_s_accounts_and_password() -> None:
    assert [email for _, email, *_ in demo.OPERATORS if email not in README] == []
    assert f"`{demo.PASSWORD}`" in README


def test_names_targets_that_make_has() -> None:
    targets = set(re.findall(r"^([a-z]+):", (reference.BASE / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"\bmake ([a-z]+)\b", README)) <= targets


def test_links_only_to_what_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)

    assert [link for link in links if not (reference.BASE / link).exists()] == []
