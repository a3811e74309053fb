"""A server of the database that is there and says nothing: a request gives it up, and tells its caller so."""

import socket
import threading
from contextlib import suppress

import psycopg
import pytest
from django.db import connection

from tests.conftest import Api, assemble


def test_a_silent_server_is_given_up_and_the_control_without_the_limit_waits(
    committed: None, api: type[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = assemble()
    connection.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        monkeypatch.setitem(connection.settings_dict, "HOST", host)
        monkeypatch.setitem(connection.settings_dict, "PORT", port)
        control = threading.Thread(target=connect_without_limit, args=(host, port), daemon=True)
        control.start()
        answer = api(cast.mia).get("/conversations")
        control_waits = control.is_alive()
    control.join(30)

    assert (answer.status, answer.body["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")
    assert control_waits


def connect_without_limit(host: str, port: int) -> None:
    with suppress(psycopg.OperationalError):
        psycopg.connect(host=host, port=port, user="anybody", dbname="anything")
