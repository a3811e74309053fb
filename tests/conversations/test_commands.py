"""The commands of manage.py that do what the beat and the console do."""

import io
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from convalloc import clock
from conversations import allocation, demo, expiry, grace, silence
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from labels.models import Label
from operators.models import Operator, OperatorStatus, Status
from tenants import isolation, ticks
from tenants.models import Inbox, Tenant
from tests.conftest import Api, Cast, assemble
from tests.conversations import invariants
from tests.operators.test_leases import silent_for, with_leases
from tests.races.crowd import neighbour
from tests.servers import superuser

ROOT = Path(__file__).resolve().parents[2]


def said(command: str, *arguments: str) -> str:
    """What a command writes to its standard output."""
    output = io.StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue()


def on_a_terminal(*arguments: str) -> str:
    """What manage.py shows on a terminal."""
    terminal, child_side = pty.openpty()
    termios.tcsetwinsize(child_side, (24, 100))
    child = subprocess.Popen([sys.executable, "manage.py", *arguments], cwd=ROOT, stdout=child_side, stderr=child_side)
    os.close(child_side)
    shown, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other side is closed: it has ended
            break
    os.close(terminal)
    assert child.wait(10) == 0, shown
    return shown.decode()


def overdue(cast: Cast) -> Conversation:
    """What Otto holds, who went offline an hour ago."""
    row: Conversation = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, row.pk)
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        period = GracePeriod.objects.get()
        GracePeriod.objects.update(opened_at=period.opened_at - timedelta(hours=1), expires_at=period.expires_at - timedelta(hours=1))
    return row


def own_session() -> int:
    """The process id of this test's own session, as the server counts."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)


def test_declare_lost_finds_the_silent_and_says_how_many(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, cast.otto, 61)

    assert re.fullmatch("1 operators lost, the first of them [12] s ago\n", said("declare_lost"))
    assert said("declare_lost") == "0 operators lost\n"


def test_expire_grace_periods_returns_what_is_due_and_says_how_many(cast: Cast) -> None:
    row = overdue(cast)

    assert re.match("1 conversations returned to the queue up to 27.. s late, ", said("expire_grace_periods"))
    assert said("expire_grace_periods").startswith("0 conversations returned to the queue, ")
    assert cast.again(row).state == State.QUEUED


@pytest.mark.parametrize(
    ("command", "held"),
    [("expire_grace_periods", "SELECT FROM conversations FOR UPDATE"), ("declare_lost", "SELECT FROM operator_status FOR UPDATE")],
)
def test_a_command_that_had_to_leave_something_says_so_and_fails(committed: None, command: str, held: str) -> None:
    cast = assemble()
    overdue(cast)
    with_leases(cast, 60)
    silent_for(cast, cast.olga, 61)

    with neighbour(cast.tenant.pk) as session:
        session.execute(held.encode())
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        with pytest.raises(CommandError, match="1 were left for the next round"):
            said(command)

    assert said(command).startswith("1 ")


@pytest.mark.parametrize(("command", "task"), [("expire_grace_periods", expiry.TASK), ("declare_lost", silence.TASK)])
def test_a_command_counts_as_a_tick(cast: Cast, command: str, task: str) -> None:
    said(command)

    assert ticks.last(task, clock.now()).ended is not None


@contextmanager
def looping() -> Iterator[subprocess.Popen[str]]:
    """`expire_grace_periods --loop`, after its first round; killed when the test did not end it."""
    command = [sys.executable, "manage.py", "expire_grace_periods", "--loop", "--every", "0.2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as loop:
        try:
            assert loop.stdout is not None
            assert loop.stdout.readline().startswith("0 conversations")
            yield loop
        finally:
            loop.kill()


def until_queued(row: Conversation, cast: Cast) -> None:
    """Return once the loop has released it."""
    deadline = time.monotonic() + 30
    while cast.again(row).state != State.QUEUED:
        assert time.monotonic() < deadline, "the loop does nothing any more"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_expire_grace_periods_in_a_loop_needs_no_celery_and_ends_cleanly(number: int, committed: None) -> None:
    cast = assemble()

    with looping() as loop:
        until_queued(overdue(cast), cast)
        loop.send_signal(number)
        told, complaints = loop.communicate(timeout=30)

    assert (loop.returncode, complaints) == (0, "")
    assert "1 conversations returned" in told


def test_the_loop_outlives_a_database_that_ends_its_session(committed: None) -> None:
    cast = assemble()

    with looping() as loop:
        with psycopg.connect(superuser(), autocommit=True) as postgres:
            others = "datname = current_database() AND usename = 'convalloc_app' AND pid <> ALL (%s)"
            postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}", [[own_session()]])
        until_queued(overdue(cast), cast)
        loop.terminate()
        loop.communicate(timeout=30)

    assert loop.returncode == 0


@pytest.mark.parametrize("options", [("--every", "5"), ("--loop", "--every", "0"), ("--loop", "--every", "nan"), ("--once", "--loop")])
def test_a_rhythm_without_a_loop_or_a_loop_without_a_pause_is_refused(options: tuple[str, ...], db: None) -> None:
    with pytest.raises(CommandError):
        said("expire_grace_periods", *options)


def test_recalculate_priorities_counts_what_it_did_over_all_tenants_or_one(cast: Cast, neighbours: Cast) -> None:
    for someone, rows in ((cast, 2), (neighbours, 3)):
        for _ in range(rows):
            someone.conversation()

    assert "5 conversations of 2 tenants" in said("recalculate_priorities")
    assert "3 conversations of 1 tenants" in said("recalculate_priorities", "--tenant", str(neighbours.tenant.pk))


@pytest.mark.parametrize("tenant", ["0", "999999"])
def test_recalculate_priorities_refuses_a_tenant_that_does_not_exist_and_the_platform(cast: Cast, tenant: str) -> None:
    with pytest.raises(CommandError, match=f"There is no tenant {tenant}"):
        said("recalculate_priorities", "--tenant", tenant)


def test_recalculate_priorities_shows_a_progress_bar_on_a_terminal_and_none_elsewhere(committed: None) -> None:
    cast = assemble()
    for _ in range(3):
        cast.conversation()

    shown = on_a_terminal("recalculate_priorities")
    piped = subprocess.run([sys.executable, "manage.py", "recalculate_priorities"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "100%" in shown
    assert "3/3" in shown
    assert "3 conversations of 1 tenants recalculated" in shown
    assert piped.stderr == ""


def test_seed_demo_makes_the_documented_tenant_and_runs_twice_without_harm(db: None) -> None:
    assert "created" in said("seed_demo")
    assert "already there" in said("seed_demo")

    with isolation.act_as(demo.TENANT_ID):
        assert Tenant.objects.get(pk=1).name == "Demo Tenant"
        assert list(Inbox.objects.order_by("pk").values_list("pk", "name", "phone_number")) == [
            (1, "Customer Support", "+1234567890"),
            (2, "Sales Team", "+1234567891"),
            (3, "Technical Support", "+1234567892"),
        ]
        assert list(Operator.objects.order_by("pk").values_list("pk", "email", "role")) == [
            (1, "operator1@example.com", "OPERATOR"),
            (2, "operator2@example.com", "OPERATOR"),
            (3, "manager@example.com", "MANAGER"),
            (4, "admin@example.com", "ADMIN"),
        ]
        assert set(OperatorStatus.objects.values_list("status", flat=True)) == {Status.AVAILABLE}
        rows = list(Conversation.objects.order_by("pk"))
        assert [row.pk for row in rows] == [1, 2, 3, 4, 5, 6, 7]
        assert [row.external_conversation_id for row in rows] == [f"ext_conv_00{n}" for n in range(1, 8)]
        assert [row.customer_phone_number for row in rows] == [f"+1987654321{n}" for n in range(7)]
        assert [row.pk for row in rows if row.state == State.ALLOCATED and row.assigned_operator_id == 1] == [5]
        assert sum(row.state == State.QUEUED for row in rows) == 5
        assert Label.objects.count() == 5


def test_after_seed_demo_ids_go_on(db: None) -> None:
    said("seed_demo")
    seeded = {Inbox: 3, Operator: 4, Label: 5, Conversation: 7}

    with isolation.act_as(demo.TENANT_ID):
        inbox = Inbox.objects.create(name="New", phone_number="+1")
        operator = Operator.objects.create_user("new@example.com")
        label = Label.objects.create(inbox=inbox, name="new", color="#000000", created_by=operator)

    for row in (inbox, operator, label):
        assert row.pk > seeded[type(row)]


def test_the_demo_is_played_through_the_rooms_and_whole(db: None) -> None:
    said("seed_demo")

    with isolation.act_as(demo.TENANT_ID):
        operator = Operator.objects.get(pk=1)
        invariants.assert_allocated_exactly_with_one_open_assignment()
        for row in Conversation.objects.all():
            invariants.assert_the_log_is_the_row(row)
    best = Api(operator).post("/conversations/allocate", operator_id=1)

    assert best.data["id"] == 6, "the one that has waited for twenty hours"


def test_seed_demo_refuses_to_touch_a_tenant_that_is_not_the_demo(db: None) -> None:
    with isolation.act_as(demo.TENANT_ID):
        Tenant.objects.create(pk=demo.TENANT_ID, name="A real customer")

    with pytest.raises(CommandError, match="A real customer"):
        said("seed_demo")
