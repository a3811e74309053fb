"""Leases through the API's own processes: each of two hundred operators beats at the very end of their lease, while two workers sweep.

Whoever was heard is there, whoever was refused is lost, once, and keeps the work by coming back. Either order is right;
an answer that the database contradicts is not.
"""

import random
import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from convalloc import clock
from conversations import allocation, silence
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators import leases
from operators.models import OperatorStatus, PresencePeriod, Status
from tenants import isolation
from tenants.models import Event
from tests.conftest import Answer, assemble
from tests.conversations import invariants
from tests.factories import ConversationFactory, OperatorFactory
from tests.operators.test_leases import with_leases
from tests.races.over_http import Caller, callers, released

pytestmark = pytest.mark.xdist_group("over http")

PEOPLE, LINES, SWEEPERS = 200, 16, 2
LEASE = timedelta(seconds=60)
AHEAD, LASTS, AROUND = 0.5, 1.0, 0.05  # seconds: until the first lease ends, until the last, and how far from its end a beat may come
ROUNDS = 10


class Rush:
    """One rush, from its preparation to its end: what each operator was answered, and how many the workers declared lost."""

    def __init__(self, port: int) -> None:
        self.cast = assemble()
        with_leases(self.cast, int(LEASE.total_seconds()))
        with isolation.act_as(self.cast.tenant.pk):
            self.people = [OperatorFactory.create(inboxes=[self.cast.support]) for _ in range(PEOPLE)]
            for operator in self.people[::5]:
                allocation.claim(operator.pk, ConversationFactory.create(inbox=self.cast.support).pk)
        self.answers: dict[int, Answer] = {}
        self.faults: list[Any] = []
        self.swept: list[int] = []
        self.over = threading.Event()
        with callers(port, self.people[:LINES]) as crowd:
            self.began = self.leases_end()
            released([lambda: self.watches(crowd), *[self.sweeps] * SWEEPERS])
            self.judge()
            released([partial(self.returns, caller, first) for first, caller in enumerate(crowd)])

    def leases_end(self) -> float:
        """The leases end one after another, from AHEAD on; the beginning, on the clock of this process."""
        with isolation.act_as(self.cast.tenant.pk):
            began, now = time.monotonic(), clock.now()
            everybody = [operator.pk for operator in self.people]
            OperatorStatus.objects.filter(operator_id__in=everybody).update(last_status_change_at=now - 2 * LEASE)
            PresencePeriod.objects.filter(operator_id__in=everybody).update(started_at=now - 2 * LEASE)
            for number, operator in enumerate(self.people):
                heard = now - LEASE + timedelta(seconds=self.end_of(number))
                OperatorStatus.objects.filter(operator_id=operator.pk).update(seen_at=heard)
        return began

    def end_of(self, number: int) -> float:
        """When an operator's lease ends, in seconds after the beginning."""
        return AHEAD + LASTS * number / PEOPLE

    def beats(self, caller: Caller, first: int) -> None:
        """Some of the operators, each of them at the end of their lease, a little before or after."""
        luck = random.Random(first)
        for number in range(first, PEOPLE, LINES):
            time.sleep(max(0.0, self.began + self.end_of(number) + luck.uniform(-AROUND, AROUND) - time.monotonic()))
            operator = self.people[number]
            self.answers[operator.pk] = caller.call("POST", f"/operators/{operator.pk}/heartbeat", as_=operator)

    def sweeps(self) -> None:
        """What the beat rings for each minute, all the time."""
        while not self.over.is_set():
            self.swept.append(silence.declare_lost().lost)
        connection.close()

    def watches(self, crowd: list[Caller]) -> None:
        """Let everybody beat, and end it when all were answered."""
        try:
            released([partial(self.beats, caller, first) for first, caller in enumerate(crowd)])
        finally:
            self.over.set()

    def judge(self) -> None:
        """Whatever the database contradicts, of what was answered."""
        with isolation.act_as(self.cast.tenant.pk):
            now = dict(OperatorStatus.objects.values_list("operator_id", "status"))
            told = list(Event.objects.filter(kind="operator.status_changed", cause=leases.LOST).values_list("subject_id", flat=True))
            early = OperatorStatus.objects.filter(status=Status.OFFLINE, last_status_change_at__lt=F("seen_at") + LEASE)
            self.faults += [("lost before their time", id_) for id_ in early.values_list("operator_id", flat=True)]
        for id_, answer in self.answers.items():
            said = answer.status, answer.body.get("code"), answer.body.get("details", {}).get("reason")
            if (said, now[id_], told.count(id_)) not in (
                ((200, None, None), Status.AVAILABLE, 0),
                ((409, "operator_offline", leases.LOST), Status.OFFLINE, 1),
            ):
                self.faults.append((id_, said, now[id_], told.count(id_)))
        if self.lost != len(told):
            self.faults.append(("the workers counted", self.lost, "and the log tells of", len(told)))

    def returns(self, caller: Caller, first: int) -> None:
        """Who was refused, says that they are there."""
        for operator in self.people[first::LINES]:
            if self.answers[operator.pk].status == 409:
                self.answers[operator.pk] = caller.call("PUT", f"/operators/{operator.pk}/status", {"status": "AVAILABLE"}, as_=operator)

    @property
    def lost(self) -> int:
        """How many the workers declared lost."""
        return sum(self.swept)

    @property
    def kept(self) -> list[int]:
        """Who still holds what they held, and nothing is after it."""
        with isolation.act_as(self.cast.tenant.pk):
            assert not GracePeriod.objects.filter(ended_at__isnull=True).exists()
            held = Conversation.objects.filter(state=State.ALLOCATED).order_by("assigned_operator_id")
            return list(held.values_list("assigned_operator_id", flat=True))


def test_two_hundred_who_beat_as_their_lease_ends_are_heard_or_lost_as_they_are_told(committed: None, product: int) -> None:
    for _ in range(ROUNDS):
        rush = Rush(product)

        assert rush.faults == []
        assert rush.kept == [operator.pk for operator in rush.people[::5]]
        invariants.assert_all(rush.cast)
        if 0 < rush.lost < PEOPLE:
            return
    pytest.fail("nobody was heard, or nobody was lost, in any round: nothing met")


def test_control_without_a_second_look_somebody_is_lost_whose_beat_was_heard(
    committed: None, product: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "over_since", lambda operator_id: timedelta())

    faults = (fault for _ in range(ROUNDS) for fault in Rush(product).faults)

    assert any((200, None, None) in fault for fault in faults)
