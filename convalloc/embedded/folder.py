"""The folder of the embedded servers: one `manage.py up` at a time, and how it is emptied."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convalloc.embedded import address_book
from convalloc.embedded.process import DidNotStart

LOCK = "up.lock"
# By name, never "everything": EMBEDDED_DIR may point at a folder that holds other things.
CONTENTS = ("postgres", "postgres.new.*", "beat", "log", f"{address_book.FILE}*")


@contextmanager
def claimed(folder: Path, *, url: str) -> Iterator[None]:
    """Hold the folder against every other process, and say where we run. Raises DidNotStart with the holder's pid and URL.

    The kernel lets go of the lock with the process, however it ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+")
    except OSError as error:
        raise DidNotStart(f"{folder} is not a folder to write to ({error}). Set EMBEDDED_DIR to one of yours.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DidNotStart(f"convalloc is already running on {folder}: {_holder(folder)}. Stop that one first.") from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "url": url}))
        lock.flush()
        yield


def empty(folder: Path) -> list[str]:
    """Delete the servers' data, logs and addresses; their names. Raises DidNotStart while `up` runs on the folder."""
    if not folder.exists():
        return []
    with claimed(folder, url="being emptied"):
        found = sorted(path for pattern in CONTENTS for path in folder.glob(pattern))
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return [path.name for path in found]


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / LOCK).read_text())
        return f"pid {holder['pid']}, {holder['url']}"
    except (OSError, ValueError):  # it has the lock and has not written yet
        return "started this moment"
