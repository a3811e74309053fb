"""Clients work while everything goes wrong that can; afterwards nobody was told anything that is not so. `make chaos`: for minutes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from tests import production
from tests.faults import mischief
from tests.faults.chaos import Chaos
from tests.faults.checker import Verdict
from tests.faults.history import Outcome
from tests.faults.report import report
from tests.faults.stack import TICK_SECONDS, Stack
from tests.races.over_http import WITHOUT_LOCKS

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
SEED = int(os.environ.get("CHAOS_SEED", "0"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "0"))  # 0: every fault once
ROUNDS = 3  # at most, where the time is over
LOOKS = 5  # of the doctor, a tick apart
HANG_SECONDS = 180.0  # nobody measures by this: what takes so long would take for ever


def doctor(stack: Stack, tenant_id: int) -> None:
    """`manage.py doctor` finds nothing to worry about, once ticks have ended that met nothing late any more."""
    command = [sys.executable, "manage.py", "doctor", "--strict", "--tenant", str(tenant_id)]
    for _ in range(LOOKS):
        done = subprocess.run(command, cwd=production.BASE, env=stack.environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(TICK_SECONDS)
    raise AssertionError(done.stdout + done.stderr)


@contextmanager
def forgetful(stack: Stack) -> Iterator[None]:
    """PostgreSQL says that it keeps what it has not written down yet."""
    stack.command("ALTER SYSTEM SET synchronous_commit = off")
    stack.command("ALTER SYSTEM SET wal_writer_delay = '10s'")
    stack.command("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        stack.command("ALTER SYSTEM RESET ALL")
        stack.command("SELECT pg_reload_conf()")


def faults(chaos: Chaos) -> Iterator[mischief.Fault]:
    """All of them in an order that the seed decides, until the time is over; and again, where something has not happened yet."""
    until = time.monotonic() + SECONDS
    for number in count(1):
        yield from chaos.luck.sample(mischief.ALL, len(mischief.ALL))
        if time.monotonic() > until and (number >= ROUNDS or not chaos.missing()):
            return


def test_whatever_goes_wrong_nothing_is_lost_nothing_is_doubled_and_nobody_was_told_what_is_not_so(stack: Stack) -> None:
    stack.heal(stack.api, stack.worker, stack.beat)
    stack.await_worker()
    chaos = Chaos(stack, SEED)

    chaos.run(faults(chaos))
    missing = chaos.missing()
    chaos.heal()
    chaos.drain()
    verdict = chaos.judge()

    sys.stdout.write(report(chaos, verdict))
    assert verdict == Verdict()
    assert missing == []
    assert max(chaos.aches()) < HANG_SECONDS
    assert {call.said for call in chaos.ground.history if call.said.startswith("5")} <= {
        "503 unavailable",
        "503 outcome_unknown",
        "503 queue_busy",
    }
    assert {call.outcome for call in chaos.ground.history} == set(Outcome)
    doctor(stack, chaos.cast.tenant.pk)


def test_control_a_database_that_keeps_less_than_it_promises_is_found_out(stack: Stack) -> None:
    stack.heal(stack.api)
    chaos = Chaos(stack, SEED)

    def found_out() -> list[str]:
        chaos.run([mischief.crash_the_database])
        return chaos.judge().lost

    with forgetful(stack):
        stack.until(found_out)


def test_control_an_api_without_row_locks_is_found_out(stack: Stack) -> None:
    stack.heal()
    chaos = Chaos(stack, SEED, stack.start_api("api without locks", WITHOUT_LOCKS), rows=4)

    with chaos.a_day_at_work():
        stack.until(lambda: chaos.judge().doubled)
