"""The product's WSGI application on a machine whose clock is off, for granian. With CLOCK_BELIEVED, the product also asks that clock."""

import os
from datetime import UTC, datetime, timedelta

import time_machine

from convalloc import clock
from convalloc.wsgi import application as application

time_machine.travel(datetime.now(UTC) + timedelta(seconds=int(os.environ["CLOCK_OFF_SECONDS"])), tick=True).start()
if os.environ.get("CLOCK_BELIEVED"):
    clock.now = lambda: datetime.now(UTC)
