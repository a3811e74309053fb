"""How long the event log remembers: as many days as its tenant says, `events_kept_days`; for ever where it says nothing.

A conversation's events go together, once it is resolved and the last of them is old enough, so that the timeline of what is under
way is whole. All others go by their age. Seven days are the least: longer than any webhook is tried.

Short transactions of their own, so none of this may be called inside one. Harmless to repeat, and at any time.
"""

import math
import time
from datetime import timedelta

from django.db import connection
from django.db.models import Q

from convalloc import clock
from conversations import queue
from tenants import eventlog, isolation, rounds
from tenants.eventlog import Position
from tenants.models import Event, Tenant

ROUND = 1000  # events that one transaction looks at
TURN_SECONDS = 45.0  # of a task: the next one goes on
Looked = list[tuple[int, int, int | None]]  # transaction, id, conversation


def forget_events(limit: int = ROUND, until: float = math.inf) -> dict[str, int]:
    """Forget what is old enough, over all tenants, in rounds that look at `limit` events each; how many, and how many tenants are left.

    No round begins after `until` (of time.monotonic): the next call goes on, from the beginning of what is kept.
    """
    forgotten = 0

    def visit(tenant_id: int) -> None:
        nonlocal forgotten
        after: Position | None = eventlog.BEGINNING
        while after is not None and time.monotonic() < until:
            with isolation.act_as(tenant_id):
                old = _old(Tenant.objects.get(pk=tenant_id), after, limit)
                forgotten += _forget(old)
            after = old[-1][:2] if len(old) == limit else None

    left = rounds.visit(rounds.all_tenants(), visit, until)
    return {"events": forgotten, "left": left}


def _old(tenant: Tenant, after: Position, limit: int) -> Looked:
    """The next events that are older than the tenant keeps them, in the log's order, up to the first that is not."""
    if tenant.events_kept_days is None:
        return []
    kept_from = clock.now() - timedelta(days=tenant.events_kept_days)
    rows = Event.objects.filter(eventlog.compared(">", after)).order_by("transaction", "id")
    old: Looked = []
    for transaction, id_, conversation_id, at in rows.values_list("transaction", "id", "conversation_id", "at")[:limit]:
        if at >= kept_from:
            break
        old.append((transaction, id_, conversation_id))
    return old


def _forget(old: Looked) -> int:
    """Forget these, as far as they may go; how many went. What somebody holds stays for the next time."""
    if not old:
        return 0
    held = queue.hold_many(sorted({conversation_id for *_, conversation_id in old if conversation_id is not None}), wait=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT forget_events(%s, %s)", [[id_ for _, id_, _ in old], sorted(held)])
        ((count, transaction, id_),) = cursor.fetchone()
    further = Q(forgotten_transaction__lt=transaction) | Q(forgotten_transaction=transaction, forgotten_id__lt=id_)
    Tenant.objects.filter(further, pk=isolation.current_tenant_id()).update(forgotten_transaction=transaction, forgotten_id=id_)
    return int(count)
