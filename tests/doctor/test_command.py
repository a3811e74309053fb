"""`manage.py doctor`: what it says to people and to machines, and how it ends."""

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from convalloc.celery import app
from conversations import demo, grace, tasks
from conversations.doctor import chronicle, examination, histories, invariants, remedies
from conversations.models import Conversation
from operators.models import Status
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations.test_tasks import WORKER, running, until
from tests.doctor.conftest import break_it, doctor, found, limits_in_order
from tests.servers import superuser

VANISHED = (
    "UPDATE operator_status SET status = 'OFFLINE' WHERE operator_id = {0};"
    "UPDATE presence_periods SET status = 'OFFLINE' WHERE operator_id = {0} AND ended_at IS NULL"
)


CLOSED = "operators whose account is closed sent offline"


def cut_off_at(said: str, of: int | None = None) -> Callable[..., Any]:
    """Whoever says this, of this tenant or of any, has just lost the session."""

    def say(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        if said in statement and (of is None or of in rest[0]):
            cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'convalloc_app' AND datname = %s"
            with psycopg.connect(superuser(), autocommit=True) as postgres:
                postgres.execute(cut, [os.environ["DATABASE_URL"].rpartition("/")[2]])
        return execute(statement, *rest)

    return say


@contextmanager
def an_impatient_role() -> Iterator[None]:
    """Sessions that begin in here wait for a lock for a tenth of a second."""
    name = os.environ["DATABASE_URL"].rpartition("/")[2]
    connection.close()
    with psycopg.connect(superuser(), autocommit=True) as postgres:
        postgres.execute(f"ALTER ROLE convalloc_app IN DATABASE {name} SET lock_timeout = '100ms'".encode())
        yield
        postgres.execute(f"ALTER ROLE convalloc_app IN DATABASE {name} RESET lock_timeout".encode())
    connection.close()


@pytest.fixture
def ticked(committed: None) -> None:
    """The beat has just rung, and nothing else is amiss."""
    limits_in_order()
    tasks.declare_lost()
    tasks.expire_grace_periods()
    tasks.keep_ranks()


def test_the_demo_house_with_a_worker_is_green_from_top_to_bottom(committed: None, tmp_path: Path) -> None:
    demo.seed()
    limits_in_order()
    log = tmp_path / "worker.log"

    with running(log, *WORKER):
        tasks = [f"conversations.tasks.{task}" for task in ("declare_lost", "expire_grace_periods", "keep_ranks")]
        for task in tasks:
            app.send_task(task)
        # However much an earlier test has left in the queue.
        until(lambda: all(re.search(rf"{task}\[\S+\] succeeded", log.read_text()) for task in tasks), log)
        code, told = doctor("--strict")

    assert [finding for finding in [*told["machine"], *told["data"]] if finding["verdict"] != "OK"] == []
    assert (code, told["verdict"], told["mended"]) == (0, "OK", [])


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_warnings_alone_are_a_failure_only_to_the_strict(options: tuple[str, ...], code: int, house: Cast, ticked: None) -> None:
    ended, told = doctor(*options)

    assert (ended, told["verdict"]) == (code, "WARN")
    assert [finding["name"] for finding in told["machine"] if finding["verdict"] == "WARN"] == ["worker"]


def test_a_broken_house_is_told_to_machines_with_its_offenders(house: Cast, ticked: None) -> None:
    break_it(house, VANISHED.format(house.olga.pk))

    code, told = doctor()

    (finding,) = (finding for finding in told["data"] if finding["verdict"] == "FAIL")
    assert code == 2
    assert told.keys() == {"verdict", "machine", "data", "mended"}
    assert finding == {
        "name": "no_grace",
        "verdict": "FAIL",
        "message": invariants.NO_GRACE.holds,
        "advice": invariants.NO_GRACE.advice,
        "of": "operators",
        "looked_at": 2,
        "count": 1,
        "tenants": [{"tenant_id": house.tenant.pk, "count": 1, "ids": [house.olga.pk]}],
    }


def test_a_broken_house_is_told_to_people_with_what_to_do(house: Cast, ticked: None) -> None:
    break_it(house, VANISHED.format(house.olga.pk))
    output = io.StringIO()

    with pytest.raises(SystemExit):
        call_command("doctor", stdout=output)

    lines = output.getvalue().splitlines()
    failed = lines.index(f"  FAIL  no_grace: {invariants.NO_GRACE.holds}: 1 operators, 2 looked at")
    assert lines[failed + 1 : failed + 3] == [
        f"        tenant {house.tenant.pk}: 1 operators: {house.olga.pk}",
        f"        → {invariants.NO_GRACE.advice}",
    ]
    assert f"  OK    holders: {invariants.HOLDERS.holds} (2 conversations)" in lines
    assert lines[-1] == "FAIL: 1 failures, 1 warnings"


def test_fix_mends_and_ends_as_if_nothing_had_been(house: Cast, ticked: None) -> None:
    break_it(house, VANISHED.format(house.olga.pk))

    code, told = doctor("--fix")

    assert (code, told["mended"]) == (0, [f"tenant {house.tenant.pk}: 1 grace periods opened"])
    assert found(house) == {}
    assert doctor("--fix")[1]["mended"] == []


def test_fix_goes_on_where_somebody_holds_a_row_tells_what_it_left_and_mends_that_too_when_it_is_said_again(
    house: Cast, ticked: None
) -> None:
    next_door = assemble()
    for cast in (house, next_door):
        break_it(cast, "UPDATE operators SET is_active = false")

    with psycopg.connect(superuser()) as neighbour, an_impatient_role():
        neighbour.execute("SELECT FROM operator_status WHERE operator_id = %s FOR UPDATE", [house.olga.pk])
        code, told = doctor("--fix")

    assert code == 2
    assert told["mended"] == [f"tenant {cast.tenant.pk}: {number} {CLOSED}" for cast, number in ((house, 2), (next_door, 4))]
    (left,) = (finding for finding in told["data"] if finding["name"] == "fix")
    assert left["message"].startswith(f"was left: tenant {house.tenant.pk}: closed_accounts, operators: {house.olga.pk}: ")
    assert "lock timeout" in left["message"]
    assert "--fix again" in left["advice"]
    assert doctor("--fix")[1]["mended"] == [f"tenant {house.tenant.pk}: 1 {CLOSED}"]


def test_fix_tells_what_the_clocks_rooms_had_to_leave_too(house: Cast, ticked: None) -> None:
    break_it(house, "UPDATE grace_period_assignments SET opened_at = now() - interval '1 hour', expires_at = now() - interval '3 minutes'")

    with psycopg.connect(superuser()) as neighbour, an_impatient_role():
        neighbour.execute("SELECT FROM operator_status WHERE operator_id = %s FOR UPDATE", [house.otto.pk])
        code, told = doctor("--fix")

    assert (code, told["mended"]) == (2, [])
    (left,) = (finding for finding in told["data"] if finding["name"] == "fix")
    assert left["message"] == f"was left: tenant {house.tenant.pk}: overdue, 1 of 1 grace periods: see the log"
    assert doctor("--fix")[1]["mended"] == [f"tenant {house.tenant.pk}: 1 overdue grace periods ended"]


def test_fix_is_not_kept_for_hours_by_one_who_holds_everything(house: Cast, ticked: None) -> None:
    with isolation.act_as(house.tenant.pk):
        grace.change_status(house.otto.pk, Status.AVAILABLE, house.tenant)
    break_it(house, "UPDATE operators SET is_active = false")

    with psycopg.connect(superuser()) as neighbour, an_impatient_role():
        neighbour.execute("SELECT FROM operator_status FOR UPDATE")
        code, told = doctor("--fix")

    assert (code, told["mended"]) == (2, [])
    assert [finding["name"] for finding in told["data"]].count("fix") == remedies.PATIENCE < 4


@pytest.mark.parametrize("question", ["the machine's last", "the first about the data", "one about the log"])
def test_a_database_that_is_lost_in_the_middle_is_a_failure_that_says_what_to_do(question: str, house: Cast, ticked: None) -> None:
    break_it(house, VANISHED.format(house.olga.pk))
    said = {
        "the machine's last": 'FROM "ticks"',
        "the first about the data": "SELECT * FROM all_tenants()",
        "one about the log": "told AS MATERIALIZED",
    }[question]

    with connection.execute_wrapper(cut_off_at(said)):
        code, told = doctor("--fix")

    lost = told["machine"][-1]
    assert (code, told["verdict"], lost["name"], lost["verdict"]) == (2, "FAIL", "database", "FAIL")
    assert lost["message"].startswith("was lost in the middle of the examination: ")
    assert "say this again" in lost["advice"]


def test_a_session_that_is_lost_while_it_mends_leaves_the_rest_and_tells_what_was_mended(house: Cast, ticked: None) -> None:
    for cast in (house, next_door := assemble()):
        break_it(cast, "UPDATE operators SET is_active = false")

    with connection.execute_wrapper(cut_off_at("FOR NO KEY UPDATE", of=next_door.tenant.pk)):
        code, told = doctor("--fix")

    assert (code, told["mended"]) == (2, [f"tenant {house.tenant.pk}: 3 {CLOSED}"])
    assert told["data"][-1]["message"].startswith(f"was left: tenant {next_door.tenant.pk} and those after it: ")


def test_one_tenant_alone_is_examined_and_mended(house: Cast, ticked: None) -> None:
    next_door = assemble()
    break_it(house, VANISHED.format(house.olga.pk))

    code, told = doctor("--tenant", str(next_door.tenant.pk), "--fix")

    assert (code, told["mended"]) == (0, [])
    assert found(house).keys() == {"no_grace"}


@pytest.mark.parametrize("tenant", ["0", "999999"])
def test_a_tenant_that_does_not_exist_is_refused_and_so_is_the_platform(tenant: str, committed: None) -> None:
    with pytest.raises(CommandError, match=f"There is no tenant {tenant}"):
        doctor("--tenant", tenant)


def test_quick_leaves_out_what_reads_the_whole_log(house: Cast, ticked: None) -> None:
    break_it(house, "UPDATE conversations SET version = version + 1")

    assert doctor("--quick")[0] == 0
    assert doctor()[0] == 2


def test_ten_thousand_conversations_take_a_few_statements_within_the_limits_of_the_role(db: None) -> None:
    cast = assemble()
    row = cast.conversation()
    own = ("id", "external_conversation_id")
    columns = ", ".join(str(field.column) for field in Conversation._meta.local_fields if field.column not in own)
    with isolation.act_as(cast.tenant.pk), connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO conversations (external_conversation_id, {columns})"
            f" SELECT 'many_' || n, {columns} FROM conversations, generate_series(1, 10000) n WHERE id = %s",
            [row.pk],
        )
        cursor.execute(
            "INSERT INTO events (tenant_id, kind, subject_type, subject_id, conversation_id, cause, before, after, request_id)"
            " SELECT e.tenant_id, e.kind, e.subject_type, c.id, c.id, '', e.before, e.after, ''"
            " FROM events e, conversations c WHERE e.subject_type = 'conversation' AND c.id <> %s",
            [row.pk],
        )

    with CaptureQueriesContext(connection) as asked:
        findings = examination.examine([cast.tenant.pk])

    stretches = 10_001 // examination.STRETCH[Conversation] + 1
    selects = [query for query in asked.captured_queries if "offenders" in query["sql"]]
    assert [finding.as_lines() for finding in findings if not finding.is_fine] == []
    others = len(histories.OF_GRACE) + len(histories.OF_PEOPLE)
    assert len(selects) == len(invariants.INVARIANTS) + stretches * len(chronicle.CHRONICLE) + others
