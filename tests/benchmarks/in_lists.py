"""Every list that somebody may ask for, by caller, sort and filters, from its beginning and from the middle: how slow the slowest is."""

import statistics
import time
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from django.db import connection

from convalloc import clock, prepared
from convalloc.api import cursors
from conversations.api import wire
from conversations.api.pages import CURSORS, binding, page
from conversations.models import Conversation
from conversations.priority import Weights
from conversations.states import State
from conversations.walk import View, beyond
from operators.models import Operator
from tenants.models import Tenant
from tests.benchmarks import crowd
from tests.benchmarks.ground import Ground
from tests.benchmarks.report import Report
from tests.benchmarks.size import Size

ROWS = 20
# Of the labels of crowd.PEOPLE: a conversation in forty wears one of the first ten, one in 160 of the last ten, none of those between.
LABELS = {"a common label": 5, "a rarer label": crowd.INBOXES * 2 + 5, "a label nobody wears": crowd.INBOXES + 5}
SHOWN = 5


class Found(NamedTuple):
    """One list: milliseconds of a page, 8 KiB blocks read for it, whether the table was read whole."""

    milliseconds: float
    blocks: int
    whole: bool
    name: str


def filters(ground: Ground, full: str, size: Size, report: Report) -> None:
    """The slowest of all lists, and the usual one."""
    crowd.tick(full)
    found = sorted(crowd.act_in(full, lambda tenant: [*_every_list(tenant, size)]), reverse=True)
    usual = statistics.median(each.milliseconds for each in found)
    whole = sum(each.whole for each in found)
    report.notes.append(f"lists of {ROWS}: {len(found)} combinations of caller, sort, filters and place; {whole} read the table whole")
    report.notes.append(f"lists of {ROWS}: half of them take at most {usual:.1f} ms in Python and SQL, without HTTP")
    report.notes += [f"slow list: {each.milliseconds:.1f} ms, {each.blocks:,} blocks: {each.name}" for each in found[:SHOWN]]


def _every_list(tenant: Tenant, size: Size) -> Iterator[Found]:
    weights, now = Weights.of(tenant), clock.now()
    people = {"operator": Operator.objects.get(pk=1), "manager": Operator.objects.get(pk=size.clients + crowd.MANAGER_SHIFT)}
    middle = dict[str, Any](Conversation.objects.values().get(pk=size.queued // 2))
    middle["effective"] = weights.effective(middle["credit"], middle["waits_from"], now)
    narrowed = product(CURSORS, [None, *State.values], [None, *LABELS], [None, 1 + LABELS["a common label"]], [False, True])
    for (role, viewer), (sort, state, label, inbox_id, deep) in product(people.items(), narrowed):
        chosen = {"state": state, "label_id": LABELS[label] if label else None, "inbox_id": inbox_id}
        view = View.of(viewer, {name: value for name, value in chosen.items() if value is not None})
        name = f"{role}, {sort}, {state or 'any state'}, {label or 'any label'}, {'one inbox' if inbox_id else 'all inboxes'}"
        yield _measured(view, sort, weights, now, middle if deep else None, f"{name}, {'middle' if deep else 'page 1'}")


def _measured(view: View, sort: str, weights: Weights, now: Any, row: dict[str, Any] | None, name: str) -> Found:
    cursor = "" if row is None else cursors.write(CURSORS[sort].parts(row, now, 0.5), binding(sort, view.filters, weights))
    wish = {"sort": sort, "limit": ROWS, "cursor": cursor}
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        page(View.of(view.viewer, view.filters), wish, weights, now)
        taken.append((time.perf_counter() - began) * 1000)
    parameters = view.parameters(weights, now, ROWS + 1)
    if row is not None:
        parameters |= beyond(sort, CURSORS[sort].place(CURSORS[sort].parts(row, now, 0.5)), weights, now)
    statement = wire.page_of(view.shape(sort, ROWS + 1, beyond=row is not None))
    prepared.message(statement)
    with connection.cursor() as asking:
        asking.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.execute}", parameters)
        plan = asking.fetchone()[0][0]["Plan"]
    return Found(statistics.median(taken), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], _reads_whole(plan), name)


def _reads_whole(plan: dict[str, Any]) -> bool:
    here = plan["Node Type"] == "Seq Scan" and plan.get("Relation Name") == "conversations"
    return here or any(_reads_whole(below) for below in plan.get("Plans", []))
