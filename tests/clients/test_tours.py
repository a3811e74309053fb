"""Clients that strangers' programs make of docs/openapi.json: they compile, and take the tour against a live server."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conversations import demo
from tests.architecture.reference import DOCUMENT
from tests.clients.programs import HERE, node
from tests.newcomer import newcomers_server

TOURS = HERE / "tours"
BIN = Path(sys.executable).parent
TOUR = [
    "waiting: ext_conv_006 ext_conv_002",
    "allocated: ext_conv_006 ALLOCATED",
    "refused: 403 not_subscribed",
    "labelled: true",
    "status: OFFLINE",
    "resolved: RESOLVED null",
    "resolved today: 1",
]


@pytest.fixture
def server(django_db_setup: None, tmp_path: Path) -> Iterator[str]:
    """The address of a live server with the demo data."""
    with newcomers_server(tmp_path) as api:
        yield api.removesuffix("/api/v1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tours, and beside them what npm installed."""
    made: Path = shutil.copytree(TOURS, tmp_path / "tours")
    (made / "node_modules").symlink_to(HERE / "node_modules")
    return made


def python_client(folder: Path, document: Path = DOCUMENT) -> None:
    """Made by openapi-python-client into the folder. Raises AssertionError with what it warns of."""
    generator = [str(BIN / "openapi-python-client"), "generate", "--meta", "none", "--output-path", "convalloc_client", "--fail-on-warning"]
    said = run([*generator, "--config", str(HERE / "generator.yaml"), "--path", str(document)], folder)
    assert said.returncode == 0, said.stdout + said.stderr


def typescript_client(folder: Path, document: Path = DOCUMENT) -> None:
    """Made by openapi-typescript into the folder. A field with a default may be left out of a question."""
    said = node("openapi-typescript", document, "--default-non-nullable=false", "-o", "api.d.ts", cwd=folder)
    assert said.returncode == 0, said.stderr


def python_compiles(folder: Path) -> subprocess.CompletedProcess[str]:
    """What mypy says of the tour; of the client's own code only that it can be read."""
    compiled = run([sys.executable, "-W", "error", "-m", "compileall", "-q", "convalloc_client"], folder)
    assert compiled.returncode == 0, compiled.stdout
    return run([str(BIN / "mypy"), "--strict", "--follow-imports=silent", "--config-file=", "tour.py"], folder)


def typescript_compiles(folder: Path) -> subprocess.CompletedProcess[str]:
    """What tsc says of the tour and of what it rests on."""
    options = ["--noEmit", "--strict", "--noUncheckedIndexedAccess", "--allowImportingTsExtensions"]
    return node("tsc", *options, "--module", "nodenext", "--target", "es2023", "--types", "node", "tour.mts", cwd=folder)


def python_tours(folder: Path, server: str) -> subprocess.CompletedProcess[str]:
    """The tour by the Python client."""
    return run([sys.executable, "tour.py", server, demo.PASSWORD], folder)


def typescript_tours(folder: Path, server: str) -> subprocess.CompletedProcess[str]:
    """The tour by the TypeScript client: Node.js leaves the types away."""
    return node(folder / "tour.mts", server, demo.PASSWORD, cwd=folder)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A program's answer."""
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


CLIENTS = {
    "Python": (python_client, python_compiles, python_tours),
    "TypeScript": (typescript_client, typescript_compiles, typescript_tours),
}
Compiles = Callable[[Path], subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("language", CLIENTS)
def test_a_generated_client_compiles_and_takes_the_tour(language: str, folder: Path, server: str) -> None:
    make, compiles, tours = CLIENTS[language]

    make(folder)
    compiled = compiles(folder)
    toured = tours(folder, server)

    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    assert toured.returncode == 0, toured.stdout + toured.stderr
    assert toured.stdout.splitlines() == TOUR


@pytest.mark.parametrize("language", CLIENTS)
def test_a_field_that_is_gone_does_not_compile(language: str, folder: Path) -> None:
    """The control."""
    make, compiles, _ = CLIENTS[language]
    document = json.loads(DOCUMENT.read_text())
    shape = document["components"]["schemas"]["Conversation"]
    del shape["properties"]["external_conversation_id"]
    shape["required"].remove("external_conversation_id")
    (folder / "openapi.json").write_text(json.dumps(document))

    make(folder, folder / "openapi.json")
    compiled = compiles(folder)

    assert compiled.returncode != 0
    assert "external_conversation_id" in compiled.stdout
