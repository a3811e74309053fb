"""`manage.py up` as a newcomer meets it: real processes, signals, and a second terminal."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest
from psycopg import sql

from convalloc.embedded import address_book
from convalloc.embedded.process import free_port, tie
from tests.embedded import processes
from tests.embedded.conftest import BASE, LAST_LINE, NAMES_OF_SERVERS, Up, ordinary_user

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has"),
    pytest.mark.xdist_group("up"),  # each starts nine processes: one after the other
]
LaunchUp = Callable[..., Up]
TIED = pytest.mark.skipif(not tie("TERM"), reason="this system's setpriv cannot tie a child to its parent")


@pytest.fixture(scope="module")
def running(launch_up: LaunchUp) -> Up:
    """One run, on a folder of its own, for every test that only looks."""
    up = launch_up()
    up.read_until(LAST_LINE)
    return up


def manage(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of manage.py in a second terminal: it knows the folder and nothing else."""
    env = {name: value for name, value in os.environ.items() if name not in NAMES_OF_SERVERS}
    return subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=BASE,
        env=env | {"EMBEDDED_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def status(url: str) -> int:
    with urlopen(url, timeout=10) as answer:
        return int(answer.status)


def leave_a_mark(up: Up, name: str) -> None:
    """A table in the database that only one test makes."""
    with psycopg.connect(address_book.read(up.folder)["DATABASE_OWNER_URL"]) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(name)))


def has_the_mark(up: Up, name: str) -> bool:
    with psycopg.connect(address_book.read(up.folder)["DATABASE_OWNER_URL"]) as connection:
        return connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone() == (True,)


def test_is_ready_when_it_says_so(running: Up) -> None:
    assert status(f"{running.url}/api/v1/health/ready") == 200


def test_tells_what_runs_where_who_may_log_in_and_what_to_try(running: Up) -> None:
    for text in (
        f"convalloc runs at {running.url} ",
        f"{running.url}/admin/",
        f"{running.url}/api/v1/docs",
        str(running.folder),
        "operator1@example.com",
        "password convalloc-demo",
        f"curl {running.url}/api/v1/health\n",
        f"curl -H 'X-Operator-Id: 1' {running.url}/api/v1/conversations\n",
        """-d '{"operator_id":1}'""",
    ):
        assert text in running.printed
    for url in address_book.read(running.folder).values():
        assert url not in running.printed  # they hold passwords


def test_everything_listens_on_127_0_0_1_only(running: Up) -> None:
    assert processes.listening(running.folder) == {"0100007F"}


def test_the_servers_addresses_are_for_this_user_only(running: Up) -> None:
    assert (running.folder / address_book.FILE).stat().st_mode & 0o777 == 0o600


def test_a_second_up_on_the_folder_is_refused_with_pid_and_url(running: Up, launch_up: LaunchUp) -> None:
    second = launch_up(folder=running.folder)

    assert second.end() == 1
    assert f"pid {running.process.pid}, {running.url}" in second.printed
    assert status(f"{running.url}/api/v1/health/ready") == 200


def test_a_busy_port_is_refused_before_anything_starts(running: Up, launch_up: LaunchUp) -> None:
    port = int(running.url.rpartition(":")[2])
    second = launch_up(port=port)

    assert second.end() == 1
    assert f"Port {port} is in use" in second.printed
    assert f"PORT={port + 1} make run" in second.printed
    assert not (second.folder / "postgres").exists()


def test_reset_is_refused_while_it_runs(running: Up) -> None:
    answer = manage("empty_embedded", running.folder)

    assert answer.returncode == 1
    assert "already running" in answer.stderr
    assert (running.folder / "postgres").exists()


def test_a_second_terminal_finds_the_database(running: Up) -> None:
    answer = manage("seed_demo", running.folder)

    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything(up: Up, name: signal.Signals) -> None:
    up.process.send_signal(name)

    assert up.end() == 0
    assert "Everything is stopped." in up.printed
    assert processes.on(up.folder) == {}
    assert address_book.read(up.folder) == {}


def test_the_next_start_has_the_data_and_takes_seconds(up: Up, launch_up: LaunchUp) -> None:
    leave_a_mark(up, "stopped")
    up.process.terminate()
    assert up.end() == 0

    began = time.monotonic()
    again = launch_up(folder=up.folder)
    again.read_until(LAST_LINE)

    assert time.monotonic() - began < 30
    assert has_the_mark(again, "stopped")
    again.process.terminate()
    assert again.end() == 0


@TIED
def test_kill_9_leaves_nothing_and_the_next_start_has_the_data(up: Up, launch_up: LaunchUp) -> None:
    leave_a_mark(up, "killed")

    up.process.kill()
    up.process.wait()

    again = launch_up(folder=up.folder)  # at once: it waits for the old PostgreSQL
    again.read_until(LAST_LINE)
    assert has_the_mark(again, "killed")
    again.process.kill()
    again.process.wait()
    assert processes.left_on(up.folder, seconds=15) == {}


@pytest.mark.parametrize("moment", ["manage.py migrate", LAST_LINE])
def test_a_killed_make_takes_everything_along(lived_in: Path, moment: str) -> None:
    env = {name: value for name, value in os.environ.items() if name not in NAMES_OF_SERVERS}
    command = [*tie("TERM"), "sh", "-c", '"$0" manage.py up --parent $$; exit 7', sys.executable]
    make = subprocess.Popen(
        command, cwd=BASE, env=env | {"EMBEDDED_DIR": str(lived_in), "PORT": str(free_port())}, stdout=subprocess.PIPE, text=True
    )
    assert make.stdout is not None
    while moment not in (line := make.stdout.readline()):
        assert line, "`up` ended too early"

    make.kill()

    assert "Everything is stopped." in make.communicate(timeout=30)[0]
    assert processes.left_on(lived_in, seconds=5) == {}


@pytest.mark.parametrize(
    ("child", "told"), [("celery -A convalloc worker", "worker ended"), ("granian", "API ended"), ("/postgres ", "PostgreSQL ended")]
)
def test_a_dead_child_ends_everything_and_is_named(up: Up, child: str, told: str) -> None:
    pids = [pid for pid, command in sorted(processes.on(up.folder).items()) if child in command and pid != up.process.pid]

    os.kill(pids[0], signal.SIGKILL)

    assert up.end() == 1
    assert told in up.printed
    assert f"{up.folder}/log/" in up.printed
    assert processes.left_on(up.folder, seconds=5) == {}


def test_runs_as_an_ordinary_user(tmp_path: Path, launch_up: LaunchUp) -> None:
    user = ordinary_user()
    shutil.chown(tmp_path, 65534, 65534)
    up = launch_up(folder=tmp_path, prefix=user)
    up.read_until(LAST_LINE)

    up.process.terminate()

    assert up.end() == 0
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {65534}


def test_uses_the_servers_that_the_environment_names(launch_up: LaunchUp) -> None:
    # The database `convalloc` of the tests' PostgreSQL, which no other test uses, and a queue that no other worker empties.
    servers = {name: os.environ[name].rpartition("/")[0] + "/convalloc" for name in ("DATABASE_URL", "DATABASE_OWNER_URL")}
    up = launch_up(**servers, REDIS_URL=os.environ["REDIS_URL"].rpartition("/")[0] + "/1")
    printed = up.read_until(LAST_LINE)

    assert "(yours: DATABASE_URL)" in printed
    assert "(yours: REDIS_URL)" in printed
    assert not (up.folder / "postgres").exists()
    assert not any("valkey" in command or "/postgres " in command for command in processes.on(up.folder).values())
    up.process.terminate()
    assert up.end() == 0


def test_a_broken_data_folder_is_told_without_a_traceback(tmp_path: Path, launch_up: LaunchUp) -> None:
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    up = launch_up(folder=tmp_path)

    assert up.end() == 1
    assert "PG_VERSION" in up.printed
    assert "make reset" in up.printed
    assert "Traceback" not in up.printed


def test_is_refused_outside_development(launch_up: LaunchUp) -> None:
    up = launch_up(DEVELOPMENT="false", SECRET_KEY="long enough to be a secret key that nobody guesses, ever")

    assert up.end() == 1
    assert "DEVELOPMENT is not true" in up.printed


def test_a_signal_during_the_start_stops_what_ran_already(launch_up: LaunchUp) -> None:
    up = launch_up()
    deadline = time.monotonic() + 30
    while not (up.folder / address_book.FILE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)

    up.process.terminate()

    assert up.end() == 0
    assert processes.left_on(up.folder, seconds=0) == {}


def test_a_command_that_fails_is_named_with_its_log(launch_up: LaunchUp, tmp_path: Path) -> None:
    with socket.socket() as nobody_answers:
        nobody_answers.bind(("127.0.0.1", 0))
        port = nobody_answers.getsockname()[1]
        up = launch_up(
            folder=tmp_path, DATABASE_URL=f"postgresql://nobody:secret@127.0.0.1:{port}/nothing", REDIS_URL="redis://127.0.0.1:1"
        )

        assert up.end() == 1
    assert "manage.py migrate failed" in up.printed
    assert str(tmp_path / "log" / "migrate.log") in up.printed
    assert "Traceback" not in up.printed.split("Its log")[0]
