"""The load: keep-alive connections that ask again as soon as they are answered. A process of its own, so that it can be weighed.

Reads one plan as JSON from standard input, writes one result. An HTTP library would take more CPU than the server does;
this knows only what our server sends: HTTP/1.1 with Content-Length.
"""

import json
import re
import resource
import selectors
import socket
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
NOTHING = b'"data":null'


class Line:
    """One connection, which sends its one request over and over."""

    def __init__(self, port: int, request: bytes) -> None:
        self.request = request
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_at = 0.0

    def ask(self) -> None:
        """Send the request."""
        self.received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(self.request)

    def read(self) -> bool:
        """Read what is there; whether the answer is whole."""
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionError(f"the server closed the connection after {self.received[:200]!r}")
        self.received += piece
        head, found, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head) if found else None
        return length is not None and len(body) >= int(length[1])


class Answers(NamedTuple):
    """What came back: milliseconds of each answer, statuses, answers that carried nothing, seconds it took, CPU seconds of ours."""

    milliseconds: list[float]
    statuses: dict[str, int]
    empty: int
    seconds: float
    cpu: float


def fire(plan: dict[str, Any]) -> Answers:
    """Ask until so many `requests` are answered or so many `seconds` are over; what is under way then is awaited and counts."""
    lines = [Line(plan["port"], request.encode()) for request in plan["lines"]]
    chooser = selectors.DefaultSelector()
    milliseconds: list[float] = []
    statuses: Counter[str] = Counter()
    empty, left, cpu, began = 0, plan["requests"], _cpu(), time.perf_counter()
    deadline = began + plan["seconds"]
    for line in lines[:left]:
        chooser.register(line.socket, selectors.EVENT_READ, line)
        line.ask()
        left -= 1
    while chooser.get_map():
        for key, _ in chooser.select(60):
            line = key.data
            if not line.read():
                continue
            now = time.perf_counter()
            milliseconds.append((now - line.sent_at) * 1000)
            statuses[line.received[9:12].decode()] += 1
            empty += NOTHING in line.received
            if left > 0 and now < deadline:
                left -= 1
                line.ask()
            else:
                chooser.unregister(line.socket)
    return Answers(milliseconds, dict(statuses), empty, time.perf_counter() - began, _cpu() - cpu)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fire(json.loads(sys.stdin.read()))._asdict()))
