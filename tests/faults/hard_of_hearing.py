"""convalloc.server whose workers miss the first SIGTERM, as one that is at work does now and then; `once`: they are not told again."""

import os
import signal
import sys
from typing import Any

from granian._granian import WorkerSignal

from convalloc import server
from convalloc.server import hear_once


def miss_the_first() -> WorkerSignal:
    """The product's handlers, but the first SIGTERM is gone as if it had never come."""
    ended = hear_once()
    hear = signal.getsignal(signal.SIGTERM)

    def miss(*_: Any) -> None:
        os.write(1, b"a worker has missed SIGTERM\n")
        signal.signal(signal.SIGTERM, hear)

    signal.signal(signal.SIGTERM, miss)
    return ended


if __name__ == "__main__":
    if "once" in sys.argv:
        sys.argv.remove("once")
        server.KILL_SECONDS = 2  # the control need not wait for longer
        server.Server._insist = lambda self: None  # type: ignore[method-assign]
    server.hear_once = miss_the_first
    server.main()
