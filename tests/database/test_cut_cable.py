"""The cable to the database is cut: nothing says so, and no packet comes any more. Who waits gives up, and tells the caller so.

Linux alone: a filter of the kernel drops whatever arrives for a session's socket, the acknowledgements of what it sends too.
"""

import ctypes
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from tests.conftest import Api, assemble
from tests.races.crowd import PATIENCE_SECONDS

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
DROP = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # one instruction, of filter.h: return 0 bytes of the packet
SOON = {"tcp_user_timeout": 1000, "keepalives_idle": 1, "keepalives_interval": 1}  # in the place of 10 and 19 s
NEVER = {"tcp_user_timeout": 0, "keepalives": 0}


@contextmanager
def line_of(session: psycopg.Connection[Any]) -> Iterator[socket.socket]:
    """Its TCP connection."""
    with socket.socket(fileno=os.dup(session.pgconn.socket)) as line:
        yield line


def cut(session: psycopg.Connection[Any]) -> None:
    """From here on nothing arrives."""
    with line_of(session) as line:
        line.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(DROP)))


def test_the_kernel_knows_the_limits_of_the_products_sessions(db: None) -> None:
    connection.ensure_connection()
    places = {
        "tcp_user_timeout": socket.TCP_USER_TIMEOUT,
        "keepalives_idle": socket.TCP_KEEPIDLE,
        "keepalives_interval": socket.TCP_KEEPINTVL,
        "keepalives_count": socket.TCP_KEEPCNT,
    }

    with line_of(connection.connection) as line:
        known = {limit: line.getsockopt(socket.IPPROTO_TCP, place) for limit, place in places.items()}
        asks = line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    assert known == {"tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 3, "keepalives_count": 3}
    assert asks


def test_a_request_over_a_cut_cable_is_answered_and_the_next_one_has_a_session_of_its_own(
    committed: None, api: type[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = assemble()
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", settings.GIVE_UP | SOON)
    connection.ensure_connection()
    cut(connection.connection)

    answers = [api(cast.mia).get("/conversations") for _ in range(2)]

    assert [answer.status for answer in answers] == [503, 200]
    assert (answers[0].body["code"], answers[0].headers["Retry-After"]) == ("unavailable", "1")


class Question(threading.Thread):
    """Somebody who waits for the server's answer to a long question when the cable is cut."""

    def __init__(self, limits: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self.problem: psycopg.OperationalError | None = None
        self.session = psycopg.connect(os.environ["DATABASE_URL"], **limits)
        self.start()
        self._until_it_waits()
        cut(self.session)

    def run(self) -> None:
        try:
            self.session.execute("SELECT pg_sleep(60)")
        except psycopg.OperationalError as problem:
            self.problem = problem

    def _until_it_waits(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as watcher:
            while watcher.execute(asleep, [self.session.info.backend_pid]).fetchone() != (1,):
                assert time.monotonic() < deadline, "it does not wait"
                time.sleep(0.01)


def test_who_waits_for_an_answer_when_it_is_cut_gives_up_and_the_control_without_limits_waits(django_db_setup: None) -> None:
    control, product = Question(NEVER), Question(settings.GIVE_UP | SOON)

    product.join(PATIENCE_SECONDS)
    waits = control.is_alive()
    with line_of(control.session) as line:
        line.shutdown(socket.SHUT_RDWR)
    control.join(PATIENCE_SECONDS)

    assert "timed out" in str(product.problem)
    assert waits
