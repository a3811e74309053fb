"""A line between the product and its database that can be cut at the worst moment: while a given word travels."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from django.db import connection


@dataclass
class Line:
    """Everything passes, until it is armed; then the first message to the server with that word in it is the line's last.

    `after`: the first one that follows a message with this word.
    `delivered`: the server still gets the message and answers it; only the answer is lost.
    """

    host: str
    port: int
    word: bytes = b""
    after: bytes = b""
    delivered: bool = False
    cuts: int = 0
    _cut: socket.socket | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def arm(self, word: bytes, *, delivered: bool, after: bytes = b"") -> None:
        """From here on: cut at this word."""
        self.word, self.delivered, self.after = word, delivered, after

    def serve(self, door: socket.socket) -> None:
        """Relay whoever comes, until the door is closed."""
        while True:
            try:
                client = door.accept()[0]
            except OSError:
                return
            server = socket.create_connection((self.host, self.port))
            for pump in (self._ask, self._answer):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def await_the_server(self) -> None:
        """Return once the server has done with the session that was cut."""
        assert self._ended.wait(30), "the server still talks"

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while words := client.recv(65536):
                if self.after and self.after in words:
                    self.after = b""
                elif self.word and not self.after and self.word in words:
                    self.word, self.cuts = b"", self.cuts + 1
                    self._cut = server
                    client.shutdown(socket.SHUT_RDWR)
                    if self.delivered:
                        server.sendall(words)
                        server.shutdown(socket.SHUT_WR)  # what it was sent it does first, and then it finds that nobody is there
                    else:
                        server.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(words)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError):
            while words := server.recv(65536):
                with suppress(OSError):  # nobody listens after the cut
                    client.sendall(words)
            if server is self._cut:
                self._ended.set()


@contextmanager
def line() -> Iterator[Line]:
    """In here the tests' own Django speaks with its database through a line."""
    before = dict(connection.settings_dict)
    connection.close()
    with socket.create_server(("127.0.0.1", 0)) as door:
        between = Line(connection.settings_dict["HOST"], int(connection.settings_dict["PORT"]))
        serving = threading.Thread(target=between.serve, args=(door,), daemon=True)
        serving.start()
        connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": door.getsockname()[1]}
        try:
            yield between
        finally:
            connection.close()
            connection.settings_dict.update(before)
            door.shutdown(socket.SHUT_RDWR)
            serving.join(10)
