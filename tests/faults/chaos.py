"""A run: clients work while things go wrong; then all is healed, the queue is emptied, and history, log and rows are compared."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Greatest

from convalloc import clock
from convalloc.errors import OutcomeUnknown
from conversations.models import Assignment, Conversation
from operators.models import OperatorStatus, PresencePeriod
from tenants import eventlog, isolation, tuning
from tenants.models import Event, Tenant
from tests.conftest import assemble
from tests.faults.checker import SETTINGS, Verdict, check
from tests.faults.clients import LEASE_SECONDS, Client, Ground
from tests.faults.history import Call, Entry, Outcome, Period, Rows, Shown
from tests.faults.mischief import Fault, Target
from tests.faults.stack import PATIENCE_SECONDS, Stack

CLIENTS = 12
WEIGHTS = {"priority_alpha", "priority_beta"}
BREATH_SECONDS = 0.3  # between two faults
KEPT = "SELECT id, conversation_id FROM grace_period_assignments WHERE tenant_id = %s AND ended_at IS NULL"
# In no order of locks: whoever is in the way is passed by, and meets it the next time.
AN_HOUR_PASSES = """
    UPDATE grace_period_assignments SET opened_at = opened_at - interval '1 hour', expires_at = expires_at - interval '1 hour'
     WHERE id IN (SELECT id FROM grace_period_assignments WHERE tenant_id = %s AND ended_at IS NULL FOR NO KEY UPDATE SKIP LOCKED)
"""


class Chaos:
    """One run on a stack that is whole, with so many unresolved conversations at any time: few, so that the clients meet.

    port: of the API that the clients call; the stack's own without it.
    """

    def __init__(self, stack: Stack, seed: int, port: int | None = None, rows: int = 40) -> None:
        self.stack, self.cast, self.luck = stack, assemble(), Random(seed)
        inboxes = [self.cast.support, self.cast.sales]  # everybody answers at both: whatever waits, waits for each of them
        operators = [self.cast.olga, *(self.cast.operator(inboxes=inboxes) for _ in range(3))]
        people = operators, self.cast.mia, self.cast.ada
        self.ground = Ground(port or stack.port, *people, [inbox.pk for inbox in inboxes], [], [], [], [], threading.Event())
        self.faults: list[tuple[str, float, float]] = []  # from when to when
        self.rows, self.seconds_to_recover = rows, 0.0
        self.drained = self.days = 0

    # --- the run ------------------------------------------------------------------------------------

    def run(self, faults: Iterable[Fault]) -> None:
        """Let all of these happen while the clients work, in this order."""
        target = Target(self.stack, self.cast.tenant.pk, self.luck, self.resets)
        with self.a_day_at_work():
            time.sleep(BREATH_SECONDS)
            for fault in faults:
                began = time.monotonic()
                fault(target)
                time.sleep(BREATH_SECONDS)
                self.faults.append((fault.__name__, began, time.monotonic()))

    def resets(self) -> None:
        """Clients break off their calls, until some have."""
        unheard = self.unheard
        self.ground.resets.set()
        self.stack.until(lambda: self.unheard > unheard + CLIENTS // 3)
        self.ground.resets.clear()

    @property
    def unheard(self) -> int:
        """How many calls ended without an answer."""
        return sum(call.outcome is Outcome.UNKNOWN for call in self.ground.history)

    @contextmanager
    def a_day_at_work(self) -> Iterator[None]:
        """In here clients call, customers write, and time passes. Everybody has gone home afterwards."""
        over = threading.Event()
        self.days += 1
        clients = [Client(f"day-{self.days}-client-{number}", self.ground, Random(self.luck.random())) for number in range(CLIENTS)]
        acts = [lambda client=client: client.work(over) for client in clients]
        threads = [threading.Thread(target=act, daemon=True) for act in [*acts, lambda: self.customers_write(over)]]
        self.write()
        self.begin_leases()
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join(PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in threads), "somebody is still at work"

    def begin_leases(self) -> None:
        """From here on a sign of life is written down."""
        opener = Client(f"day-{self.days}-opener", self.ground, self.luck)
        assert_ok(opener.tune(lease_seconds=LEASE_SECONDS))
        opener.hang_up()

    def customers_write(self, over: threading.Event) -> None:
        """New conversations in the place of those that are resolved."""
        while not over.wait(0.1):
            with suppress(psycopg.OperationalError):
                self.look()
                self.write()
        connection.close()

    def look(self) -> None:
        """What the clients know of the queue; and an hour passes for whoever keeps work over an absence."""
        rows = self.stack.command(
            "SELECT id, assigned_operator_id FROM conversations WHERE tenant_id = %s AND state <> 'RESOLVED'", self.cast.tenant.pk
        )
        self.ground.waiting[:] = [pk for pk, holder in rows if holder is None]
        self.ground.held[:] = [(pk, holder) for pk, holder in rows if holder is not None]
        self.ground.kept[:] = self.stack.command(KEPT, self.cast.tenant.pk)
        self.stack.command(AN_HOUR_PASSES, self.cast.tenant.pk)

    def write(self) -> None:
        """As many as are missing, until one fails."""
        for _ in range(self.rows - len(self.ground.waiting) - len(self.ground.held)):
            if self.create().outcome is not Outcome.OK:
                return

    def create(self) -> Call:
        """A customer writes. It is a call as any other, past HTTP."""
        id_, began, shown = f"customer-{len(self.ground.history)}", time.monotonic(), tuple[Shown, ...]()
        try:
            with eventlog.caused_by(None, id_):
                row = self.cast.conversation(inbox=self.luck.choice([self.cast.support, self.cast.sales]))
            outcome, shown = Outcome.OK, (Shown(row.pk, row.state, row.assigned_operator_id, row.version, row.inbox_id),)
        except OutcomeUnknown:
            outcome = Outcome.UNKNOWN
        except (DatabaseError, InterfaceError):
            outcome = Outcome.FAIL
        if outcome is not Outcome.OK:
            connection.close()
        call = Call(id_, "create", began, time.monotonic(), outcome, shown=shown)
        self.ground.history.append(call)
        return call

    # --- afterwards ---------------------------------------------------------------------------------

    def heal(self) -> None:
        """Start what does not run, and let the product itself take back what is held: everybody leaves, and an hour passes."""
        began, manager = time.monotonic(), Client("healer", self.ground, self.luck)
        self.stack.heal(self.stack.api, self.stack.worker, self.stack.beat)
        for operator in self.ground.operators:
            assert_ok(manager.set_status(operator, "OFFLINE"))
        self.stack.until(self.everything_waits)
        self.seconds_to_recover = time.monotonic() - began
        for operator in self.ground.operators:
            assert_ok(manager.set_status(operator, "AVAILABLE"))
        manager.hang_up()

    def everything_waits(self) -> bool:
        """Whether nobody holds anything."""
        self.look()
        return not self.ground.held

    def drain(self) -> None:
        """Hand out and resolve all that waits."""
        self.look()
        olga, client, waiting = self.cast.olga, Client("drain", self.ground, self.luck), set(self.ground.waiting)
        while given := assert_ok(client.ask("allocate", olga, operator_id=olga.pk, count=100)).shown:
            for shown in given:
                waiting.remove(shown.conversation)
                assert_ok(client.ask("resolve", olga, conversation_id=shown.conversation))
                self.drained += 1
        client.hang_up()
        assert not waiting, f"nobody can be given {waiting}"

    def judge(self) -> Verdict:
        """What the checker finds."""
        with isolation.act_as(self.cast.tenant.pk):
            log = Event.objects.values_list("pk", "kind", "subject_id", "before", "after", "request_id")
            return check(self.ground.history, [spelled(Entry(*event)) for event in log], self.stands())

    def stands(self) -> Rows:
        """The rows as they are."""
        conversations = Conversation.objects.values_list("pk", "state", "assigned_operator_id", "version", "inbox_id")
        held = Assignment.objects.filter(ended_at=None).values_list("conversation_id", "operator_id")
        presence = PresencePeriod.objects.order_by("pk").values_list("operator_id", "status", "started_at")
        tenant, lease = Tenant.objects.get(), timedelta(seconds=LEASE_SECONDS)
        heard = Greatest("seen_at", "last_status_change_at", "operator__tenant__leases_from")
        return Rows(
            tuple(Shown(*row) for row in conversations),
            tuple(held),
            tuple(Period(operator, status, clock.instant(since)) for operator, status, since in presence),
            {operator: clock.instant(last + lease) for operator, last in OperatorStatus.objects.values_list("operator_id", heard)},
            as_numbers({name: getattr(tenant, name) for name in tuning.SETTINGS}),
        )

    def report(self, verdict: Verdict) -> str:
        """For a person: the figures, and how each kind of call ended."""
        history = self.ground.history
        outcomes = Counter(call.outcome.value for call in history)
        figures = [f"{len(history)} operations: {dict(outcomes)}"]
        figures += [f"{name} {len(found)}" for name, found in vars(verdict).items()]
        figures += [f"{self.seconds_to_recover:.1f} s until everything waited again, {self.drained} handed out and resolved"]
        said = Counter((call.act, call.said) for call in history)
        calls = [f"{number:7} {act}: {how}" for (act, how), number in sorted(said.items())]
        return "\n".join([*figures, *self.around_the_faults(), *calls]) + "\n"

    def around_the_faults(self) -> Iterator[str]:
        """How often each happened, and how the calls ended that ended meanwhile."""
        for fault in sorted({name for name, _, _ in self.faults}):
            times = [(began, ended) for name, began, ended in self.faults if name == fault]
            ends = Counter(call.outcome.value for call in self.ground.history if any(began <= call.ended < ended for began, ended in times))
            yield f"{len(times):7} times {fault}: {dict(ends)}"


def spelled(entry: Entry) -> Entry:
    """The log spells weights as they were written, answers as numbers."""
    return entry._replace(before=as_numbers(entry.before), after=as_numbers(entry.after)) if entry.kind == SETTINGS else entry


def as_numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with their weights as numbers."""
    return {name: float(value) if name in WEIGHTS else value for name, value in settings.items()}


def assert_ok(call: Call) -> Call:
    """Nothing is wrong any more: nobody may be refused."""
    assert call.outcome is Outcome.OK, f"{call} after all was healed"
    return call
