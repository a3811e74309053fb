"""Child processes that end with us: how one is started, watched, stopped, and never left behind."""

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path


class DidNotStart(Exception):
    """A server or a step of the start failed; the message is for a person and says what to do."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def works(*command: str) -> bool:
    """Whether this prefix can run a command here: containers forbid some, other systems lack the program."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "true"], check=False, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


@functools.cache
def tie(name: str) -> tuple[str, ...]:
    """The prefix by which the kernel sends a child this signal (TERM, INT, KILL) when its parent dies, even of kill -9.

    Empty where setpriv cannot do that (macOS, BusyBox): there only an orderly stop ends the children. The
    signal follows the thread that started the child, so that the main thread has to.
    """
    prefix = ("setpriv", "--pdeathsig", name)
    return prefix if works(*prefix) else ()


def launch(
    command: list[str], *, log: Path, env: dict[str, str] | None = None, cwd: Path | None = None, config: str = ""
) -> subprocess.Popen[bytes]:
    """Start a child that writes to `log`; `config` goes to its standard input, where no other user can read it.

    A session of its own keeps the terminal's Ctrl-C away: the order of the stop is ours. The log of the
    start before stays beside it as `.1`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True
        )
    assert child.stdin is not None
    try:
        child.stdin.write(config.encode())
        child.stdin.close()
    except BrokenPipeError:
        pass  # it died before reading: the caller looks at its exit and its log
    return child


def stop(child: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> None:
    """End a child: each signal, and that many seconds for it to work, in turn; then kill its whole process group."""
    for name, seconds in steps:
        if child.poll() is not None:
            break
        child.send_signal(name)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says EPERM for a group of zombies
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented for a message; a remark when there is none."""
    try:
        text = log.read_text(errors="replace").strip().splitlines()[-lines:]
    except OSError:
        text = []
    return "\n".join(f"    {line}" for line in text or ["(the log is empty)"])
