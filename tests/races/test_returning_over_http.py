"""Two hundred operators come back within 50 ms of the end of their grace, over HTTP, while two of Celery's workers expire what is due.

Two workers of the API answer them. Whoever is back first keeps the work; what goes back to the queue, goes at its time.
"""

import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.db import connection

from convalloc import clock
from convalloc.celery import DEADLINES, app
from conversations import allocation, grace
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators.models import Status
from tenants import isolation
from tenants.models import Event
from tests.conftest import assemble
from tests.conversations import invariants
from tests.conversations.test_tasks import running, until
from tests.factories import ConversationFactory, OperatorFactory
from tests.faults.test_many_of_each import UNGUARDED
from tests.races.over_http import Caller, callers, released

pytestmark = pytest.mark.xdist_group("over http")

PEOPLE, LINES, WORKERS = 200, 16, 2
AHEAD, APART, NEAR = 1.0, 0.01, 0.05  # seconds: until the first grace ends, from one end to the next, and how far from it somebody returns
EVENINGS = 20  # on a busy machine fewer of them land so near, and it takes more of these
WITHOUT_LOCKS = UNGUARDED.replace(
    "app.worker", "from operators import presence; presence.hold_many = lambda ids, **_: set(ids); app.worker"
)
SET_DEADLINES = """
    UPDATE grace_period_assignments g SET expires_at = e.at, opened_at = e.at - interval '15 minutes'
      FROM unnest(%s::bigint[], %s::timestamptz[]) AS e (operator_id, at)
     WHERE g.operator_id = e.operator_id AND g.ended_at IS NULL
"""


@contextmanager
def workers(folder: Path, code: str) -> Iterator[list[Path]]:
    """Two of Celery's workers, which take deadlines as fast as they can; their logs."""
    logs = [folder / f"worker {number}.log" for number in range(WORKERS)]
    with redis.Redis.from_url(settings.REDIS_URL) as broker, ExitStack() as started:
        broker.flushdb()
        for log in logs:
            started.enter_context(running(log, "-c", code.replace("'solo'", f"'solo', '--loglevel', 'INFO', '-n', '{log.stem[-1]}@races'")))
        for log in logs:
            until(lambda log=log: " ready." in log.read_text(), log)  # type: ignore[misc]
        yield logs


@contextmanager
def bells() -> Iterator[None]:
    """As if the beat rang all the time, and twice: a bell for each worker that is free."""
    over = threading.Event()

    def ring() -> None:
        with redis.Redis.from_url(settings.REDIS_URL) as broker:
            while not over.wait(NEAR / 3):
                for _ in range(int(broker.llen(DEADLINES)), WORKERS):
                    app.send_task("conversations.tasks.expire_grace_periods")

    ringing = threading.Thread(target=ring, daemon=True)
    ringing.start()
    try:
        yield
    finally:
        over.set()
        ringing.join()


class Evenings:
    """Everybody leaves with a conversation in hand, and comes back at about the end of the grace, one evening after the other."""

    def __init__(self, port: int) -> None:
        self.port, self.cast, self.luck = port, assemble(), random.Random()
        with isolation.act_as(self.cast.tenant.pk):
            self.people = [OperatorFactory.create(inboxes=[self.cast.support]) for _ in range(PEOPLE)]
            for _ in self.people:
                ConversationFactory.create(inbox=self.cast.support)
        self.early = 0.02  # seconds that a return is asked for before it is to happen: most of what an answer took of late
        self.inside = 0  # returns that landed within NEAR of the deadline, on the database's clock
        self.ends_met: set[str | None] = set()
        self.wrong: list[str] = []

    def another(self) -> None:
        """One evening, from the first who leaves to the last who is back."""
        last = self.everybody_leaves()
        with callers(self.port, self.people[:LINES]) as crowd, bells():
            released([partial(caller.call, "GET", "/inboxes") for caller in crowd])  # the first answer of a session takes its time
            self.grace_ends()
            released([partial(self.come_back, caller, first) for first, caller in enumerate(crowd)])
            time.sleep(2 * NEAR)  # nobody is due any more, and still the bells ring
        self.judge(last)

    def everybody_leaves(self) -> int:
        """Whoever holds nothing takes one first; the last event of all that."""
        with isolation.act_as(self.cast.tenant.pk):
            holders = set(Conversation.objects.filter(state=State.ALLOCATED).values_list("assigned_operator_id", flat=True))
            waiting = iter(Conversation.objects.filter(state=State.QUEUED).values_list("pk", flat=True))
            for operator in self.people:
                if operator.pk not in holders:
                    allocation.claim(operator.pk, next(waiting))
                grace.change_status(operator.pk, Status.OFFLINE, self.cast.tenant)
            return Event.objects.latest("pk").pk

    def grace_ends(self) -> None:
        """For one after another, from AHEAD on."""
        ends = {operator.pk: AHEAD + APART * number for number, operator in enumerate(self.people)}
        self.aims = {operator_id: end + self.luck.uniform(-0.8 * NEAR, 0.8 * NEAR) for operator_id, end in ends.items()}
        with isolation.act_as(self.cast.tenant.pk), connection.cursor() as cursor:
            self.began, now = time.monotonic(), clock.now()
            cursor.execute(SET_DEADLINES, [list(ends), [now + timedelta(seconds=end) for end in ends.values()]])

    def come_back(self, caller: Caller, first: int) -> None:
        """Some of the operators, one after the other."""
        for operator in self.people[first::LINES]:
            time.sleep(max(0.0, self.began + self.aims[operator.pk] - self.early - time.monotonic()))
            asked = time.monotonic()
            assert caller.call("PUT", f"/operators/{operator.pk}/status", {"status": "AVAILABLE"}, as_=operator).status == 200
            self.early += (0.7 * (time.monotonic() - asked) - self.early) / 4

    def judge(self, last: int) -> None:
        """By the log: who was back when, and whose work was taken when."""
        with isolation.act_as(self.cast.tenant.pk):
            back = {event.subject_id: event for event in Event.objects.filter(kind="operator.status_changed", pk__gt=last)}
            taken = {e.before["assigned_operator_id"]: e.pk for e in Event.objects.filter(kind="conversation.requeued", pk__gt=last)}
            ended = {period.operator_id: period for period in GracePeriod.objects.order_by("pk")}  # the last one of each
        for operator_id, period in ended.items():
            after = (back[operator_id].at - period.expires_at).total_seconds()
            self.inside += abs(after) <= NEAR
            self.ends_met.add(period.end_reason)
            in_time = period.ended_at is not None and period.ended_at >= period.expires_at
            if operator_id in taken and not (taken[operator_id] < back[operator_id].pk and in_time and after >= 0):
                self.wrong.append(f"{period}, back {after} s after its end, by event {back[operator_id].pk}; taken by {taken[operator_id]}")


def test_two_hundred_who_return_within_50_ms_of_the_end_lose_nothing_that_they_were_in_time_for(
    committed: None, product: int, tmp_path: Path
) -> None:
    evenings = Evenings(product)

    with workers(tmp_path, UNGUARDED) as logs:
        for _ in range(EVENINGS):
            evenings.another()
            if evenings.inside >= PEOPLE and evenings.ends_met == {"returned", "expired"}:
                break
        said = [log.read_text() for log in logs]

    assert evenings.wrong == []
    assert (evenings.inside >= PEOPLE, evenings.ends_met) == (True, {"returned", "expired"})
    assert all(re.search("'released': [1-9]", text) for text in said), "one of the workers has released nothing"
    invariants.assert_all(evenings.cast)


def test_control_without_the_operators_locks_the_clock_takes_from_who_is_back(committed: None, product: int, tmp_path: Path) -> None:
    evenings = Evenings(product)

    with workers(tmp_path, WITHOUT_LOCKS):
        for _ in range(EVENINGS):
            evenings.another()
            if evenings.wrong:
                return

    pytest.fail(f"nothing was taken wrongly in {EVENINGS} evenings")
