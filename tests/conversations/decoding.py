"""PostgreSQL's own output plugin, read: what a subscriber of a publication is told.

Source: PostgreSQL's documentation, Logical Replication Message Formats, version 1 of the protocol.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

DONE = {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}


class Change(NamedTuple):
    """A row as it is told; of one that is gone, what stands for it."""

    act: str
    table: str
    row: dict[str, str | None]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"!{form}", self.data, self.at)
        self.at += struct.calcsize(f"!{form}")
        return value

    def text(self) -> str:
        end = self.data.index(b"\0", self.at)
        found, self.at = self.data[self.at : end].decode(), end + 1
        return found

    def row(self, names: list[str]) -> dict[str, str | None]:
        row: dict[str, str | None] = {}
        for name in names[: self.take("h")]:
            if self.take("c") == b"t":
                size = self.take("i")
                row[name] = self.data[self.at : self.at + size].decode()
                self.at += size
            else:
                row[name] = None
        return row


def changes(messages: Iterable[bytes]) -> Iterator[Change]:
    """What these messages tell of rows, in their order."""
    tables: dict[int, tuple[str, list[str]]] = {}
    for message in messages:
        reader = _Reader(message)
        kind = reader.take("c").decode()
        if kind == "R":
            relation = reader.take("i")
            reader.text()  # the schema
            table, _identity = reader.text(), reader.take("c")
            names = []
            for _ in range(reader.take("h")):
                reader.take("b")
                names.append(reader.text())
                reader.take("i"), reader.take("i")
            tables[relation] = table, names
        elif kind in DONE:
            table, names = tables[reader.take("i")]
            tuple_kind = reader.take("c")
            row = reader.row(names)
            if tuple_kind in (b"K", b"O") and kind == "U":  # the former key comes first
                reader.take("c")
                row = reader.row(names)
            yield Change(DONE[kind], table, row if kind != "D" else {name: value for name, value in row.items() if value is not None})
