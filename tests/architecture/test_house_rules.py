"""The rules of the house that no tool knows. Each failure says what to do instead."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import DOORS, GROUND, ROOT, Source, everything, product

# Each kind of row is locked in one file, at its place in the order of docs/decisions/0006.
LOCK_FILES = {
    "tenants/tuning.py": "a tenant",
    "tenants/inboxes.py": "an inbox",
    "tenants/webhooks.py": "a webhook",
    "tenants/deliveries.py": "what is on its way to one",
    "operators/presence.py": "an operator, by their status row",
    "operators/second_factor.py": "a second factor",
    "operators/sessions.py": "a session",
    "operators/api_keys.py": "an API key",
    "conversations/queue.py": "a conversation",
    "labels/catalogue.py": "a label",
}
LOCKING = re.compile(r"\bFOR\s+(NO\s+KEY\s+)?(UPDATE|SHARE)\b|\bFOR\s+KEY\s+SHARE\b|\bLOCK\s+TABLE\b|\bpg_(try_)?advisory", re.IGNORECASE)
SESSION_TENANT = [
    re.compile(r"\bset_config\s*\(", re.IGNORECASE),
    re.compile(r"\bSET\s+(SESSION\s+)?[\"']?app\.tenant_id", re.IGNORECASE),
]
FORBIDDEN_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "services",
    "service",
    "managers",
    "common",
    "core",
    "misc",
    "base",
    "shared",
    "lib",
}
DJANGOS_NAME = "convalloc/database/base.py"  # it finds a database's backend under no other
EVENT_WRITERS = {"append", "append_all", "record"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 40


def locks(source: Source) -> Iterator[str]:
    """Where a file takes a row lock."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == "select_for_update":
            yield source.where(node)
    yield from (source.where(text) for text in source.texts() if LOCKING.search(str(text.value)))


def test_each_kind_of_row_is_locked_in_one_file() -> None:
    elsewhere = [place for source in product() if str(source.path) not in LOCK_FILES for place in locks(source)]

    assert elsewhere == [], f"Lock where that kind of row is locked, as a named query with its order: {LOCK_FILES}"


@pytest.mark.parametrize("file", LOCK_FILES)
def test_the_file_that_may_lock_does(file: str) -> None:
    assert list(locks(Source(ROOT / file))), f"{file} takes no lock any more: take it off the list"


def test_the_tenant_is_never_set_for_a_whole_session() -> None:
    sql = [(path.relative_to(ROOT), path.read_text()) for path in ROOT.glob("[!.v]*/**/*.sql")]
    python = [(source.path, text.value) for source in everything() for text in source.texts() if "architecture" not in source.path.parts]

    found = [str(path) for path, text in [*sql, *python] for form in SESSION_TENANT if form.search(str(text))]

    assert found == [], "Write SET LOCAL (isolation.act_as does): a pooled connection carries a session's setting to the next request"


def own_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports of our own code anywhere below a node."""
    ours = {source.path.parts[0] for source in product()} | {"tests"}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "." * node.level]
        if isinstance(node, ast.Import | ast.ImportFrom) and any(name.split(".")[0] in ours or name.startswith(".") for name in names):
            yield node


def test_no_import_of_ours_hides_in_a_function_or_behind_type_checking() -> None:
    hidden = [
        source.where(found)
        for source in everything()
        for function in source.functions()
        if not (source.path.name == "apps.py" and function.name == "ready")
        for found in own_imports(function)
    ]
    guarded = [
        source.where(found)
        for source in everything()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for found in own_imports(node)
    ]

    assert hidden + guarded == [], "Import at the top: if that makes a circle, the code stands on the wrong floor"


def test_files_are_named_after_what_the_business_does() -> None:
    names = {source.path: {part.removesuffix(".py") for part in source.path.parts} for source in everything()}

    found = [str(path) for path, parts in names.items() if parts & FORBIDDEN_NAMES and str(path) != DJANGOS_NAME]

    assert found == [], "Say what it does: what would a manager of operators call it?"


def test_no_file_is_longer_than_a_head_can_hold() -> None:
    written = [source for source in everything() if not source.is_migration]
    long = [f"{source.path}: {length}" for source in written if (length := len(source.text.splitlines())) >= LONGEST_FILE]

    assert long == [], f"Under {LONGEST_FILE} lines: which two things does it do?"


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{source.where(function)} {function.name}: {length}"
        for source in everything()
        for function in source.functions()
        if (length := (function.end_lineno or 0) - function.lineno + 1) >= LONGEST_FUNCTION
    ]

    assert long == [], f"Under {LONGEST_FUNCTION} lines: lock, refuse, change, announce"


def writes_events(source: Source) -> Iterator[str]:
    """Where a file appends to the event log."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr in EVENT_WRITERS and ast.unparse(node.value).endswith("eventlog"):
            yield source.where(node)
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("eventlog"):
            yield from (source.where(node) for alias in node.names if alias.name in EVENT_WRITERS)


def test_only_rooms_write_events() -> None:
    found = [place for source in product() if {*source.path.parts} & (DOORS | GROUND) for place in writes_events(source)]

    assert found == [], "Call the room that makes the change: it appends the event in the same transaction"


def test_the_rooms_do_write_events() -> None:
    """The control: the rule above knows an event when it sees one."""
    assert list(writes_events(Source(ROOT / "conversations" / "lifecycle.py")))
