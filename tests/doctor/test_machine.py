"""What the house stands on: each part is seen missing, with what to do about it."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from convalloc.celery import app
from conversations import allocation
from conversations.doctor import examination, machine
from conversations.doctor.findings import Finding, Verdict
from tenants import isolation
from tests.conftest import assemble
from tests.conversations.test_tasks import WORKER, running, until
from tests.doctor.conftest import installed, limits_in_order
from tests.servers import as_role, superuser

ROLES = settings.BASE_DIR / "convalloc" / "embedded" / "roles.sql"
TASKS = ("declare_lost", "expire_grace_periods", "keep_ranks", "erase_old", "forget_events", "sweep", "send_webhooks")


def examined() -> dict[str, Finding]:
    return {finding.name: finding for finding in machine.examine(app)}


def finding_of(part: str) -> Finding:
    """What is found of one part, and of nothing behind it."""
    return next(finding for finding in machine.examine(app) if finding.name == part)


def doctor_elsewhere(**environment: str) -> tuple[int, dict[str, Any]]:
    """The command in a process with another environment: its exit code, and the machine's findings."""
    command = [sys.executable, "manage.py", "doctor", "--json"]
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {finding["name"]: finding for finding in json.loads(done.stdout)["machine"]}


def as_owner(statement: str) -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute(statement.encode())


def test_a_machine_without_a_worker_and_a_beat_lacks_just_these(db: None) -> None:
    installed(ago=timedelta(days=1))
    limits_in_order()

    found = examined()

    assert list(found) == [
        "database",
        "migrations",
        "role",
        "walls",
        "guards",
        "limits",
        "discretion",
        "broker",
        "worker",
        *(f"tick {name}" for name in TASKS),
    ]
    assert {name for name, finding in found.items() if not finding.is_fine} == {"worker", *(f"tick {name}" for name in TASKS)}
    assert "as the role convalloc_app" in found["database"].message
    assert found["worker"].verdict == Verdict.WARN
    assert "celery -A convalloc worker" in found["worker"].advice


@pytest.mark.parametrize("limit", machine.LIMITS)
def test_a_role_that_may_wait_for_ever_is_a_warning_that_names_the_limit(limit: str, db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {limit} = 0")

    finding = finding_of("limits")

    assert finding.verdict == Verdict.WARN
    assert finding.message == f"the role convalloc_app has no {limit}"


@pytest.mark.parametrize(
    ("statement", "lock", "idle", "faults"),
    [
        (30, 29, 28, []),
        (30, 5, 5, ["idle_in_transaction_session_timeout is not below lock_timeout"]),
        (30, 5, 60, ["idle_in_transaction_session_timeout is not below lock_timeout"]),
        (5, 5, 4, ["lock_timeout is not below statement_timeout"]),
        (3, 4, 9, ["lock_timeout is not below statement_timeout", "idle_in_transaction_session_timeout is not below lock_timeout"]),
    ],
)
def test_limits_that_undo_each_other_are_a_warning_that_tells_which(
    statement: int, lock: int, idle: int, faults: list[str], db: None
) -> None:
    with connection.cursor() as cursor:
        for limit, seconds in zip(machine.LIMITS, (statement, lock, idle), strict=True):
            cursor.execute(f"SET LOCAL {limit} = '{seconds}s'")

    finding = finding_of("limits")

    assert finding.is_fine == (not faults)
    assert finding.message.rpartition(": ")[0] == " and ".join(faults)


@pytest.mark.parametrize(("seconds", "verdict"), [(30, Verdict.WARN), (31, Verdict.OK)])
def test_a_session_that_is_given_up_before_its_statement_is_ended_is_a_warning(
    seconds: int, verdict: Verdict, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits_in_order()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '30s'")
    monkeypatch.setitem(connection.settings_dict, "ANSWER_SECONDS", seconds)

    finding = finding_of("limits")

    assert finding.verdict == verdict
    assert (f"DATABASE_ANSWER_SECONDS ({seconds} s) is not above" in finding.message) == (verdict == Verdict.WARN)


@pytest.mark.parametrize("setting", machine.QUOTES_NOTHING)
def test_a_log_that_would_quote_numbers_is_a_warning_that_says_so(setting: str, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    as_it_is = finding_of("discretion")

    monkeypatch.setitem(machine.QUOTES_NOTHING, setting, "another value")

    assert as_it_is.is_fine
    assert finding_of("discretion").verdict == Verdict.WARN
    assert f"lacks {setting} = another value" in finding_of("discretion").message


def test_the_limits_that_the_product_comes_with_are_fine() -> None:
    given = dict(re.findall(r"ALTER ROLE convalloc_app SET (\w+) = '(\d+)s'", ROLES.read_text()))

    assert given.keys() == set(machine.LIMITS)
    assert int(given["idle_in_transaction_session_timeout"]) < int(given["lock_timeout"]) < int(given["statement_timeout"])


def test_a_table_without_its_wall_is_a_failure(committed: None) -> None:
    as_owner("ALTER TABLE labels NO FORCE ROW LEVEL SECURITY")
    try:
        finding = finding_of("walls")
    finally:
        as_owner("ALTER TABLE labels FORCE ROW LEVEL SECURITY")

    assert finding.verdict == Verdict.FAIL
    assert "labels" in finding.message
    assert finding_of("walls").is_fine


@pytest.mark.parametrize(
    ("broken", "mended", "named"),
    [
        (
            "DROP INDEX one_open_assignment",
            "CREATE UNIQUE INDEX one_open_assignment ON assignments (tenant_id, conversation_id) WHERE ended_at IS NULL",
            "one_open_assignment",
        ),
        (
            "ALTER TABLE labels DROP CONSTRAINT labels_inbox_id_same_tenant",
            "ALTER TABLE labels ADD CONSTRAINT labels_inbox_id_same_tenant FOREIGN KEY (tenant_id, inbox_id)"
            " REFERENCES inboxes (tenant_id, id)",
            "labels_inbox_id_same_tenant",
        ),
        (
            "ALTER TABLE presence_periods DROP CONSTRAINT presence_runs_forward,"
            " ADD CONSTRAINT presence_runs_forward CHECK (ended_at IS NULL OR ended_at >= started_at) NOT VALID",
            "ALTER TABLE presence_periods VALIDATE CONSTRAINT presence_runs_forward",
            "presence_runs_forward",
        ),
    ],
)
def test_what_the_database_no_longer_refuses_is_a_failure_that_names_it(broken: str, mended: str, named: str, committed: None) -> None:
    as_owner(broken)
    try:
        finding = finding_of("guards")
    finally:
        as_owner(mended)

    assert (finding.verdict, finding.message) == (Verdict.FAIL, f"1 constraints or indexes are missing or not valid: {named}")
    assert finding_of("guards").is_fine


def test_a_conversation_with_two_assignments_is_told_even_where_both_are_its_holders(committed: None) -> None:
    cast = assemble()
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, row.pk)
    as_owner("DROP INDEX one_open_assignment")
    twice = (
        "INSERT INTO assignments (tenant_id, conversation_id, operator_id, source, started_at, score_at_start, waited_seconds_at_start)"
        " SELECT tenant_id, conversation_id, operator_id, source, started_at, 0, 0 FROM assignments"
    )
    try:
        as_owner(f"BEGIN; SET LOCAL app.tenant_id = '{cast.tenant.pk}'; {twice}; COMMIT")
        found = {finding.name: finding.tenants for finding in examination.examine([cast.tenant.pk]) if not finding.is_fine}
    finally:
        as_owner(f"BEGIN; SET LOCAL app.tenant_id = '{cast.tenant.pk}'; DELETE FROM assignments; COMMIT")
        as_owner("CREATE UNIQUE INDEX one_open_assignment ON assignments (tenant_id, conversation_id) WHERE ended_at IS NULL")

    assert found["holders"] == {cast.tenant.pk: (1, [row.pk])}


def test_a_migration_that_is_missing_is_a_failure_and_the_data_is_not_looked_at(committed: None) -> None:
    last = "app = 'conversations' AND name = '0005_room_for_a_queue'"
    as_owner(f"UPDATE django_migrations SET app = 'elsewhere' WHERE {last}")
    try:
        found = examined()
        code, _ = doctor_elsewhere()
    finally:
        as_owner(f"UPDATE django_migrations SET app = 'conversations' WHERE {last.replace('conversations', 'elsewhere')}")

    assert found["migrations"].verdict == Verdict.FAIL
    assert "conversations.0005_room_for_a_queue" in found["migrations"].message
    assert not any(name.startswith("tick") for name in found)
    assert code == 2


def test_a_server_that_is_too_old_is_a_failure(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "OLDEST_SERVER", 99)

    assert finding_of("version").verdict == Verdict.FAIL


@pytest.mark.parametrize("who", ["the owner", "a superuser"])
def test_a_role_that_can_bypass_the_policies_is_a_failure(who: str, committed: None) -> None:
    url = os.environ["DATABASE_OWNER_URL"] if who == "the owner" else superuser()

    code, found = doctor_elsewhere(DATABASE_URL=url)

    assert code == 2
    assert found["role"]["verdict"] == "FAIL"
    assert "convalloc/embedded/roles.sql" in found["role"]["advice"]


def test_a_database_that_is_away_is_a_failure_and_the_rest_is_not_asked(committed: None) -> None:
    code, found = doctor_elsewhere(DATABASE_URL=as_role("convalloc_app", "wrong"))

    assert code == 2
    assert list(found) == ["database"]
    assert found["database"]["verdict"] == "FAIL"
    assert "DATABASE_URL" in found["database"]["advice"]


def test_a_broker_that_is_away_is_a_failure_that_says_what_to_do_meanwhile(committed: None) -> None:
    code, found = doctor_elsewhere(REDIS_URL="redis://127.0.0.1:1/0")

    assert code == 2
    assert found["broker"]["verdict"] == "FAIL"
    assert "expire_grace_periods --loop" in found["broker"]["advice"]
    assert found["worker"]["message"] == "cannot be asked without a broker"


def test_a_queue_that_no_worker_takes_from_is_a_warning_that_names_it(committed: None, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"

    with running(log, *WORKER, "--queues", "ranking"):
        until(lambda: " ready." in log.read_text(), log)
        finding = finding_of("worker")

    assert finding.verdict == Verdict.WARN
    assert finding.message.startswith("nobody takes from the queue deadlines and webhooks; 1 answer: celery@")
    assert "--queues" in finding.advice


def test_no_broker_at_all_is_a_failure(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "")

    assert finding_of("broker").message == "REDIS_URL names none"
