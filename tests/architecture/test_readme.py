"""The README's reference says what the code says."""

import re
import tomllib
from pathlib import Path

import pytest
from django.conf import settings

from convalloc.settings import DECLARED
from conversations import demo
from operators import sign_in_guard as guard
from tests.architecture import reference

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


@pytest.mark.parametrize("name", reference.MADE)
def test_a_part_is_current(name: str) -> None:
    (part,) = re.findall(rf"<!-- {name} -->\n\n(.*?)\n\n<!-- end -->", README, re.DOTALL)

    assert part == reference.MADE[name](), f"Write it anew: {reference.__doc__}"


def test_the_reference_of_events_is_current() -> None:
    assert (reference.BASE / "docs" / "events.md").read_text() == reference.events(), f"Write it anew: {reference.__doc__}"


def test_names_the_limits_that_the_code_has() -> None:
    (limits,) = re.findall(r"<!-- limits -->(.*?)<!-- end -->", README, re.DOTALL)

    for name in ("RATE_LIMIT_ADDRESS", "RATE_LIMIT_CALLER", "RATE_LIMIT_TENANT"):
        assert f"| {DECLARED[name][1]:,} requests in a minute (`{name}`) |" in limits
    for tries, seconds in ((guard.OF_PAIR, guard.QUARTER), (guard.OF_ADDRESS, guard.QUARTER), (guard.OF_ACCOUNT, guard.HOUR)):
        assert f"| {tries} wrong passwords or codes in {seconds // 60} minutes |" in limits
    assert f"| {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes |" in limits
    assert f"| {DECLARED['MAX_PAGE_LIMIT'][1]} rows" in limits


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
