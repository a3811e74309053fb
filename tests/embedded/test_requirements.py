"""requirements.txt is enough to run: the tests' own packages must not fill a gap in it."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = {
    "the API": "import granian, convalloc.wsgi",
    "the worker reaches its broker": "from convalloc.celery import app; app.connection_for_write().ensure_connection(max_retries=1)",
    "the commands": (
        "import django; django.setup(); from django.core import management as m; "
        "[m.load_command_class(app, name) for name, app in m.get_commands().items()]"
    ),
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of links to what requirements.txt installs, and to nothing else."""
    folder = tmp_path_factory.mktemp("packages")
    for name in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==", (ROOT / "requirements.txt").read_text(), re.MULTILINE):
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or another system
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists():
                link.symlink_to(Path(str(files[0].locate())).parents[len(files[0].parts) - 1] / top)
    return folder


@pytest.mark.parametrize("code", RUNS.values(), ids=RUNS.keys())
def test_runs_with_what_requirements_txt_installs(code: str, packages: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{packages}:{ROOT}", "DJANGO_SETTINGS_MODULE": "convalloc.settings"}

    run = subprocess.run([sys.executable, "-S", "-c", code], env=environment, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
