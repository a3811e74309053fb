"""What the kernel knows about the launcher's processes: who is alive on a folder, and where it listens (Linux's /proc)."""

import time
from pathlib import Path


def on(folder: Path) -> dict[int, str]:
    """Every living process, zombies apart, that has to do with the folder: pid to command line.

    By environment and command line, and by working directory: PostgreSQL and Valkey write their title over the other two.
    """
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            told = command + (process / "environ").read_bytes() + str((process / "cwd").readlink()).encode()
        except OSError:
            continue  # it ended meanwhile
        if command and str(folder).encode() in told:
            found[int(process.name)] = command.replace(b"\0", b" ").decode()
    return found


def left_on(folder: Path, *, seconds: float) -> dict[int, str]:
    """Who is still alive on the folder when that time is over; empty as soon as nobody is."""
    deadline = time.monotonic() + seconds
    while (alive := on(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return alive


def listening(folder: Path) -> set[str]:
    """The addresses, in the kernel's hexadecimal, that the folder's processes listen on."""
    sockets = set()
    for pid in on(folder):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(descriptor.readlink()))
            except OSError:
                continue
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}
