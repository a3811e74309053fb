"""Children that do not want to end, the folder's lock, and what of the logs reaches the terminal."""

import signal
import sys
import time
from pathlib import Path

import pytest

from convalloc.embedded import address_book, folder
from convalloc.embedded.process import DidNotStart, launch, stop, tail
from convalloc.embedded.relay import Relay
from tests.embedded import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
DEAF = "trap '' TERM; sleep 600 & echo deaf; wait; sleep 600"


def wait_for(log: Path, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_deaf_child_is_killed_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "deaf.log"
    child = launch(["sh", "-c", DEAF, str(tmp_path)], log=log, env={"FOLDER": str(tmp_path), "PATH": "/usr/bin:/bin"})
    wait_for(log, "deaf")
    assert len(processes.on(tmp_path)) == 2

    stop(child, (signal.SIGTERM, 0.2))

    assert child.returncode == -signal.SIGKILL
    assert processes.left_on(tmp_path, seconds=5) == {}


def test_the_log_of_the_start_before_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "echo.log"
    for word in ("first", "second"):
        launch(["echo", word], log=log).wait()

    assert "second" in tail(log)
    assert "first" in tail(tmp_path / "echo.log.1")
    assert tail(tmp_path / "absent.log").strip() == "(the log is empty)"


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    with folder.claimed(tmp_path, url="http://127.0.0.1:1234"):
        with pytest.raises(DidNotStart, match=r"already running .* pid \d+, http://127.0.0.1:1234"), folder.claimed(tmp_path, url="other"):
            pass
        with pytest.raises(DidNotStart, match="already running"):
            folder.empty(tmp_path)

    with folder.claimed(tmp_path, url="other"):
        pass


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DidNotStart, match="Set EMBEDDED_DIR"), folder.claimed(tmp_path / "file", url=""):
        pass


def test_emptying_deletes_what_up_made_and_nothing_else(tmp_path: Path) -> None:
    for name in ("postgres", "postgres.new.1", "log", "beat", "uv", "holiday pictures"):
        (tmp_path / name).mkdir()
    address_book.write(tmp_path, {"REDIS_URL": "redis://"})

    deleted = folder.empty(tmp_path)

    assert deleted == ["beat", "log", "postgres", "postgres.new.1", "servers.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday pictures", folder.LOCK, "uv"]
    assert folder.empty(tmp_path / "absent") == []


def test_the_address_book_is_private_and_forgives_a_broken_page(tmp_path: Path) -> None:
    assert address_book.read(tmp_path) == {}

    address_book.write(tmp_path, {"REDIS_URL": "redis://secret"})
    assert address_book.read(tmp_path) == {"REDIS_URL": "redis://secret"}
    assert (tmp_path / address_book.FILE).stat().st_mode & 0o777 == 0o600

    (tmp_path / address_book.FILE).write_text("{")
    assert address_book.read(tmp_path) == {}


def test_trouble_reaches_the_terminal_with_its_traceback(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "api.log"
    log.write_text("2026-01-01 09:00:00 ERROR old news\n")
    relay = Relay(said.append, {"API": log}, every_line_of=set())

    with log.open("a") as output:
        output.write("2026-01-01 10:00:00 ERROR django.request Internal Server Error\nTraceback (most recent call last):\n")
        output.write("[INFO] Started worker-1\n2026-01-01 10:00:01 WARNING Not Found\n[ERROR] half a li")
    relay.catch_up()
    with log.open("a") as output:
        output.write("ne\n")
    relay.catch_up()

    assert said == [
        "API: 2026-01-01 10:00:00 ERROR django.request Internal Server Error",
        "API: Traceback (most recent call last):",
        "API: [ERROR] half a line",
    ]


def test_reload_shows_every_line_of_the_api(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "api.log"
    log.touch()
    relay = Relay(said.append, {"API": log}, every_line_of={"API"})

    log.write_text('[2026-01-01 10:00:00] "GET /" 200\n')
    relay.catch_up()

    assert said == ['API: [2026-01-01 10:00:00] "GET /" 200']
