"""Every setting is documented, with its default, where a sysadmin looks: .env.example and the README's table."""

import re

import pytest

from convalloc.settings import COMPOSE_ONLY, DECLARED
from tests.architecture.sources import ROOT

NAMES = [name for name in DECLARED if name != "ENV_FILE"]  # names the file itself, and so cannot stand in it


def in_env_example() -> set[str]:
    """Names that .env.example sets, or shows commented out."""
    return set(re.findall(r"^(?:# ?)?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def in_readme() -> set[str]:
    """Names in the first column of the README's tables."""
    return set(re.findall(r"^\|\s*`([A-Z][A-Z0-9_]*)`\s*\|", (ROOT / "README.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_documented(name: str) -> None:
    assert name in in_env_example(), f"Add {name} to .env.example"
    assert name in in_readme(), f"Add {name} to the README's table of settings"


def test_nothing_is_documented_that_does_not_exist() -> None:
    assert in_env_example() - DECLARED.keys() - COMPOSE_ONLY.keys() == set()
    assert in_readme() - DECLARED.keys() == set()


@pytest.mark.parametrize("name", DECLARED)
def test_a_setting_says_what_it_means(name: str) -> None:
    _, _, meaning = DECLARED[name]

    assert len(meaning.split()) >= 4, f"{name}: which unit, and why?"
