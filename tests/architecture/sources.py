"""The code of this project, as the house rules read it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from django.conf import settings

ROOT: Path = settings.BASE_DIR
PRODUCT = ("convalloc", "conversations", "labels", "operators", "tenants")
DOORS = {"api", "management", "admin.py", "tasks.py", "console.py", "apps.py"}
GROUND = {"models.py", "states.py", "errors.py", "migrations"}


class Source:
    """One Python file."""

    def __init__(self, path: Path) -> None:
        self.path = path.relative_to(ROOT)
        self.text = path.read_text()

    def __repr__(self) -> str:
        return str(self.path)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_migration(self) -> bool:
        return "migrations" in self.path.parts[:-1]

    def where(self, node: ast.expr | ast.stmt) -> str:
        """A place that a terminal can be clicked on."""
        return f"{self.path}:{node.lineno}"

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def texts(self) -> Iterator[ast.Constant]:
        """Every string but docstrings: SQL, messages, names."""
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield node


def product() -> list[Source]:
    """Every file that is delivered."""
    return [Source(path) for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]


def everything() -> list[Source]:
    """The product and its tests."""
    return [*product(), *(Source(path) for path in sorted((ROOT / "tests").rglob("*.py"))), Source(ROOT / "manage.py")]


def run(tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A developer's tool, as `make lint` starts it."""
    program = Path(sys.executable).with_name(tool)
    return subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
