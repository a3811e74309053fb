"""`manage.py expire_grace_periods`: what the beat does each minute, by hand, from cron, or in the place of Celery."""

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from conversations import expiry
from tenants import ticks

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Return to the queue what offline operators have kept beyond their grace period, over all tenants: once, or in a loop."

    def add_arguments(self, parser: CommandParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--once", action="store_true", help="what is due now; so it is without an option, too")
        how.add_argument("--loop", action="store_true", help="again and again, until SIGTERM or Ctrl-C, which let a round end")
        every = settings.TICK_SECONDS
        parser.add_argument("--every", type=float, metavar="SECONDS", help=f"from one round of the loop to the next; {every} without it")

    def handle(self, *args: Any, loop: bool, every: float | None, **options: Any) -> None:
        if every is not None and not (loop and 0 < every <= threading.TIMEOUT_MAX):
            raise CommandError("--every takes seconds, more than 0, and goes with --loop.")
        if not loop:
            self.expire()
            return
        end = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: end.set())
        while not end.is_set():
            self.expire_or_say_why_not()
            end.wait(every or settings.TICK_SECONDS)

    def expire(self) -> None:
        """One round over everything that is due. Raises CommandError where something had to be left."""
        counts = expiry.Counts(**ticks.by_hand(expiry.TASK, lambda: expiry.expire_due()._asdict()))
        late = f" up to {counts.late_seconds} s late" if counts.late_seconds else ""
        self.stdout.write(f"{counts.released} conversations returned to the queue{late}, {counts.closed} grace periods closed without need")
        self.stdout.flush()
        if counts.left:
            raise CommandError(f"{counts.left} were left for the next round: see above why, and say it again.")

    def expire_or_say_why_not(self) -> None:
        """A round of the loop: it outlives a database that is away, and whatever else goes wrong, and finds its rows again afterwards."""
        close_old_connections()
        try:
            self.expire()
        except CommandError as some_left:
            self.stderr.write(str(some_left))
        except Exception:
            log.exception("this round is left to the next one")
