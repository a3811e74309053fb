"""Clients work while everything goes wrong that can; afterwards nobody was told anything that is not so. `make chaos`: for minutes."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests import production
from tests.faults import mischief
from tests.faults.chaos import Chaos
from tests.faults.checker import Verdict
from tests.faults.history import Outcome
from tests.faults.stack import Stack

pytestmark = pytest.mark.xdist_group("faults")  # one of xdist's workers starts the stack
SEED = int(os.environ.get("CHAOS_SEED", "0"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "0"))  # 0: every fault once


def doctor(stack: Stack, tenant_id: int) -> None:
    """`manage.py doctor` finds nothing to worry about."""
    command = [sys.executable, "manage.py", "doctor", "--strict", "--tenant", str(tenant_id)]
    done = subprocess.run(command, cwd=production.BASE, env=stack.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def faults(chaos: Chaos) -> Iterator[mischief.Fault]:
    """All of them in an order that the seed decides, again and again until the time is over."""
    until = time.monotonic() + SECONDS
    while True:
        yield from chaos.luck.sample(mischief.ALL, len(mischief.ALL))
        if time.monotonic() > until:
            return


def test_whatever_goes_wrong_nothing_is_lost_nothing_is_doubled_and_nobody_was_told_what_is_not_so(stack: Stack) -> None:
    stack.heal(stack.api, stack.worker, stack.beat)
    stack.await_worker()
    chaos = Chaos(stack, SEED)

    chaos.run(faults(chaos))
    chaos.heal()
    chaos.drain()
    verdict = chaos.judge()

    sys.stdout.write(chaos.report(verdict))
    assert verdict == Verdict()
    assert {call.said for call in chaos.ground.history if call.said.startswith("5")} <= {
        "503 unavailable",
        "503 outcome_unknown",
        "503 queue_busy",
    }
    assert {call.outcome for call in chaos.ground.history} == set(Outcome)
    doctor(stack, chaos.cast.tenant.pk)
