"""/health/live in production: a file that each worker of granian serves by itself, beside the threads that answer requests.

These may all wait for the database, each for as long as a statement may take. A probe that waited behind them would get a
healthy process killed, and its successors too. The main process writes the file anew every second: an old time in it tells
that this one is gone.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from convalloc.clock import instant

PATH = "/api/v1/health/live"
FILE = "live.json"
BEAT_SECONDS = 1


@contextmanager
def beating() -> Iterator[Path]:
    """The folder of the file. In here it is kept fresh; afterwards it is gone."""
    with TemporaryDirectory(prefix="convalloc-") as name:
        folder, over = Path(name), threading.Event()
        _beat(folder)
        heart = threading.Thread(target=_beat_until, args=(over, folder), daemon=True)
        heart.start()
        try:
            yield folder
        finally:
            over.set()
            heart.join()


def _beat_until(over: threading.Event, folder: Path) -> None:
    while not over.wait(BEAT_SECONDS):
        with suppress(OSError):  # a full disk is no reason to end
            _beat(folder)


def _beat(folder: Path) -> None:
    """What convalloc.api.health.Live says."""
    said = {"status": "healthy", "message": "alive", "timestamp": instant(datetime.now(UTC))}
    (folder / "next").write_bytes(orjson.dumps(said))
    os.replace(folder / "next", folder / FILE)  # nobody reads half of it
