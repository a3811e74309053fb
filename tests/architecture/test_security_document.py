"""docs/security.md: what it calls met has a test, and each test that it names is there."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from convalloc import security
from tests.architecture.sources import PRODUCT

BASE = Path(__file__).resolve().parents[2]
TEXT = (BASE / "docs" / "security.md").read_text()
ITEM = re.compile(r"^\| ((?:API)?\d[^|]*) \| ([^|]+) \| (.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`([a-z_/]+\.py)::(\w+)`")
EVENT = re.compile(r'security\.tell\(\s*"(\w+)"')


class Item(NamedTuple):
    """A row: what is asked for, whether it is met, and how."""

    name: str
    met: str
    how: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        """File and name of each test that it rests on."""
        return NAMED.findall(self.how)

    @property
    def words(self) -> str:
        """What it says besides."""
        return NAMED.sub("", self.how).strip(" ,.")


ITEMS = [Item(*row) for row in ITEM.findall(TEXT)]


def absent(named: list[tuple[str, str]]) -> list[str]:
    """The tests that are nowhere."""
    return [f"{file}::{name}" for file, name in named if name not in functions(BASE / "tests" / file)]


def functions(path: Path) -> set[str]:
    """Names of a file's functions; none where there is no file."""
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_has_the_whole_top_ten_and_the_chapters_of_the_standard_that_apply() -> None:
    begun = {re.split(r"[ .]", item.name)[0] for item in ITEMS}

    assert begun == {*(f"API{number}" for number in range(1, 11)), *map(str, (1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16))}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_an_item_that_is_met_names_a_test_and_one_that_is_not_says_why(item: Item) -> None:
    assert item.met in {"yes", "partly", "no", "–"}  # noqa: RUF001  a dash of print
    assert item.tests if item.met == "yes" else item.words


def test_every_test_that_is_named_exists() -> None:
    assert absent(NAMED.findall(TEXT)) == []
    assert len(NAMED.findall(TEXT)) == TEXT.count("::")


def test_a_name_that_nobody_bears_is_noticed() -> None:
    """The control."""
    assert absent([("security/test_crawl.py", "test_gone"), ("security/gone.py", "test_gone")]) != []
    assert absent([("security/test_crawl.py", "test_no_byte_of_another_tenant_comes_back")]) == []


def test_lists_every_security_event_and_no_other() -> None:
    told = {event for folder in PRODUCT for path in (BASE / folder).rglob("*.py") for event in EVENT.findall(path.read_text())}
    (section,) = re.findall(rf"`{security.log.name}`.*?^\| event (.*?)^Every change", TEXT, re.MULTILINE | re.DOTALL)

    assert set(re.findall(r"`((?:authn|authz|refresh|rate)_\w+)`", section)) == told
