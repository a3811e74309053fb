"""The beat's rhythm, by a clock that nobody can set.

Celery's own intervals count by the wall clock of beat's host: set back by an hour it would be silent for an hour.
"""

import time
from datetime import UTC, datetime, timedelta

from celery.schedules import schedstate, schedule

OFTEN_SECONDS = 5  # from one ring to the next, of what somebody waits for
ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)  # Celery's intervals want dates


def steady() -> datetime:
    """How long the machine has been up, as a date of no other meaning."""
    return ANY_DAY + timedelta(seconds=time.monotonic())


class Every(schedule):
    """Rings every so many seconds. What became due while beat was dead rings at its start."""

    def __init__(self, run_every: float | timedelta, *celerys: object) -> None:
        super().__init__(run_every, nowfun=steady)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether to ring, and in how many seconds to look again.

        A last ring in the future is one that beat's file remembers from before the machine started anew: it counts as none.
        """
        due, wait = super().is_due(last_run_at)
        return schedstate(True, self.seconds) if wait > self.seconds else schedstate(due, wait)
