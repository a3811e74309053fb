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
from operators.models import Operator, OperatorStatus, PresencePeriod, Status
from tenants import eventlog, isolation, tuning
from tenants.models import Event, Tenant
from tests.conftest import assemble
from tests.faults.checker import SETTINGS, Verdict, check
from tests.faults.clients import LEASE_SECONDS, SILENT, Client, Ground
from tests.faults.evidence import Blow, broken_off, done_by_the_clock, missing
from tests.faults.history import Call, Entry, Outcome, Period, Rows, Shown
from tests.faults.mischief import Fault, Target
from tests.faults.recovery import Ends, ends_of
from tests.faults.stack import PATIENCE_SECONDS, Stack
from tests.operators.test_leases import silent_for

CLIENTS = 12
WEIGHTS = {"priority_alpha", "priority_beta"}
BREATH_SECONDS = 0.3  # between two faults
LONG_AGO_SECONDS = 7200
AT_WORK_SECONDS = 3  # until somebody is declared lost who gives no sign of life
KEPT = "SELECT id, conversation_id FROM grace_period_assignments WHERE tenant_id = %s AND ended_at IS NULL"
AT_WORK = f"SELECT operator_id FROM operator_status WHERE tenant_id = %s AND status <> '{Status.OFFLINE}'"
TICKED = "SELECT ended_at FROM ticks WHERE task = 'expire_grace_periods'"
# An hour passes, in no order of locks: whoever is in the way is passed by, and meets it the next time.
FOR_WHO_IS_AWAY = """
    UPDATE grace_period_assignments SET opened_at = opened_at - interval '1 hour', expires_at = expires_at - interval '1 hour'
     WHERE id IN (SELECT id FROM grace_period_assignments
                   WHERE tenant_id = %s AND ended_at IS NULL AND expires_at > now() AND opened_at <= now() - %s * interval '1 second'
                     FOR NO KEY UPDATE SKIP LOCKED)
"""
# What keeps the silent from being declared lost is that leases began a moment ago; who was heard meanwhile keeps their own.
FOR_THE_SILENT = """
    UPDATE tenants SET leases_from = leases_from - interval '1 hour'
     WHERE id IN (SELECT id FROM tenants WHERE id = %s AND leases_from > now() - interval '1 minute' FOR NO KEY UPDATE SKIP LOCKED)
"""


class Chaos:
    """One run on a stack that is whole, with so many unresolved conversations at any time: few, so that the clients meet.

    port: of the API that the clients call; the stack's own without it.
    """

    def __init__(self, stack: Stack, seed: int, port: int | None = None, rows: int = 40) -> None:
        self.stack, self.cast, self.luck = stack, assemble(), Random(seed)
        self.inboxes = [self.cast.support, self.cast.sales]  # everybody answers at both: whatever waits, waits for each of them
        operators = [self.cast.olga, *(self.cast.operator(inboxes=self.inboxes) for _ in range(3))]
        self.ground = Ground(
            port or stack.port,
            operators,
            self.newcomer(silent_seconds=0),
            manager=self.cast.mia,
            admin=self.cast.ada,
            inboxes=[inbox.pk for inbox in self.inboxes],
        )
        self.blows: list[Blow] = []
        self.ticks: list[float] = []  # when one was seen to have ended well
        self.by_the_clock = Counter[str]()  # under fire
        self.rows, self.recovered, self.drained_at = rows, 0.0, 0.0
        self.drained = self.days = 0
        self._ticked: Any = None

    # --- the run ------------------------------------------------------------------------------------

    def run(self, faults: Iterable[Fault]) -> None:
        """Let all of these happen while the clients work, in this order."""
        target = Target(self.stack, self.cast.tenant.pk, self.luck, self.resets)
        with self.a_day_at_work():
            time.sleep(BREATH_SECONDS)
            for fault in faults:
                self.blows.append(self.strike(fault, target))
                time.sleep(BREATH_SECONDS)
            self.stack.until(self.everybody_works_again)
        self.by_the_clock = done_by_the_clock(self.log())

    def strike(self, fault: Fault, target: Target) -> Blow:
        """Let it happen, and write down what was to be seen of it."""
        before = broken_off(self.ground.history)
        with fault(target) as aim:
            during = target.look()
        after = target.look()
        return Blow(fault.__name__, aim, during, after, broken_off(self.ground.history) - before)

    def resets(self) -> None:
        """Clients break off their calls, until some have."""
        before = broken_off(self.ground.history)
        self.ground.resets.set()
        self.stack.until(lambda: broken_off(self.ground.history) > before + CLIENTS // 3)
        self.ground.resets.clear()

    def everybody_works_again(self) -> bool:
        """Whether everybody has had an act done since the last blow; and the beat a tick, if there is one."""
        if not self.blows:
            return True
        ends = self.ends(self.blows[-1])
        return ends.answers is not None and (ends.ticks is not None or not self.stack.beat.runs)

    def ends(self, blow: Blow) -> Ends:
        """When this blow was over for whom."""
        return ends_of(blow, self.ground.history, self.ticks)

    def aches(self) -> list[float]:
        """For how many seconds each blow was felt, by clients and by the beat, after it was undone."""
        return [end - blow.undone for blow in self.blows for end in self.ends(blow) if end is not None]

    def missing(self) -> list[str]:
        """What the run must have had, and has not had so far."""
        return missing(self.blows, self.ground.history, self.log())

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
        """From here on a sign of life is written down; the first is that of somebody whom nothing else keeps at work."""
        opener = Client(f"day-{self.days}-opener", self.ground, self.luck)
        assert_ok(opener.tune(lease_seconds=LEASE_SECONDS))
        assert_ok(opener.give_a_sign_of_life(self.ground.faithful))
        opener.hang_up()

    def customers_write(self, over: threading.Event) -> None:
        """New conversations in the place of those that are resolved."""
        while not over.wait(0.1):
            with suppress(psycopg.OperationalError):
                self.look()
                self.write()
                self.hire()
                self.an_hour_passes(away_seconds=0.5)
        connection.close()

    def hire(self) -> None:
        """In the place of whoever was declared lost comes somebody else who takes work and gives no sign of life."""
        at_work = {pk for (pk,) in self.stack.command(AT_WORK, self.cast.tenant.pk)}
        if len(at_work & {operator.pk for operator in self.ground.silent}) == SILENT:
            return
        try:
            self.ground.silent.append(self.newcomer(silent_seconds=LEASE_SECONDS - AT_WORK_SECONDS))
        except (DatabaseError, InterfaceError, OutcomeUnknown):
            connection.close()

    def newcomer(self, *, silent_seconds: float) -> Operator:
        """Somebody who was last heard so long ago, and whose status is older than any lease: only signs of life can keep them."""
        with isolation.act_as(self.cast.tenant.pk):
            operator: Operator = self.cast.operator(inboxes=self.inboxes)
            silent_for(self.cast, operator, LONG_AGO_SECONDS)
            heard = clock.now() - timedelta(seconds=silent_seconds)
            OperatorStatus.objects.filter(operator_id=operator.pk).update(seen_at=heard)
        return operator

    def an_hour_passes(self, *, away_seconds: float) -> None:
        """For whoever keeps work over an absence of so long, and for whoever is silent."""
        self.stack.command(FOR_WHO_IS_AWAY, self.cast.tenant.pk, away_seconds)
        self.stack.command(FOR_THE_SILENT, self.cast.tenant.pk)

    def look(self) -> None:
        """What the clients know of the queue; and whether a tick has ended."""
        rows = self.stack.command(
            "SELECT id, assigned_operator_id FROM conversations WHERE tenant_id = %s AND state <> 'RESOLVED'", self.cast.tenant.pk
        )
        self.ground.waiting[:] = [pk for pk, holder in rows if holder is None]
        self.ground.held[:] = [(pk, holder) for pk, holder in rows if holder is not None]
        self.ground.kept[:] = self.stack.command(KEPT, self.cast.tenant.pk)
        if (ticked := self.stack.command(TICKED)) != self._ticked:
            self.ticks.append(time.monotonic())
            self._ticked = ticked

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
        manager = Client("healer", self.ground, self.luck)
        self.stack.heal(self.stack.api, self.stack.worker, self.stack.beat)
        for operator in (*self.ground.operators, self.ground.faithful, *self.ground.silent):
            assert_ok(manager.set_status(operator, "OFFLINE"))
        self.stack.until(self.everything_waits)
        self.recovered = time.monotonic()
        for operator in self.ground.operators:
            assert_ok(manager.set_status(operator, "AVAILABLE"))
        manager.hang_up()

    def everything_waits(self) -> bool:
        """Whether nobody holds anything; time passes."""
        self.an_hour_passes(away_seconds=0)
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
        self.drained_at = time.monotonic()

    def judge(self) -> Verdict:
        """What the checker finds."""
        log = self.log()
        with isolation.act_as(self.cast.tenant.pk):
            return check(self.ground.history, log, self.stands())

    def log(self) -> list[Entry]:
        """The tenant's, so far."""
        connection.close()  # the last thing that was asked on it may have been asked before a crash
        fields = "pk", "kind", "subject_id", "before", "after", "request_id", "cause", "at"
        with isolation.act_as(self.cast.tenant.pk):
            return [spelled(Entry(*facts)._replace(at=clock.instant(at))) for *facts, at in Event.objects.values_list(*fields)]

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
            LEASE_SECONDS,
            as_numbers({name: getattr(tenant, name) for name in tuning.SETTINGS}),
        )


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
