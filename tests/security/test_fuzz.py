"""schemathesis makes questions out of the served OpenAPI document, good and bad ones, and holds each answer against it.

`make fuzz` asks longer, and as every role. What its configuration makes of single checks stands in fuzz.toml, with reasons.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import assemble
from tests.contract.routes import stage_anything
from tests.security.test_crawl import PRODUCT, credential, served

PROGRAM = Path(sys.executable).with_name("schemathesis")
EXAMPLES, SEED = os.environ.get("FUZZ_EXAMPLES", ""), os.environ.get("FUZZ_SEED", "1")
HOOKS = {"SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("fuzz_hooks.py"))}
# Left to `make fuzz`: the phase that goes through every border of every field takes longest, and who may less meets more refusals.
QUICK_PHASES = "examples,fuzzing,stateful"
ALL_PHASES = f"coverage,{QUICK_PHASES}"
ROLES = ["OPERATOR", "MANAGER", "ADMIN"] if EXAMPLES else ["ADMIN"]
# Signing in is slow on purpose, and its limits are for everybody at this address. The server answers /health/live without asking
# Python, whatever the method.
WITHOUT = ["--exclude-path-regex", "/(auth|health/live)"]


@pytest.mark.usefixtures("committed")
@pytest.mark.parametrize("role", ROLES)
def test_every_answer_keeps_the_documents_promises(role: str, tmp_path: Path) -> None:
    house = assemble()
    stage_anything(house)
    configuration = Path(__file__).with_name("fuzz.toml")

    with served(PRODUCT, tmp_path) as base:
        command = [str(PROGRAM), "--config-file", str(configuration), "run", f"{base}/api/v1/schema", "--checks", "all", *WITHOUT]
        token = f"Bearer {credential(house, base, role)}"
        command += ["--header", f"Authorization: {token}"]
        command += ["--phases", ALL_PHASES if EXAMPLES else QUICK_PHASES]
        command += ["--max-examples", EXAMPLES or "3", "--seed", SEED, "--no-shrink", "--suppress-health-check", "all", "--workers", "1"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | HOOKS)
        still_opens = httpx.get(f"{base}/api/v1/me", headers={"Authorization": token}).status_code

    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    assert still_opens == 200, "The token did not live as long as the questions: the last of them met a 401 and nothing else"
    assert "401 Unauthorized" not in run.stdout, "What answers nothing but 401 was not tried"
