"""What `make lint` says, as tests: the layers, the linter, the format, the types, what is known to be dangerous."""

import pytest

from tests.architecture.sources import PRODUCT, run


@pytest.mark.parametrize(
    "command",
    [
        ("lint-imports", "--no-cache"),
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy", *PRODUCT, "tests", "manage.py"),
        ("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", *PRODUCT, "manage.py"),
    ],
    ids=[
        "imports run downward",
        "the linter is content",
        "the format is the formatter's",
        "the types fit",
        "nothing is known to be dangerous",
    ],
)
def test_the_tool_is_content(command: tuple[str, ...]) -> None:
    answer = run(*command)

    assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"
