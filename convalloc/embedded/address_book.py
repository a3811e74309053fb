"""Where the embedded servers listen: a file that `manage.py up` writes while it runs.

So that `manage.py seed_demo` in a second terminal finds the same database without any setting.
"""

import json
from pathlib import Path

FILE = "servers.json"


def read(folder: Path) -> dict[str, str]:
    """Setting name to value, as the `up` on this folder wrote it; empty when none runs, or when another user's does."""
    try:
        addresses: dict[str, str] = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return addresses


def write(folder: Path, settings: dict[str, str]) -> None:
    """Write the addresses down at one stroke, readable by this user only: they hold passwords."""
    new = folder / f"{FILE}.new"
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(json.dumps(settings, indent=2) + "\n")
    new.replace(folder / FILE)


def erase(folder: Path) -> None:
    """Forget the addresses: the servers are gone."""
    (folder / FILE).unlink(missing_ok=True)
