"""A hunt through the API's own processes: every endpoint that writes, at random, by many callers at once, on few rows."""

import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

from convalloc import clock
from conversations import expiry, ingest, recalculation, silence
from conversations.ingest import Message
from conversations.models import Conversation, GracePeriod
from conversations.states import State
from operators.api.permissions import MATRIX, Reach
from operators.models import Operator, Role, Status
from tenants import isolation
from tests.conftest import Answer, assemble
from tests.contract.routes import (
    API_KEY,
    CONVERSATION,
    DELIVERY,
    GRACE,
    INBOX,
    LABEL,
    OPERATOR,
    ROUTES,
    SESSION,
    SIGNING_SECRET,
    WEBHOOK,
    Route,
    call,
    session,
    webhook,
)
from tests.races.crowd import PATIENCE_SECONDS
from tests.races.over_http import Caller, callers, released, served
from tests.races.test_acts import deadlocks
from tests.races.test_grace import AN_HOUR

WRITES = [route for route in ROUTES if route.method != "GET" and route.operation != "conversation-search"]
CALLERS = 16
ROWS = 20
HOT = 2  # of the rows, and of the people
SECONDS = float(os.environ.get("HUNT_SECONDS", "3"))  # 60 in `make hunt`
OF_ADMINS = {route.operation for route in WRITES if MATRIX[route.operation][Role.MANAGER] is Reach.NOBODY}
WORDS = 5  # label names: few, so that they meet

# What a call says beside its ids, where the same words each time would change nothing.
Words = Callable[[random.Random], dict[str, Any]]


def force(luck: random.Random) -> dict[str, Any]:
    """A manager's word, every other time."""
    return luck.choice([{}, {"force": True, "reason": "a hunt"}])


VARIED: dict[str, Words] = {
    "operator-change-status": lambda luck: luck.choice(
        [{"status": "OFFLINE", "release": "now"}, *({"status": status} for status in [*Status.values, *[Status.AVAILABLE.value] * 4])]
    ),
    "conversation-allocate": lambda luck: luck.choice([{}, {"count": 3}]),
    "conversation-manager-allocate": force,
    "conversation-reassign": force,
    "operator-change-capacity": lambda luck: {"own_limit": luck.choice([None, 3, 10])},
    "label-create": lambda luck: {"name": f"word {luck.randrange(WORDS)}"},
    "ingest-messages": lambda luck: {
        "message_id": f"SM{luck.randrange(10_000)}",
        "external_conversation_id": f"whatsapp-{luck.randrange(WORDS)}",
        "direction": luck.choice(["inbound", "outbound"]),
    },
    "label-update": lambda luck: {"name": f"word {luck.randrange(WORDS)}"},
    "tenant-change": lambda luck: luck.choice(
        [
            {"priority_alpha": luck.randint(1, 9)},
            {"operator_capacity": luck.choice([None, 5, 10])},
            {"cooldown_minutes": luck.randint(0, 9)},
            {"lease_seconds": luck.choice([None, 30, 60])},
            {"resolved_conversations_days": luck.choice([None, 1, 30])},
            {"events_kept_days": luck.choice([None, 7, 30])},
        ]
    ),
}


class Hunt:
    """One hunt, from its start to the end of its server: what was answered, what the rest of the system ran into, and the deadlocks.

    application: whose processes answer. enough: ends the hunt; so does patience. rows: how many conversations.
    """

    def __init__(self, application: str, folder: Path, enough: Callable[["Hunt"], bool], rows: int = ROWS) -> None:
        self.cast, self.enough = assemble(), enough
        self.people = [self.cast.olga, self.cast.otto, self.cast.operator(inboxes=[self.cast.sales]), self.cast.mia, self.cast.ada]
        self.rows = [self.cast.conversation(minutes_ago=n * 200).pk for n in range(rows)]
        self.sessions = {person.pk: [session(self.cast, person).pk] for person in self.people}
        self.graces, self.keys, self.secrets = [1], [1], [1]
        self.hooks = [webhook(self.cast)]  # with a delivery of each
        self.labels = [self.cast.label(name=f"word {n}").pk for n in range(WORDS)]
        self.answers: Counter[tuple[str, str]] = Counter()
        self.problems: list[Exception] = []
        self.over = threading.Event()
        with served(application, folder) as port, callers(port, [self.cast.mia] * CALLERS) as crowd:
            before, self.began = deadlocks(), time.monotonic()
            acts = [lambda caller=caller, seed=seed: self.calls(caller, random.Random(seed)) for seed, caller in enumerate(crowd)]
            released([*acts, self.beats, self.watches])
            expiry.expire_due()  # what the last of the hours left due
        self.deadlocks = deadlocks() - before

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self.began

    @property
    def faults(self) -> dict[str, int]:
        """Answers that no caller may get, whatever happens: 5xx, by operation."""
        return {f"{operation}: {said}": number for (operation, said), number in self.answers.items() if said >= "500"}

    @property
    def unwritten(self) -> set[str]:
        """Operations that have not succeeded yet."""
        return {route.operation for route in WRITES} - {operation for operation, said in self.answers if said < "300"}

    def calls(self, caller: Caller, luck: random.Random) -> None:
        """Call whatever writes, as whoever."""
        while not self.over.is_set():
            route = luck.choice(WRITES)
            method, path, body = call(route, self.ids(luck))
            words = VARIED.get(route.operation, lambda luck: {})(luck)
            answer = caller.call(method, path, (body or {}) | words, as_=self.somebody(route.operation, luck))
            self.hears(route, path, answer)

    def ids(self, luck: random.Random) -> dict[str, int]:
        """One thing of each kind; every other time a hot one, so that calls meet."""
        inbox, hot = luck.choice([self.cast.support, self.cast.sales]), luck.random() < 0.5
        rows, people = (self.rows[:HOT], self.people[:HOT]) if hot else (self.rows, self.people)
        operator = luck.choice(people).pk
        return {
            CONVERSATION: luck.choice(rows),
            OPERATOR: operator,
            SESSION: luck.choice(self.sessions[operator]),
            INBOX: inbox.pk,
            LABEL: luck.choice(self.labels or [1]),
            GRACE: luck.choice(self.graces),
            API_KEY: luck.choice(self.keys),
            SIGNING_SECRET: luck.choice(self.secrets),
            WEBHOOK: (hook := luck.choice(self.hooks))[0],
            DELIVERY: hook[1],
        }

    def somebody(self, operation: str, luck: random.Random) -> Operator:
        """Who calls: mostly somebody who may."""
        managers: list[Operator] = [self.cast.mia, self.cast.ada]
        likely = {operation: [self.cast.ada] for operation in OF_ADMINS} | {
            "conversation-release": self.people[:HOT],
            "presence-heartbeat": self.people[:HOT],
        }
        somebody: Operator = luck.choice(likely.get(operation, managers) if luck.random() < 0.8 else self.people)
        return somebody

    def hears(self, route: Route, path: str, answer: Answer) -> None:
        """Count it, and keep the lists of what there is."""
        self.answers[route.operation, f"{answer.status} {answer.body.get('code', '')}".strip()] += 1
        if route.operation == "label-create" and answer.status == 201:
            self.labels.append(answer.data["id"])
        if route.operation == "api-key-create" and answer.status == 201:
            self.keys.append(answer.data["id"])
        if route.operation == "signing-secret-create" and answer.status == 201:
            self.secrets.append(answer.data["id"])
        if route.operation == "webhook-test" and answer.status == 200:
            self.hooks.append((int(path.split("/")[2]), answer.data["id"]))
        if route.operation == "webhook-create" and answer.status == 201:
            self.hooks.append((answer.data["id"], 1))
        if route.operation == "webhook-destroy" and answer.status == 200:
            self.hooks = [hook for hook in self.hooks if str(hook[0]) != path.rpartition("/")[2]] or [(1, 1)]
        if route.operation == "label-destroy" and answer.status == 200:
            self.labels.remove(int(path.rpartition("/")[2]))

    def beats(self) -> None:
        """What the beat does each minute, much more often; time passes for grace, and what is resolved gives way to something new."""
        acts: list[Callable[[], Any]] = [
            silence.declare_lost,
            expiry.expire_due,
            recalculation.tick,
            self.an_hour_passes,
            self.customers_write,
            self.everybody_signs_in,
        ]
        while not self.over.wait(0.05):
            for act in acts:
                try:
                    act()
                except Exception as problem:
                    self.problems.append(problem)
        connection.close()

    def an_hour_passes(self) -> None:
        """For one grace period after another: together they would be locked against the order."""
        with isolation.act_as(self.cast.tenant.pk):
            opened = list(GracePeriod.objects.filter(ended_at__isnull=True))
        self.graces = [period.pk for period in opened] or self.graces
        for period in opened:
            with isolation.act_as(self.cast.tenant.pk):
                earlier = {"opened_at": period.opened_at - AN_HOUR, "expires_at": period.expires_at - AN_HOUR}
                GracePeriod.objects.filter(pk=period.pk).update(**earlier)

    def customers_write(self) -> None:
        """Who was done with writes once more: their conversation comes back."""
        with isolation.act_as(self.cast.tenant.pk):
            done = Conversation.objects.filter(pk__in=self.rows, state=State.RESOLVED)
            told = [
                Message(uuid.uuid4().hex, row.external_conversation_id, row.inbox_id, row.customer_phone_number, "inbound", clock.now())
                for row in done
            ]
            ingest.receive(self.cast.tenant, told)

    def everybody_signs_in(self) -> None:
        """Once more; what they did not sign out of goes on."""
        for person in self.people:
            self.sessions[person.pk] = [*self.sessions[person.pk][-HOT:], session(self.cast, person).pk]

    def watches(self) -> None:
        """End it."""
        while not self.enough(self) and self.seconds < SECONDS + PATIENCE_SECONDS:
            self.over.wait(0.1)
        self.over.set()

    def report(self) -> str:
        """For a person: how often each call was answered how."""
        lines = [f"{number:7} {operation}: {said}" for (operation, said), number in sorted(self.answers.items())]
        return "\n".join([f"{self.seconds:.0f} s, {self.answers.total()} calls, {self.deadlocks} deadlocks", *lines])
