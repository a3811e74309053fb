"""Slow transactions write and roll back, receivers fail now and then, and the workers that send are killed all the time.

HOOKS_EVENTS: how many events; 5000 in `make hooks`.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.db import connection
from standardwebhooks.webhooks import Webhook as Verifier

from tenants import eventlog, isolation, webhooks
from tenants.models import Event, WebhookDelivery
from tests.conftest import assemble
from tests.faults.program import Program
from tests.races.crowd import PATIENCE_SECONDS
from tests.tenants.test_feed import wait_until_final
from tests.webhooks.conftest import Hooked, hooked
from tests.webhooks.receiver import Got, receiving

EVENTS = int(os.environ.get("HOOKS_EVENTS", "200"))
WRITERS, WORKERS = 6, 3
KILL_EVERY_SECONDS = 0.7
# The product's own turns, again and again; what takes a minute or hours takes a moment here.
WORKER = """
import time
from datetime import timedelta
import django
django.setup()
from tenants import deliveries, eventlog, sending
deliveries.LEASE, deliveries.DELAYS = timedelta(seconds=2), (0.2,) * 9
{bent}
while True:
    sending.send()
    time.sleep(0.02)
"""
# The control: it reads what is visible, and does not wait for transactions that began earlier.
HASTY = """
late = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
eventlog.HORIZON, eventlog.FINISHED = eventlog.HORIZON.replace(eventlog.FINISHED, late), late
"""


class RolledBack(Exception):
    """What a writer thought better of."""


def writes(hook: Hooked, number: int, seed: int) -> None:
    """So many events, each in a transaction of its own, which takes a while; one of eight is rolled back."""
    luck = random.Random(seed)
    for _ in range(number):
        try:
            with isolation.act_as(hook.cast.tenant.pk):
                eventlog.append("label.created", hook.cast.support)
                time.sleep(luck.choice([0, 0.01, 0.05, 0.2]))
                if luck.random() < 1 / 8:
                    raise RolledBack
        except RolledBack:
            continue
    connection.close()


@contextmanager
def workers(folder: Path, bent: str) -> Iterator[list[Program]]:
    """So many processes that send."""
    environment = dict(os.environ) | {"WEBHOOK_NETWORKS": "127.0.0.0/8"}
    with ExitStack() as down:
        made = []
        for number in range(WORKERS):
            program = Program(f"worker {number}", [sys.executable, "-c", WORKER.format(bent=bent)], environment, folder)
            program.start()
            down.callback(program.kill)
            made.append(program)
        yield made


def run(hook: Hooked, folder: Path, *, bent: str = "") -> int:
    """Write everything while workers are killed, then wait until nothing is left to send; how many were killed."""
    luck, kills = random.Random(7), 0
    writers = [threading.Thread(target=writes, args=(hook, EVENTS // WRITERS, seed)) for seed in range(WRITERS)]
    with workers(folder, bent) as programs:
        await_first(hook)
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + PATIENCE_SECONDS + EVENTS / 20
        while any(writer.is_alive() for writer in writers) or kills < 3:
            time.sleep(KILL_EVERY_SECONDS)
            victim = luck.choice(programs)
            victim.kill()
            victim.start()
            kills += 1
        for writer in writers:
            writer.join()
        wait_until_final(hook.cast)
        while time.monotonic() < deadline and not settled(hook):
            time.sleep(0.2)
    return kills


def await_first(hook: Hooked) -> None:
    """Until somebody sends."""
    writes(hook, 1, seed=0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not hook.receiver.got:
        assert time.monotonic() < deadline, "nobody sends"
        time.sleep(0.05)


def settled(hook: Hooked) -> bool:
    """Whether all of the log was read and nothing waits."""
    with isolation.act_as(hook.cast.tenant.pk):
        last = eventlog.position(Event.objects.latest("transaction", "id"))
        read = webhooks.position(webhooks.find(hook.id)) >= last
        return read and not WebhookDelivery.objects.filter(state="pending").exists()


def sometimes(luck: random.Random) -> int:
    """What a receiver answers that is not at its best."""
    return luck.choices([204, 500, 429, 302], [85, 5, 5, 5])[0]


def test_nothing_is_missing_and_nothing_is_made_up_while_workers_are_killed(hook: Hooked, tmp_path: Path) -> None:
    luck, taken = random.Random(1), set[int]()

    def answer(got: Got) -> int:
        status = sometimes(luck)
        if status == 204:
            taken.add(got.id)
        return status

    hook.receiver.answer = answer
    with receiving() as next_door:
        neighbours = hooked(assemble(), next_door)

        kills = run(hook, tmp_path)

        assert neighbours.receiver.got == []
    happened = set(hook.event_ids("label.created"))
    sent = [got for got in hook.receiver.got if got.told["type"] == "label.created"]
    found = f"missing {len(happened - taken)}, phantom {len(taken - happened)}"
    sys.stdout.write(f"{len(happened)} events, {kills} workers killed, {len(sent) - len(happened)} sent again; {found}\n")
    assert taken == happened
    for got in sent:
        Verifier(hook.secret).verify(got.body, got.headers)


def test_the_control_a_reader_that_does_not_wait_for_slow_transactions_loses_events(hook: Hooked, tmp_path: Path) -> None:
    run(hook, tmp_path, bent=HASTY)

    assert set(hook.event_ids("label.created")) - set(hook.receiver.ids)
