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


# How many items of levels 1 and 2 a section of ASVS 5.0.0 begins with; those of level 3 come after them. V5, V10 and V17 do not apply.
ASVS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5,
    "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3,
    "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "11.1": 2, "11.2": 3,
    "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2,
    "14.2": 4, "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3,
}  # fmt: skip


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


def numbers(text: str) -> set[str]:
    """The items that a text names: one by one, or from … to."""
    found: set[str] = set()
    for section, first, last in re.findall(r"\b(\d+\.\d+)\.(\d+)(?: – \1\.(\d+))?", text):  # noqa: RUF001  a dash of print
        found |= {f"{section}.{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def test_has_the_whole_top_ten() -> None:
    assert {item.name.split()[0] for item in ITEMS if item.name.startswith("API")} == {f"API{number}" for number in range(1, 11)}


def test_has_every_item_of_the_standards_two_levels_once_or_says_why_not() -> None:
    (paragraph,) = re.findall(r"^Left out: .*?\n\n", TEXT, re.MULTILINE | re.DOTALL)
    sections = set(re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", paragraph))
    asked = {f"{section}.{number}" for section, last in ASVS.items() if section not in sections for number in range(1, last + 1)}
    answered = [number for item in ITEMS if not item.name.startswith("API") for number in numbers(item.name)]

    assert sorted(answered) == sorted(set(answered))
    assert set(answered) == asked - numbers(paragraph)


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
