"""The README's reference, docs/events.md and docs/openapi.json, as the code has them: every table and diagram that must not rot.

To write it anew: DEVELOPMENT=true .venv/bin/python manage.py shell -c "from tests.architecture import reference; reference.write()"
"""

import importlib
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import get_commands, load_command_class
from drf_spectacular.renderers import OpenApiJsonRenderer2

from convalloc.api.answers import CODES, STATUS
from convalloc.api.docs import openapi
from convalloc.errors import DomainError
from convalloc.settings import DECLARED
from conversations.states import TRANSITIONS
from operators.api.permissions import MATRIX, Reach
from operators.models import Role
from tenants.kinds import GROUPS, KINDS, Kind

BASE = Path(__file__).resolve().parents[2]
DOCUMENT = BASE / "docs" / "openapi.json"
APPS = sorted(app for app in settings.INSTALLED_APPS if (BASE / app).is_dir())
REACH = {Reach.NOBODY: "–", Reach.OWN: "own", Reach.TENANT: "yes"}  # noqa: RUF001  a dash of print
KIND = re.compile(r'"([a-z_]+\.[a-z_]+)"')


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [head, ("---",) * len(head), *rows])


def endpoints() -> str:
    """Every call, who may make it, and what it does."""
    rows = []
    for path, methods in openapi()["paths"].items():
        for method, told in methods.items():
            operation = re.sub(r"-by-(get|post)$", "", told["operationId"].replace("_", "-"))
            reaches = [REACH[MATRIX[operation][role]] if operation in MATRIX else "yes" for role in Role]
            rows.append((f"`{method.upper()} {path.removeprefix('/api/v1')}`", *reaches, told["summary"]))
    return table(("call", *(role.value for role in Role), "what it does"), rows)


def declared() -> str:
    """Every setting, its default, its unit and reason."""
    shown = {"ENV_FILE": "`.env`", "DEVELOPMENT": "", "OPERATOR_HEADER_AUTH": ""}
    rows = [(f"`{name}`", shown.get(name, _default(default)), meaning) for name, (_, default, meaning) in DECLARED.items()]
    return table(("name", "default", "meaning"), rows)


def _default(value: Any) -> str:
    if value in (None, "", []):
        return ""
    text = ",".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`"


def refusals() -> list[type[DomainError]]:
    """Every class of refusal of the product."""
    for app in APPS:
        for file in sorted((BASE / app).rglob("*.py")):
            name = ".".join(file.relative_to(BASE).with_suffix("").parts)
            if re.search(r"^class \w+\((DomainError|Forbidden|Invalid|Missing)\)", file.read_text(), re.MULTILINE):
                importlib.import_module(name)
    found, more = [], [DomainError]
    while more:
        below = more.pop().__subclasses__()
        found += [refusal for refusal in below if refusal.__module__.split(".")[0] in APPS]
        more += below
    return found


def codes() -> str:
    """Every code with its status and its message."""
    told = {code: (status, "") for status, code in CODES.items()}
    told |= {"malformed_json": (400, "the body is no JSON object"), "unavailable": (503, "the service is busy or its database is away")}
    told |= {"internal_error": (500, "a bug of ours; nothing was changed, and the log knows the request's id")}
    told |= {"method_not_allowed": (405, "the path has no such method"), "unsupported_media_type": (415, "a body is `application/json`")}
    told |= {"body_too_large": (413, "nobody reads on"), "bad_request": (400, "the request is malformed")}
    told |= {refusal.code: (STATUS[refusal.kind], (refusal.__doc__ or "").splitlines()[0]) for refusal in refusals()}
    rows = [(f"`{code}`", str(status), message) for code, (status, message) in sorted(told.items(), key=lambda item: (item[1][0], item[0]))]
    return table(("code", "status", "message"), rows)


def event_kinds() -> set[str]:
    """Every kind of event that the product writes: the words of the files that write events, and the moves of the state machine."""
    files = [file.read_text() for app in APPS for file in (BASE / app).rglob("*.py") if "migrations" not in file.parts]
    writers = [text for text in files if re.search(r"import .*(eventlog|lifecycle)", text)]
    return {kind for text in writers for kind in KIND.findall(text)} | {f"conversation.{move.event}" for move in TRANSITIONS}


def commands() -> str:
    """Every command of ours, and what it does."""
    ours = sorted((name, app) for name, app in get_commands().items() if isinstance(app, str) and app in APPS)
    rows = [(f"`manage.py {name}`", " ".join(load_command_class(app, name).help.split())) for name, app in ours]
    return table(("command", "what it does"), rows)


def states() -> str:
    """The state machine, as a Mermaid diagram."""
    acts: dict[tuple[str, str], list[str]] = {}
    for move in TRANSITIONS:
        acts.setdefault((move.leaves.value, move.enters.value), []).append(move.act)
    arrows = [f"    {leaves} --> {enters}: {', '.join(names)}" for (leaves, enters), names in acts.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> QUEUED", *arrows, "```"])


def transitions() -> str:
    """The state machine, as a table."""
    return table(
        ("act", "from", "to", "by", "meaning"), [(f"`{m.act}`", m.leaves.value, m.enters.value, m.by, m.meaning) for m in TRANSITIONS]
    )


def kinds() -> str:
    """Every kind of event, group by group, as a table."""
    rows = [(f"`{kind.name}`", kind.says, _causes(kind)) for kind in KINDS.values()]
    return table(("kind", "what happened", "by"), rows)


def _causes(kind: Kind) -> str:
    return "; ".join([*(f"`{call}`" for name in kind.by for call in _calls()[name]), *([kind.else_by] if kind.else_by else [])])


@cache
def _calls() -> dict[str, list[str]]:
    """Method and path of each operation of the role matrix."""
    calls: dict[str, list[str]] = {}
    for path, methods in openapi()["paths"].items():
        for method, told in methods.items():
            operation = re.sub(r"-by-(get|post)$", "", told["operationId"].replace("_", "-"))
            calls.setdefault(operation, []).append(f"{method.upper()} {path.removeprefix('/api/v1')}")
    return calls


def _spread(value: dict[str, Any], levels: int = 1, indent: str = "") -> str:
    """JSON with a line for each name, so many levels deep."""
    deep = "  " + indent
    lines = [
        f"{deep}{json.dumps(name)}: {_spread(held, levels - 1, deep) if levels > 1 and isinstance(held, dict) else json.dumps(held)}"
        for name, held in value.items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def events() -> str:
    """docs/events.md: how the log is followed, and every kind with its schema and an example."""
    parts = [(BASE / "docs" / "events.md").read_text().partition("<!-- kinds -->")[0] + "<!-- kinds -->"]
    for group, of_it in GROUPS.items():
        parts.append(f"## {group}")
        for kind in of_it:
            seen_by = " Admins alone see it." if kind.for_admins else ""
            parts.append(f"### `{kind.name}`\n\n{kind.says}{seen_by} By {_causes(kind)}.")
            parts.append(f"```json\n{_spread(kind.example())}\n```")
            parts.append(f"<details><summary>JSON Schema</summary>\n\n```json\n{_spread(kind.schema(), 2)}\n```\n\n</details>")
    return "\n\n".join(parts) + "\n"


MADE = {made.__name__: made for made in (states, transitions, endpoints, codes, declared, commands, kinds)}


def current() -> str:
    """The README with every part between its two marks as the code has it now."""
    text = (BASE / "README.md").read_text()
    for name, made in MADE.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("\n<!-- end -->")
        text = f"{before}{mark}\n{made()}\n{end}{after}"
    return text


def document() -> str:
    """The OpenAPI document as the repository keeps it, so that a change of the API is read in the change that makes it."""
    served = json.loads(OpenApiJsonRenderer2().render(openapi(), renderer_context={}))
    return json.dumps(served, indent=1, ensure_ascii=False) + "\n"


def write() -> None:
    """Bring the README, the reference of events and the OpenAPI document up to date."""
    (BASE / "README.md").write_text(current())
    (BASE / "docs" / "events.md").write_text(events())
    DOCUMENT.write_text(document())
