"""Statements that a session plans once: the name travels, and behind a pooler the text."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from convalloc import prepared
from convalloc.prepared import Statement
from tests.servers import superuser

SUM = Statement("SELECT %(one)s::int + %(two)s::int AS sum, %(one)s::int %% 2 AS odd")
ADDED = {"one": 3, "two": 4}


def plans_of(statement: Statement) -> tuple[int, int]:
    """How often the session used the one plan, and how often it made another."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = %s", [statement.name])
        found: tuple[int, int] = cursor.fetchone()
    return found


def test_a_statement_is_planned_once_for_the_session_and_only_its_name_travels(db: None) -> None:
    statement = Statement(f"{SUM.text} -- planned once")

    answers = [prepared.rows(statement, ADDED) for _ in range(7)]

    assert answers == [[{"sum": 7, "odd": 1}]] * 7
    assert plans_of(statement) == (7, 0)
    assert "SELECT" not in prepared.message(statement)


def test_what_was_prepared_in_a_transaction_that_rolled_back_is_still_there(committed: None) -> None:
    statement = Statement(f"{SUM.text} -- rolled back")

    with transaction.atomic():
        prepared.rows(statement, ADDED)
        transaction.set_rollback(True)

    with transaction.atomic():
        assert prepared.rows(statement, ADDED) == [{"sum": 7, "odd": 1}]


def test_a_new_session_prepares_anew(committed: None) -> None:
    with transaction.atomic():
        prepared.rows(SUM, ADDED)
    connection.close()

    with transaction.atomic():
        assert prepared.rows(SUM, ADDED) == [{"sum": 7, "odd": 1}]


def test_a_session_that_was_lost_before_its_first_statement_is_lost_as_any_other(committed: None) -> None:
    connection.close()

    with transaction.atomic(), psycopg.connect(superuser()) as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.connection.info.backend_pid])

        with pytest.raises(OperationalError):
            prepared.rows(SUM, ADDED)
        transaction.set_rollback(True)


def test_behind_a_pooler_the_text_travels(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pooler(connection.settings_dict["HOST"], int(connection.settings_dict["PORT"])) as port:
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "HOST", "127.0.0.1")
        monkeypatch.setitem(connection.settings_dict, "PORT", port)

        with transaction.atomic():
            message = prepared.message(SUM)
            answer = prepared.rows(SUM, ADDED)
        connection.close()

    assert message == SUM.text
    assert answer == [{"sum": 7, "odd": 1}]


@contextmanager
def pooler(host: str, port: int) -> Iterator[int]:
    """Stands between one client and the server as PgBouncer does: it tells the client a process id of its own making."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        relaying = threading.Thread(target=relay, args=(door, host, port))
        relaying.start()
        yield door.getsockname()[1]
        relaying.join(10)


def relay(door: socket.socket, host: str, port: int) -> None:
    """The client's words as they are, the server's with another process id in BackendKeyData (K, length 12)."""
    with door.accept()[0] as client, socket.create_connection((host, port)) as server:
        asking = threading.Thread(target=pump, args=(client, server))
        asking.start()
        while words := server.recv(65536):
            head, key, tail = words.partition(b"K" + struct.pack("!i", 12))
            client.sendall(head + key + (struct.pack("!i", 4_000_001) + tail[4:] if key else tail))
        asking.join(10)


def pump(client: socket.socket, server: socket.socket) -> None:
    """Until the client hangs up; the server is told so, and hangs up too."""
    while words := client.recv(65536):
        server.sendall(words)
    server.shutdown(socket.SHUT_WR)
