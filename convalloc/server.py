"""The API's server in production: granian, which says that it will stop before it does. `python -m convalloc.server --help`

At SIGTERM granian closes its door at once, answers what it has begun, and ends. Whoever sends work, and has not noticed yet,
meets a closed door. So /health/ready turns red first, and every answer asks its client to hang up; the door closes after
SHUTDOWN_DELAY_SECONDS, in which everything that comes is answered. A second signal ends the wait.
"""

import multiprocessing
import os
import signal
import threading
import time
from argparse import ArgumentDefaultsHelpFormatter, ArgumentParser
from typing import Any

from django.conf import settings
from granian import _signals
from granian._granian import WorkerSignal
from granian.constants import Interfaces
from granian.server import MPServer

from convalloc import pulse
from convalloc.api import leaving

BLOCKING_THREADS = 4  # of each worker: more only wait for each other, and for the database
LOOK_SECONDS = 0.1  # from one look at the workers to the next, once told to stop
INSIST_SECONDS = 0.5  # from one SIGTERM to the next, until a worker has heard it
LOOP_SECONDS = 5.5  # granian's: who dies so soon after its start may never live
KILL_SECONDS = 35  # after the door has closed; no statement lasts for longer than 30


class Server(MPServer):
    """granian, with the announcement before its end. It has hooks for after the end only."""

    told = 0  # how often, to stop

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """SIGINT and SIGTERM."""
        self.told += 1
        super().signal_handler_interrupt(*args, **kwargs)

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        """Serve until told to stop, say so, and serve on until the load balancer has noticed, or until told again."""
        super()._serve_loop(spawn_target, target_loader)
        if not self.told:
            return  # the application cannot start: there is nothing to serve on with
        leaving.announce()
        end = time.monotonic() + settings.SHUTDOWN_DELAY_SECONDS
        while self.told < 2 and time.monotonic() < end:  # not by main_loop_interrupt: the death of a worker sets it too
            self._replace_the_dead(spawn_target, target_loader)
            time.sleep(LOOK_SECONDS)

    def _replace_the_dead(self, spawn_target: Any, target_loader: Any) -> None:
        """As granian does it before it is told to stop."""
        dead, self.interrupt_children = self.interrupt_children, []
        self._respawn_workers(dead, spawn_target, target_loader)

    def shutdown(self, exit_code: int = 0) -> None:
        """Close the door, and end as granian does; but a worker that does not hear of it is told again."""
        threading.Thread(target=self._insist, daemon=True).start()
        super().shutdown(exit_code)

    def _respawn_workers(self, workers: list[int], spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        """Start others in the place of these. That one dies again at once is no reason to end, while an older one answers.

        granian takes the second death within LOOP_SECONDS for an application that cannot start, and ends with all its workers.
        """
        super()._respawn_workers(workers, spawn_target, target_loader, delay)
        now = time.monotonic()
        if any(worker.is_alive() and now - worker.birth > LOOP_SECONDS for worker in self.wrks):
            self.respawned_wrks.clear()

    def _insist(self) -> None:
        """Tell the workers again and again. granian tells each of them once, and one that is at work may not hear it.

        Its main thread sleeps in a lock while others work, and misses the signal now and then; it would be killed after
        KILL_SECONDS, with whatever it has begun by then.
        """
        workers = list(self.wrks)
        while True:
            time.sleep(INSIST_SECONDS)
            for worker in workers:
                if worker.is_alive():
                    worker.inner.terminate()


def main() -> None:
    """Serve until a signal."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convalloc.settings")
    parser = ArgumentParser(prog="python -m convalloc.server", formatter_class=ArgumentDefaultsHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=settings.PORT, help="TCP port")
    parser.add_argument("--workers", type=int, default=cores(), help="processes; one for each core that this one may use")
    parser.add_argument("--blocking-threads", type=int, default=BLOCKING_THREADS, help="requests that a worker answers at once")
    parser.add_argument("application", nargs="?", default="convalloc.wsgi:application", help="module:name")
    chosen = parser.parse_args()
    _signals.set_sync_signals = hear_once
    multiprocessing.set_start_method("fork")  # what is announced here is seen in what was forked from here
    with pulse.beating() as folder:
        server = Server(
            chosen.application,
            address=chosen.host,
            port=chosen.port,
            interface=Interfaces.WSGI,
            workers=chosen.workers,
            blocking_threads=chosen.blocking_threads,
            respawn_failed_workers=True,
            workers_kill_timeout=KILL_SECONDS,
            static_path_route=[pulse.PATH],
            static_path_mount=[folder],
            static_path_dir_to_file=pulse.FILE,
            static_path_expires=0,  # seconds
        )
        server.serve()


def hear_once() -> WorkerSignal:
    """granian's handler of a worker's end, deaf to any further word: told again while it answers what it has begun, granian hangs."""
    ended = WorkerSignal()

    def end(*_: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return ended


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    main()
