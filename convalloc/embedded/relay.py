"""What a person should see of the children's logs, without reading five files: trouble, as it happens."""

import re
from collections.abc import Callable
from pathlib import Path

# Warnings stay in the file: Django writes one for every answer of 400 to 499.
TROUBLE = re.compile(r"\b(ERROR|CRITICAL)\b")
NEW_ENTRY = re.compile(r"\[?\d{4}-\d\d-\d\d|\[[A-Z]+\]")  # how Django, Celery and granian begin an entry


class Relay:
    """Follows log files and says the entries about trouble, with the traceback below them; the rest stays in the file."""

    def __init__(self, say: Callable[[str], None], logs: dict[str, Path], *, every_line_of: set[str]) -> None:
        self.say = say
        self.logs = logs
        self.every_line_of = every_line_of
        self._read = {name: path.stat().st_size for name, path in logs.items()}
        self._in_trouble = dict.fromkeys(logs, False)

    def catch_up(self) -> None:
        """Say what was logged since the last time."""
        for name, path in self.logs.items():
            with path.open("rb") as log:
                log.seek(self._read[name])
                fresh = log.read()
            whole = fresh[: fresh.rfind(b"\n") + 1]  # a line half written waits for its end
            self._read[name] += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                if self._matters(name, line):
                    self.say(f"{name}: {line}")

    def _matters(self, name: str, line: str) -> bool:
        if NEW_ENTRY.match(line) or TROUBLE.search(line):
            self._in_trouble[name] = TROUBLE.search(line) is not None
        return self._in_trouble[name] or name in self.every_line_of
