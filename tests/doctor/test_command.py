"""`manage.py doctor`: what it says to people and to machines, and how it ends."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from convalloc.celery import app
from conversations import demo, tasks
from conversations.doctor import chronicle, examination, histories, invariants
from conversations.models import Conversation
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations.test_tasks import WORKER, running, until
from tests.doctor.conftest import break_it, doctor, found

VANISHED = (
    "UPDATE operator_status SET status = 'OFFLINE' WHERE operator_id = {0};"
    "UPDATE presence_periods SET status = 'OFFLINE' WHERE operator_id = {0} AND ended_at IS NULL"
)


@pytest.fixture
def ticked(committed: None) -> None:
    """The beat has just rung."""
    tasks.declare_lost()
    tasks.expire_grace_periods()
    tasks.keep_ranks()


def test_the_demo_house_with_a_worker_is_green_from_top_to_bottom(committed: None, tmp_path: Path) -> None:
    demo.seed()
    log = tmp_path / "worker.log"

    with running(log, *WORKER):
        for task in ("declare_lost", "expire_grace_periods", "keep_ranks"):
            app.send_task(f"conversations.tasks.{task}")
        until(lambda: log.read_text().count("succeeded") == 3, log)
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
            "INSERT INTO events (tenant_id, kind, subject_type, subject_id, cause, before, after, request_id)"
            " SELECT e.tenant_id, e.kind, e.subject_type, c.id, '', e.before, e.after, ''"
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
