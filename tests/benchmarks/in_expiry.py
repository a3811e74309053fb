"""Ten thousand grace periods due at once, as after an outage: the product's tick, and one bare UPDATE of the same rows for scale."""

import time
from collections.abc import Callable

from django.db import connection

from conversations import expiry
from tests.benchmarks import crowd
from tests.benchmarks.ground import Ground
from tests.benchmarks.over_http import in_turn
from tests.benchmarks.report import Report, Round
from tests.benchmarks.scales import Scale
from tests.benchmarks.size import Size

DUE = 10_000
# The tables' owner hands out work whose operators left an hour ago.
LEFT = """
    UPDATE operator_status SET status = 'OFFLINE' WHERE tenant_id = {tenant};
    UPDATE conversations SET state = 'ALLOCATED', assigned_operator_id = 1 + mod(id, {operators}), version = version + 1
     WHERE tenant_id = {tenant}
       AND id IN (SELECT id FROM conversations WHERE tenant_id = {tenant} AND state = 'QUEUED' ORDER BY id LIMIT {due});
    INSERT INTO assignments (tenant_id, conversation_id, operator_id, source, started_at, score_at_start, waited_seconds_at_start)
    SELECT tenant_id, id, assigned_operator_id, 'auto', now() - interval '1 hour', 0.5, 60 FROM conversations
     WHERE tenant_id = {tenant} AND state = 'ALLOCATED';
    INSERT INTO grace_period_assignments (tenant_id, assignment_id, conversation_id, operator_id, reason, opened_at, expires_at)
    SELECT tenant_id, id, conversation_id, operator_id, 'offline', now() - interval '1 hour', now() - interval '1 minute' FROM assignments
     WHERE tenant_id = {tenant} AND ended_at IS NULL;
"""
BARE = "UPDATE conversations SET state = 'QUEUED', assigned_operator_id = NULL WHERE tenant_id = {tenant} AND state = 'ALLOCATED'"
# What the bare UPDATE leaves behind, out of the next turn's way.
TIDY = """
    DELETE FROM grace_period_assignments WHERE tenant_id = {tenant} AND ended_at IS NULL;
    DELETE FROM assignments WHERE tenant_id = {tenant} AND ended_at IS NULL
"""


def expire(ground: Ground, full: str, size: Size, report: Report) -> None:
    """All that is due, in one tick."""
    due = min(DUE, size.queued // 4)
    words = {"tenant": crowd.TENANT, "operators": size.clients, "due": due}

    def turn(act: Callable[[], object]) -> Round:
        with ground.owner(copy) as owner:
            crowd.in_the_tenant(owner, LEFT.format(**words))
        scale, began = Scale({"postgres": ground.postgres_pid}), time.monotonic()
        act()
        took = time.monotonic() - began
        spent = scale.spent(0.0)
        with ground.owner(copy) as owner:
            crowd.in_the_tenant(owner, TIDY.format(**words))
        return Round(due, took, [took * 1000 / due] * due, spent)

    def bare() -> None:
        with ground.owner(copy) as owner:
            crowd.in_the_tenant(owner, BARE.format(**words))

    with ground.copy(full) as copy:
        connection.close()
        connection.settings_dict["NAME"] = copy
        name = f"{due:,} grace periods due at once"
        found = in_turn({name: lambda: turn(expiry.expire_due), "one bare UPDATE of these rows": lambda: turn(bare)}, size.rounds, report)
        connection.close()
    report.compared("expiry / bare UPDATE", ">= 0.25", found[name], found["one bare UPDATE of these rows"])
