"""The launcher under test, as processes of its own: nothing here touches the servers of the other tests."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from convalloc.embedded.process import free_port, stop, tie
from tests.embedded import processes

BASE = Path(__file__).resolve().parents[2]
NAMES_OF_SERVERS = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "PG_BIN")
LAST_LINE = "conversations/allocate"  # of what `up` prints when everything runs
# uid 65534 with no right of root but to read the checkout and the interpreter, which may lie in closed folders.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
READER = [*NOBODY, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


def ordinary_user() -> list[str]:
    """The prefix that makes root an ordinary user; skips where root cannot become one who can read the checkout."""
    if os.geteuid() != 0:
        pytest.skip("is an ordinary user already: every other test shows it")
    for prefix in (READER, NOBODY):
        if (
            subprocess.run(
                [*prefix, sys.executable, "-c", "import django, convalloc"], cwd=BASE, capture_output=True, check=False
            ).returncode
            == 0
        ):
            return prefix
    pytest.skip("no other user can read this checkout and its interpreter")


class Up:
    """One `manage.py up` on a folder and a port, and what it has printed so far."""

    def __init__(self, folder: Path, port: int, *words: str, prefix: list[str], **env: str) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.printed = ""
        kept = {name: value for name, value in os.environ.items() if name not in NAMES_OF_SERVERS}
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "manage.py", "up", *words],
            cwd=BASE,
            env=kept | {"EMBEDDED_DIR": str(folder), "PORT": str(port)} | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def read_until(self, text: str, *, seconds: float = 90) -> str:
        """Read on until it has printed the text; fails the test when it ends, or is silent for that long, before."""
        assert self.process.stdout is not None
        while text not in self.printed:
            readable, _, _ = select.select([self.process.stdout], [], [], seconds)
            chunk = os.read(self.process.stdout.fileno(), 65536).decode() if readable else ""
            self.printed += chunk
            assert chunk, f"`up` {'ended' if readable else 'was silent'} before it printed {text!r}:\n{self.printed}"
        return self.printed

    def end(self, *, seconds: float = 30) -> int:
        """Wait for its end; its exit code. Everything that it still printed is in `printed`."""
        rest, _ = self.process.communicate(timeout=seconds)
        self.printed += rest.decode()
        return self.process.returncode


@pytest.fixture(scope="module")
def launch_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Up]]:
    """Starts `manage.py up`, on a folder and a port of its own unless named; ends it after the module's tests."""
    started: list[Up] = []

    def launch(*words: str, folder: Path | None = None, port: int | None = None, prefix: list[str] | None = None, **env: str) -> Up:
        folder = folder or tmp_path_factory.mktemp("up")
        prefix = [*(prefix or []), *tie("TERM")]
        started.append(Up(folder, port or free_port(), *words, prefix=prefix, **env))
        return started[-1]

    yield launch
    for up in started:
        stop(up.process, (signal.SIGTERM, 30))
        assert up.process.stdout is not None
        up.process.stdout.close()
    for up in started:
        assert processes.left_on(up.folder, seconds=15) == {}


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that one `up` after the other uses: only the first has to initialise, migrate and seed it."""
    return tmp_path_factory.mktemp("lived-in")


@pytest.fixture
def up(launch_up: Callable[..., Up], lived_in: Path) -> Iterator[Up]:
    """Everything running, for one test that will end it."""
    running = launch_up(folder=lived_in)
    running.read_until(LAST_LINE)
    yield running
    stop(running.process, (signal.SIGTERM, 30))
