"""One program of the product as the machine sees it: a process with its children, which a test may kill, freeze and start again."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from convalloc.embedded.process import launch, stop, tail, tie
from tests.production import BASE


class Program:
    """A command that is started on an environment, with its output in a log; every start has a log of its own beside the last one's."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command, self._environment = command, dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started, not of its children."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[int]:
        """The processes that it has made."""
        return children(self.pid)

    def start(self, **environment: str) -> None:
        """Start it, with this too in its environment; it may take a while until it does its work."""
        assert not self.runs, f"{self.name} runs already"
        self._process = launch([*tie("KILL"), *self._command], log=self.log, env=self._environment | environment, cwd=BASE)

    def kill(self) -> None:
        """SIGKILL to all of it: nothing of it can say goodbye."""
        if self._process is not None:
            stop(self._process)

    def freeze(self) -> None:
        """SIGSTOP to all of it: it keeps what it holds, and does nothing."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was frozen."""
        os.killpg(self.pid, signal.SIGCONT)

    def tell(self, name: signal.Signals) -> None:
        """A signal to the process that was started."""
        os.kill(self.pid, name)

    def end(self, seconds: float = 15) -> int:
        """Ask it to end, and wait; its exit code. What does not end in time is killed."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self.thaw()
        stop(self._process, (signal.SIGTERM, seconds))
        return self._process.returncode

    def await_end(self, seconds: float) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(seconds)

    def said(self) -> str:
        """What it has printed since its last start."""
        return self.log.read_text(errors="replace")

    def tail(self) -> str:
        """The end of what it has printed, for a message."""
        return f"{self.name}:\n{tail(self.log, 30)}"


def children(pid: int) -> list[int]:
    """The processes that a process has made (Linux's /proc)."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
