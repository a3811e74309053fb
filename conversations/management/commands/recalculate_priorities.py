"""`manage.py recalculate_priorities`: rank and snapshot of every unresolved conversation, computed anew."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from conversations import recalculation
from tenants import rounds
from tenants.errors import RankingRuns


class Command(BaseCommand):
    help = "Recalculate the priorities of unresolved conversations, in short transactions that hold nobody up."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", type=int, help="id of one tenant; all of them without it")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = rounds.all_tenants()
        if options["tenant"] is not None:
            if options["tenant"] not in tenants:
                raise CommandError(f"There is no tenant {options['tenant']}.")
            tenants = [options["tenant"]]
        rows = 0
        total = sum(recalculation.unresolved(tenant_id) for tenant_id in tenants)
        with tqdm(total=total, unit=" conversations", disable=None) as bar:
            for tenant_id in tenants:
                try:
                    rows += recalculation.recalculate(tenant_id, progress=bar.update)
                except RankingRuns as refusal:
                    self.stderr.write(f"tenant {tenant_id} is left out: {refusal}")
        self.stdout.write(f"{rows} conversations of {len(tenants)} tenants recalculated")
