"""The embedded PostgreSQL and Valkey, without Django."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from convalloc.embedded import postgres as launcher
from convalloc.embedded.postgres import Postgres, binaries, program_version
from convalloc.embedded.process import DidNotStart, tie
from convalloc.embedded.valkey import Valkey
from tests.embedded import processes
from tests.embedded.conftest import BASE, ordinary_user

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path, durable=False)
    yield server
    server.stop()


@pytest.fixture
def used(server: Postgres) -> Postgres:
    """A server that has run once and stands still."""
    server.start()
    server.stop()
    return server


def ask(server: Postgres, role: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.url(role)) as connection:
        return connection.execute(query.encode()).fetchall()


def test_data_survives_a_restart(server: Postgres) -> None:
    server.start()
    with psycopg.connect(server.url("convalloc_owner")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()

    server.start()

    assert ask(server, "convalloc_owner", "SELECT answer FROM kept") == [(42,)]


def test_stopping_leaves_no_process(server: Postgres) -> None:
    server.start()
    assert processes.on(server.data)

    server.stop()

    assert processes.on(server.data) == {}


def test_roles_have_no_power_that_row_level_security_does_not_bind(server: Postgres) -> None:
    server.start()

    roles = ask(
        server,
        "postgres",
        "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname ~ '^convalloc_' ORDER BY 1",
    )

    assert roles == [("convalloc_app", False, False, False, False), ("convalloc_owner", False, False, False, False)]
    assert ask(server, "convalloc_app", "SELECT current_setting('lock_timeout'), current_setting('statement_timeout')") == [("5s", "30s")]
    assert ask(server, "convalloc_app", "SELECT current_setting('idle_in_transaction_session_timeout')") == [("4s",)]


def test_the_runtime_role_cannot_make_a_table(server: Postgres) -> None:
    server.start()

    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(server.url("convalloc_app")) as connection:
        connection.execute("CREATE TABLE mine (id int)")


def test_a_wrong_password_is_refused(server: Postgres) -> None:
    server.start()

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host="127.0.0.1", port=server.port, user="postgres", password="guess", dbname="postgres")


def test_passwords_are_for_this_user_only(used: Postgres) -> None:
    assert (used.home / "passwords.json").stat().st_mode & 0o777 == 0o600
    assert not (used.home / "superuser").exists()


def test_an_interrupted_first_start_is_cleared_away(server: Postgres) -> None:
    half = server.home.with_name("postgres.new.1234")
    (half / "data").mkdir(parents=True)

    server.start()

    assert not half.exists()


def test_letters_fold_whatever_the_machine_speaks(server: Postgres) -> None:
    if program_version() < 17:
        pytest.skip(f"PostgreSQL {program_version()} has no locale of its own; the wheel's has")
    server.start()

    assert ask(server, "postgres", "SELECT lower('ÄÖ')") == [("äö",)]


def unlink_version(server: Postgres) -> None:
    (server.data / "PG_VERSION").unlink()


def age(server: Postgres) -> None:
    (server.data / "PG_VERSION").write_text("9\n")


def lose_passwords(server: Postgres) -> None:
    (server.home / "passwords.json").unlink()


def garble_passwords(server: Postgres) -> None:
    (server.home / "passwords.json").write_text("{")


def forget_a_role(server: Postgres) -> None:
    (server.home / "passwords.json").write_text('{"postgres": "x"}')


def change_passwords(server: Postgres) -> None:
    (server.home / "passwords.json").write_text('{"postgres": "x", "convalloc_owner": "x", "convalloc_app": "x"}')


def cut_control_file(server: Postgres) -> None:
    os.truncate(server.data / "global" / "pg_control", 10)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (unlink_version, "PG_VERSION"),
        (age, "written by PostgreSQL 9"),
        (lose_passwords, "passwords.json"),
        (garble_passwords, "not a whole data folder"),
        (forget_a_role, "no password of convalloc_owner, convalloc_app"),
        (change_passwords, "does not fit"),
        (cut_control_file, "pg_control"),
    ],
)
def test_a_broken_data_folder_says_what_was_found_and_what_to_do(used: Postgres, damage: Callable[[Postgres], None], told: str) -> None:
    damage(used)

    with pytest.raises(DidNotStart) as refused:
        used.start()

    assert told in str(refused.value)
    assert "make reset" in str(refused.value)
    assert processes.on(used.data) == {}


@AS_ROOT
def test_runs_as_root_where_user_namespaces_are_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbidding = tmp_path / "bin"
    forbidding.mkdir()
    (forbidding / "unshare").symlink_to("/bin/false")
    monkeypatch.setenv("PATH", str(forbidding), prepend=os.pathsep)
    launcher.as_nobody.cache_clear()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed, durable=False)

    try:
        server.start()
        assert launcher.as_nobody()[0] == "setpriv"
        assert server.data.stat().st_uid == launcher.NOBODY
    finally:
        server.stop()
        launcher.as_nobody.cache_clear()


def test_another_users_folder_is_refused_by_name(used: Postgres, tmp_path: Path) -> None:
    answer = subprocess.run(
        [*ordinary_user(), sys.executable, "-c", START_BOTH, str(tmp_path)],
        cwd=BASE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == 1
    assert "belongs to root. Start as that user" in answer.stderr


START_BOTH = """
import sys, time
from pathlib import Path
from convalloc.embedded.postgres import Postgres
from convalloc.embedded.valkey import Valkey
servers = Postgres(Path(sys.argv[1])), Valkey(Path(sys.argv[1]))
for server in servers:
    server.start()
print("both run", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not tie("TERM"), reason="this system's setpriv cannot tie a child to its parent")
@pytest.mark.parametrize("become", [list, ordinary_user])
def test_killing_the_parent_leaves_nothing(tmp_path: Path, become: Callable[[], list[str]]) -> None:
    user = become()
    if user:
        shutil.chown(tmp_path, 65534, 65534)
    parent = subprocess.Popen(
        [*user, *tie("TERM"), sys.executable, "-c", START_BOTH, str(tmp_path)], cwd=BASE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "both run\n"
    assert len(processes.on(tmp_path)) > 3

    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    assert processes.left_on(tmp_path, seconds=10) == {}


def test_a_start_waits_for_the_killed_runs_server(server: Postgres) -> None:
    server.start()
    assert server.process is not None
    first, server.process = server.process, None
    first.send_signal(signal.SIGINT)

    server.start()

    assert first.wait(5) == 0
    assert ask(server, "convalloc_app", "SELECT 1") == [(1,)]


def test_pg_bin_has_the_first_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    binaries.cache_clear()
    monkeypatch.setenv("PG_BIN", str(tmp_path))

    with pytest.raises(DidNotStart, match="holds no program `postgres`"):
        binaries()


def test_valkey_wants_its_password_and_hides_it(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path)
    valkey.start()

    try:
        with pytest.raises(redis.AuthenticationError), redis.Redis(port=valkey.port, retry=Retry(NoBackoff(), 0)) as stranger:
            stranger.ping()
        assert valkey.process is not None
        password = valkey.url().split(":")[2].split("@")[0]
        assert password.encode() not in Path(f"/proc/{valkey.process.pid}/cmdline").read_bytes()
    finally:
        valkey.stop()

    assert [path.name for path in tmp_path.iterdir()] == ["log"]
