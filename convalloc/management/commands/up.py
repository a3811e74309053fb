"""`manage.py up`: everything on this machine, in the foreground; what `make run` and `make dev` call."""

import os
import signal
import sys
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from convalloc.embedded import folder
from convalloc.embedded.process import DidNotStart
from convalloc.embedded.quickstart import Quickstart, refuse_busy_port

RUNNING = """
convalloc runs at {url} (Ctrl-C stops everything, the data stays)

  API          {url}/api/v1
  API docs     {url}/api/v1/docs
  console      {url}/admin/
  PostgreSQL   {database}
  Valkey       {broker}
  worker       Celery, one process, and the timekeeper, one for deadlines alone
  beat         Celery's clock, one process
  logs         {folder}/log/
  data         {folder}/  (`make reset` empties it; addresses and passwords: servers.json)
"""
ACCOUNTS = """
Demo accounts, password convalloc-demo:

  operator1@example.com  OPERATOR      manager@example.com  MANAGER
  operator2@example.com  OPERATOR      admin@example.com    ADMIN
"""
TRY = """
Try:

  curl {url}/api/v1/health
  curl -H 'X-Operator-Id: 1' {url}/api/v1/conversations
  curl -H 'X-Operator-Id: 1' -H 'Content-Type: application/json' -d '{{"operator_id":1}}' {url}/api/v1/conversations/allocate
"""


class Command(BaseCommand):
    """Parses, refuses what cannot work, hands over to the quick start, and tells where everything is."""

    help = "Run everything on this machine: PostgreSQL, Valkey, migrations, demo data, API, worker, beat. Ctrl-C stops it."
    requires_system_checks = ()  # they need the database that this command starts

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--reload", action="store_true", help="restart the API when a source file changes; print its requests")
        parser.add_argument("--no-demo", action="store_true", help="start without the demo data")
        parser.add_argument("--parent", type=int, help="process id of what started this command: stop when that is gone")

    def handle(self, *args: Any, reload: bool, no_demo: bool, parent: int | None, **options: Any) -> None:
        if not settings.DEVELOPMENT:
            raise CommandError(
                "DEVELOPMENT is not true, and `up` sets passwords that everybody knows. It is for a developer's machine only."
            )
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if name != signal.SIGHUP or signal.getsignal(name) != signal.SIG_IGN:  # nohup stays what it is
                signal.signal(name, signal.default_int_handler)
        run = Quickstart(settings.BASE_DIR, settings.EMBEDDED_DIR, settings.PORT, reload, parent, self.say)
        try:
            with folder.claimed(settings.EMBEDDED_DIR, url=f"http://127.0.0.1:{settings.PORT}"):
                self.run(run, demo=not no_demo)
        except DidNotStart as error:
            raise CommandError(str(error)) from error

    def run(self, run: Quickstart, *, demo: bool) -> None:
        """From nothing to everything, until a signal; then to nothing again."""
        try:
            refuse_busy_port(run.port)
            run.start_servers()
            run.step("migrate")
            if demo:
                run.step("seed_demo")
            run.start_workers()
            run.start_api()
            self.tell(run, demo=demo)
            run.watch()
        except KeyboardInterrupt:
            pass
        finally:
            run.stop()
        self.say("Everything is stopped.")

    def tell(self, run: Quickstart, *, demo: bool) -> None:
        """What runs where, who may log in, what to try."""
        names = {
            "url": f"http://127.0.0.1:{run.port}",
            "database": place(run.env["DATABASE_URL"], "DATABASE_URL", embedded="PostgreSQL" in run.children),
            "broker": place(run.env["REDIS_URL"], "REDIS_URL", embedded="Valkey" in run.children),
            "folder": run.folder,
        }
        self.say((RUNNING + (ACCOUNTS if demo else "") + TRY).format(**names))

    def say(self, text: str) -> None:
        """At once, also into a pipe. When its reader has gone (`make run | tee log`, Ctrl-C), the run itself goes on to its end."""
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def place(url: str, setting: str, *, embedded: bool) -> str:
    """Where a server is and whose, without its password."""
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port}{parts.path}" if parts.port else f"{parts.hostname}{parts.path}"
    return f"{where}  ({'embedded' if embedded else 'yours: ' + setting})"
