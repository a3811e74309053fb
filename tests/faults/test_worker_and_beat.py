"""Worker, beat and broker die at the worst moment. Nothing is lost and nothing is done twice: the next tick does what is left."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError

from conversations import allocation, grace
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators.models import Status
from tenants import isolation
from tenants.models import Event
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.faults.asking import ask
from tests.faults.program import Program
from tests.faults.stack import PATIENCE_SECONDS, Stack

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
EARLY = "from convalloc.celery import app; app.conf.task_acks_late = False; app.worker_main(['worker', '--concurrency', '2'])"


def held_by_otto(cast: Cast, number: int = 3) -> list[Conversation]:
    """What Otto works on."""
    rows = [cast.conversation() for _ in range(number)]
    with isolation.act_as(cast.tenant.pk):
        return [allocation.claim(cast.otto.pk, row.pk) for row in rows]


def otto_leaves(cast: Cast) -> None:
    """The grace period of what he holds begins."""
    with isolation.act_as(cast.tenant.pk):
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)


def an_hour_passes(cast: Cast) -> None:
    """What he held is overdue."""
    with isolation.act_as(cast.tenant.pk):
        period = GracePeriod.objects.filter(ended_at=None)[0]
        hour = timedelta(hours=1)
        GracePeriod.objects.update(opened_at=period.opened_at - hour, expires_at=period.expires_at - hour)


def overdue(cast: Cast, number: int = 3) -> list[Conversation]:
    """Conversations that the next tick returns to the queue."""
    rows = held_by_otto(cast, number)
    otto_leaves(cast)
    an_hour_passes(cast)
    return rows


def are_released(cast: Cast, rows: list[Conversation]) -> bool:
    """Whether all of them wait again."""
    return all(cast.again(row).state == State.QUEUED for row in rows)


def assert_released_once(cast: Cast, rows: list[Conversation]) -> None:
    """One event for each of them, and everything else in order."""
    with isolation.act_as(cast.tenant.pk):
        told = sorted(Event.objects.filter(kind="conversation.requeued").values_list("subject_id", flat=True))
    assert told == sorted(row.pk for row in rows)
    invariants.assert_all(cast)


def change_weights(stack: Stack, cast: Cast) -> None:
    """What sends the task that ranks the queue anew, if there is a broker; the answer is 200 in any case."""
    answer = ask(stack.port, cast.ada, "PATCH", "/tenant", {"priority_alpha": 0.8})
    assert answer.status == 200, answer.body


def is_ranked(cast: Cast) -> bool:
    """Whether the queue stands as the weights of now want it."""
    tenant = cast.again(cast.tenant)
    return bool(tenant.weights_version == 2 == tenant.ranked_version)


# --- the worker and the beat ----------------------------------------------------------------------


def kill_the_worker(stack: Stack) -> None:
    """All of it; somebody starts another."""
    stack.worker.kill()
    stack.worker.start()


def kill_its_children(stack: Stack) -> None:
    """What a machine does that runs out of memory. The worker itself lives, and makes new ones."""
    for child in stack.worker.children():
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("kill", [kill_its_children, kill_the_worker])
def test_a_worker_killed_in_the_middle_of_an_expiry_loses_nothing_and_doubles_nothing(stack: Stack, kill: Callable[[Stack], None]) -> None:
    stack.heal(stack.worker, stack.beat)
    cast = assemble()
    rows = held_by_otto(cast)
    otto_leaves(cast)

    with stack.locked("SELECT FROM conversations WHERE tenant_id = %s FOR NO KEY UPDATE", cast.tenant.pk):
        an_hour_passes(cast)
        stack.await_waiting("conversations")
        kill(stack)
    stack.until(lambda: are_released(cast, rows))

    assert_released_once(cast, rows)


def test_a_beat_that_was_killed_and_came_back_and_its_double_ring_for_what_came_due_meanwhile(stack: Stack) -> None:
    stack.heal(stack.worker, stack.beat)
    cast = assemble()
    stack.beat.kill()
    rows = overdue(cast, 20)

    stack.beat.start()
    stack.second_beat.start()
    stack.until(lambda: are_released(cast, rows))

    assert_released_once(cast, rows)


# --- the broker -----------------------------------------------------------------------------------


def killed(stack: Stack) -> None:
    """It, and all that it held, is gone."""
    stack.kill_broker()


def frozen(stack: Stack) -> None:
    """It takes what it is sent, and answers nothing."""
    stack.freeze_broker()


@pytest.mark.parametrize("fault", [killed, frozen])
def test_without_a_broker_the_api_works_on_and_when_it_is_back_the_tick_catches_up(stack: Stack, fault: Callable[[Stack], None]) -> None:
    stack.heal(stack.api, stack.worker, stack.beat)
    cast = assemble()
    cast.conversation(message_count=9)

    fault(stack)
    change_weights(stack, cast)
    rows = overdue(cast)
    assert not is_ranked(cast)
    stack.heal(stack.api, stack.worker, stack.beat)
    stack.until(lambda: are_released(cast, rows) and is_ranked(cast))

    assert_released_once(cast, rows)


def test_worker_and_beat_may_be_started_before_the_broker(stack: Stack) -> None:
    stack.heal()
    cast = assemble()
    rows = overdue(cast)
    stack.kill_broker()

    stack.worker.start()
    stack.beat.start()
    stack.until(lambda: all("Trying again" in program.said() for program in (stack.worker, stack.beat)))
    stack.heal(stack.worker, stack.beat)
    stack.until(lambda: are_released(cast, rows))

    assert_released_once(cast, rows)


def test_a_broker_that_forgets_everything_is_told_again_at_the_next_tick(stack: Stack) -> None:
    stack.heal(stack.worker, stack.beat)
    cast = assemble()
    stack.await_worker()

    with stack.broker() as broker:
        broker.flushall()
    rows = overdue(cast)
    stack.until(lambda: are_released(cast, rows))

    assert_released_once(cast, rows)


PRODUCT: dict[str, Any] = settings.CELERY_BROKER_TRANSPORT_OPTIONS


class Sender(threading.Thread):
    """Somebody who sends a message on a line with these options, and has the last word on whether it worked."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._line = Connection(url, transport_options=options)
        self.problem: Exception | None = None
        self.start()

    def run(self) -> None:
        with self._line as line:
            try:
                line.Producer().publish("a bell", routing_key="nobody")
            except OperationalError as problem:
                self.problem = problem


def test_sending_gives_up_on_a_frozen_broker_and_the_control_without_the_limit_waits(stack: Stack) -> None:
    stack.heal()
    stack.freeze_broker()

    control = Sender(stack.valkey.url(), PRODUCT | {"socket_timeout": None})
    product = Sender(stack.valkey.url(), PRODUCT)
    product.join(30)
    waits = control.is_alive()

    stack.heal()
    control.join(30)
    assert (product.problem is not None, waits, control.problem) == (True, True, None)


# --- what a killed worker had in hand --------------------------------------------------------------


@contextmanager
def a_task_in_hand(stack: Stack, worker: Program) -> Iterator[Cast]:
    """A worker is in the middle of ranking a queue anew and held up as long as this lasts; no beat runs."""
    stack.heal(stack.api)
    cast = assemble()
    cast.conversation(message_count=9)
    with stack.broker() as broker:
        broker.flushall()
    change_weights(stack, cast)
    with stack.locked("SELECT FROM tenants WHERE id = %s FOR NO KEY UPDATE", cast.tenant.pk):
        worker.start()
        stack.await_waiting("tenants")
        yield cast


def in_the_broker(stack: Stack) -> tuple[int, int]:
    """How many messages wait there, and how many a worker took without having done them."""
    with stack.broker() as broker:
        return broker.llen("deadlines") + broker.llen("ranking"), broker.hlen("unacked")


def test_what_a_killed_worker_had_in_hand_is_delivered_to_the_next_one(stack: Stack) -> None:
    with a_task_in_hand(stack, stack.worker) as cast:
        stack.worker.kill()
    assert in_the_broker(stack) == (0, 1)

    with Connection(stack.valkey.url(), transport_options=PRODUCT | {"visibility_timeout": 0}) as later:
        channel: Any = later.default_channel
        channel.qos.restore_visible()  # as each worker does now and then
    stack.worker.start()
    stack.until(lambda: is_ranked(cast))

    invariants.assert_all(cast)


def test_control_acknowledged_before_it_is_done_it_is_gone(stack: Stack) -> None:
    hasty = stack.program("hasty worker", [sys.executable, "-c", EARLY])

    with a_task_in_hand(stack, hasty):
        hasty.kill()

    assert in_the_broker(stack) == (0, 0)


@pytest.mark.parametrize(("told", "done"), [(signal.SIGTERM, True), (signal.SIGQUIT, False)], ids=["to stop", "control: to drop it"])
def test_a_worker_that_is_told_to_stop_ends_its_task_first(stack: Stack, told: signal.Signals, done: bool) -> None:
    with a_task_in_hand(stack, stack.worker) as cast:
        stack.worker.tell(told)
        stack.until(lambda: "shutdown (MainProcess)" in stack.worker.said())
    code = stack.worker.await_end(PATIENCE_SECONDS)

    assert (is_ranked(cast), sum(in_the_broker(stack)) == 0) == (done, done)
    assert code == 0


def test_a_task_that_runs_is_never_delivered_to_a_second_worker() -> None:
    assert PRODUCT["visibility_timeout"] > settings.CELERY_TASK_TIME_LIMIT > settings.CELERY_TASK_SOFT_TIME_LIMIT
