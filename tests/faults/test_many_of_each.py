"""Two beats, four workers, and every task sent ten times at once: what is to be done is done once."""

import sys
from collections import Counter
from typing import Any

import pytest

from convalloc.celery import app
from conversations.models import GracePeriod
from operators.models import Operator, Status
from tenants import isolation
from tenants.models import Event, Tenant
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.faults.program import Program
from tests.faults.stack import Stack
from tests.faults.test_worker_and_beat import are_released, is_ranked, overdue
from tests.operators.test_leases import held, is_, silent_for, with_leases

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
ROWS, SILENT = 20, 4
TIMES = 10
EXPIRED = {"conversation.requeued": ROWS, "grace.expired": ROWS}
LOST = {"operator.status_changed": SILENT, "grace.opened": SILENT}
ONCE = Counter({**EXPIRED, **LOST, "tenant.priorities_recalculated": 1})
WORKER = "import django; django.setup(); from convalloc.celery import app; app.worker_main(['worker', '--pool', 'solo'])"
# Correctness may not rest on the row that keeps a doubled beat from working twice.
UNGUARDED = WORKER.replace("app.worker", "from tenants import ticks; ticks.once = lambda task, work: work(); app.worker")
UNLOCK = "from django.db.backends.signals import connection_created as made; from tests.races.guards import unlock; made.connect(unlock)"
# Nor on these alone: what is written looks once more whether the row is open still.
UNASKED = "from conversations import deadlines; deadlines.CLOSE = deadlines.CLOSE.replace('AND g.ended_at IS NULL', '')"
UNLOCKED = UNGUARDED.replace("app.worker", f"{UNLOCK}; {UNASKED}; app.worker")


def workers(stack: Stack, code: str) -> list[Program]:
    """Four that run this."""
    return [stack.program(f"worker {number}", [sys.executable, "-c", code]) for number in range(4)]


def send_everything(stack: Stack, cast: Cast) -> None:
    """Each task ten times."""
    tasks: dict[str, list[int]] = {
        "declare_lost": [],
        "expire_grace_periods": [],
        "keep_ranks": [],
        "erase_old": [],
        "forget_events": [],
        "rank_anew": [cast.tenant.pk],
    }
    named = {f"conversations.tasks.{name}": values for name, values in tasks.items()} | {
        "operators.tasks.sweep": [],
        "tenants.tasks.send_webhooks": [],
    }
    with app.connection_for_write(stack.valkey.url()) as line:
        for name, values in list(named.items()) * TIMES:
            app.send_task(name, values, connection=line)


def silent(cast: Cast) -> list[Operator]:
    """Operators at work, whose lease of an hour is over; everybody else has just given a sign of life."""
    found = [cast.operator() for _ in range(SILENT)]
    with_leases(cast, 3600)
    for operator in found:
        held(cast, operator)
        silent_for(cast, operator, 3601)
    return found


def are_lost(cast: Cast, operators: list[Operator]) -> bool:
    """Whether all of them are OFFLINE."""
    return {is_(cast, operator) for operator in operators} == {Status.OFFLINE}


def waiting(stack: Stack) -> int:
    """How many sessions stand at a lock."""
    ((number,),) = stack.command("SELECT count(*) FROM pg_stat_activity WHERE usename = 'convalloc_app' AND wait_event_type = 'Lock'")
    return int(number)


def is_done(stack: Stack) -> bool:
    """Whether no message waits in the broker, and no worker has one in hand."""
    with stack.broker() as broker:
        return (broker.llen("deadlines"), broker.llen("ranking"), broker.hlen("unacked")) == (0, 0, 0)


def events_of_everything_ten_times(stack: Stack, code: str, meet: int) -> tuple[Cast, Counter[str]]:
    """What the log tells of it. `meet`: so many sessions stand at what is to be released before any of them may go on."""
    stack.heal()
    with stack.broker() as broker:
        broker.flushall()
    cast = assemble()
    rows, gone = overdue(cast, ROWS), silent(cast)
    with isolation.act_as(cast.tenant.pk):
        last = Event.objects.latest("pk").pk
        Tenant.objects.filter(pk=cast.tenant.pk).update(priority_alpha=0.8, weights_version=2)
    send_everything(stack, cast)

    with stack.locked("SELECT FROM conversations WHERE tenant_id = %s ORDER BY id FOR NO KEY UPDATE", cast.tenant.pk):
        for program in (*workers(stack, code), stack.beat, stack.second_beat):
            program.start()
        stack.until(lambda: waiting(stack) >= meet)
    stack.until(lambda: are_released(cast, rows) and are_lost(cast, gone) and is_ranked(cast) and is_done(stack))

    stack.heal()
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.filter(ended_at=None).count() == SILENT
        return cast, Counter(Event.objects.filter(pk__gt=last).values_list("kind", flat=True))


@pytest.mark.parametrize(("code", "meet"), [(WORKER, 1), (UNGUARDED, 3)], ids=["the product", "without the row of the tick"])
def test_nothing_is_done_twice(stack: Stack, code: str, meet: int) -> None:
    cast, told = events_of_everything_ten_times(stack, code, meet)

    assert told == ONCE
    invariants.assert_all(cast)


def test_control_without_locks_and_without_a_last_look_it_is_told_twice(stack: Stack) -> None:
    told: Any = events_of_everything_ten_times(stack, UNLOCKED, 3)[1]

    assert told - ONCE
