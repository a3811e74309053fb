"""Picks without HTTP: the product's room, the product's statement alone, and a bare UPDATE by key for scale.

Each client is a process: threads would wait for Python's own lock. Every act is three round trips: BEGIN with the tenant,
the message, COMMIT.
"""

import multiprocessing
import random
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg
from django.db import connection, transaction
from psycopg import ClientCursor, Cursor

from convalloc.prepared import ONE_PLAN, Statement
from conversations import allocation
from operators import presence
from tenants import isolation
from tenants.models import Tenant
from tests.benchmarks import crowd
from tests.benchmarks.ground import Ground
from tests.benchmarks.over_http import in_turn
from tests.benchmarks.report import Report, Round
from tests.benchmarks.scales import Scale
from tests.benchmarks.size import Size

BEGIN = f"BEGIN; SET LOCAL app.tenant_id = '{crowd.TENANT}'"
BARE = Statement("UPDATE conversations SET updated_at = clock_timestamp() WHERE tenant_id = %(tenant_id)s AND id = %(conversation_id)s")
processes = multiprocessing.get_context("fork")  # Django is set up already, and no thread runs


class Sent(NamedTuple):
    """A message of the product, as it sends it."""

    sql: str
    parameters: Any


def pick(ground: Ground, full: str, size: Size, report: Report) -> None:
    """The room, its message, the bare UPDATE, all with as many clients."""
    with ground.copy(full) as copy:
        crowd.tick(copy)
        kinds = {
            "pick, the product's room": room,
            "pick, its message": message,
            "pick, planned anew each time": planned_anew,
            "bare UPDATE": bare_update,
            "bare UPDATE planned once": prepared_update,
        }
        consumes = {room, message, planned_anew}
        turns = {
            name: lambda kind=kind: crew(ground, copy, kind, size, size.round if kind in consumes else None) for name, kind in kinds.items()
        }
        found = in_turn(turns, size.rounds, report)
    update, prepared_too = found["bare UPDATE"], found["bare UPDATE planned once"]
    report.compared("pick's message / bare UPDATE", ">= 0.25", found["pick, its message"], update)
    report.compared("pick's message / bare UPDATE, both planned once", ">= 0.25", found["pick, its message"], prepared_too)
    report.compared("pick by the room (Python) / bare UPDATE", ">= 0.25", found["pick, the product's room"], update)


def wear(ground: Ground, full: str, size: Size, report: Report) -> None:
    """The statement on a fresh table, then many allocations with nothing but autovacuum, then again."""
    with ground.copy(full) as copy:
        crowd.tick(copy)
        many = f"pick after {size.allocations:,} allocations"
        turn = min(size.round, max(1, size.allocations // 10))
        crew(ground, copy, message, size, turn)
        fresh = [crew(ground, copy, message, size, turn) for _ in range(size.rounds)]
        crew(ground, copy, message, size, size.allocations, seconds=3600.0)
        crowd.tick(copy)
        worn = [crew(ground, copy, message, size, turn) for _ in range(size.rounds)]
    report.measured("pick on a fresh table", fresh)
    report.measured(many, worn)
    report.compared(f"pick: fresh / after {size.allocations:,} allocations", "<= 1.5", fresh, worn)


def crew(ground: Ground, database: str, kind: Callable[..., Any], size: Size, most: int | None, seconds: float | None = None) -> Round:
    """All clients at it until `most` acts are done together, or the time is over."""
    start, left = processes.Barrier(size.clients + 1), processes.Value("q", 10**12 if most is None else most)
    pipes, crew = [], []
    for operator_id in size.operators:
        ours, theirs = processes.Pipe(duplex=False)
        arguments = (kind, ground.environment(database)["DATABASE_URL"], operator_id, size.queued, seconds or size.seconds)
        worker = processes.Process(target=_client, args=(theirs, start, left, *arguments), daemon=True)
        worker.start()
        theirs.close()
        pipes.append(ours)
        crew.append(worker)
    start.wait(120)
    scale, began = Scale({"postgres": ground.postgres_pid}), time.monotonic()
    found = [pipe.recv() for pipe in pipes]
    took = time.monotonic() - began
    spent = scale.spent(sum(cpu for _, _, cpu in found))
    for worker in crew:
        worker.join()
    milliseconds = [value for values, _, _ in found for value in values]
    empty = sum(nothing for _, nothing, _ in found)
    return Round(len(milliseconds), took, milliseconds, spent, f"{empty} picks found all candidates taken" if empty else "")


def _client(pipe: Any, start: Any, left: Any, kind: Callable[..., Any], url: str, operator_id: int, queued: int, seconds: float) -> None:
    """One client's life: get ready, wait for the others, act, tell."""
    connection.close()
    connection.settings_dict["NAME"] = url.rsplit("/", 1)[1]
    act = kind(url, operator_id, queued)
    start.wait(120)
    milliseconds, empty, cpu, deadline = [], 0, _cpu(), time.monotonic() + seconds
    while time.monotonic() < deadline and _one_of(left):
        began = time.perf_counter()
        empty += not act()
        milliseconds.append((time.perf_counter() - began) * 1000)
    pipe.send((milliseconds, empty, _cpu() - cpu))


def _one_of(left: Any) -> bool:
    with left.get_lock():
        left.value -= 1
        return bool(left.value >= 0)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def room(url: str, operator_id: int, queued: int) -> Callable[[], bool]:
    """The product's own way, all of its Python and all of its statements."""
    with isolation.act_as(crowd.TENANT):
        tenant = Tenant.objects.get(pk=crowd.TENANT)

    def act() -> bool:
        with isolation.act_as(crowd.TENANT):
            return allocation.allocate_next(operator_id, tenant) is not None

    return act


def message(url: str, operator_id: int, queued: int) -> Callable[[], bool]:
    """The pick as the product sends it, without its Python: by the names of statements that the session has planned."""
    sent = _sent(operator_id)
    cursor = cursor_on(url)
    for statement in (presence.LOCK, allocation.HAND_OUT):
        cursor.execute(statement.prepare)
    return _picking(cursor, sent)


def planned_anew(url: str, operator_id: int, queued: int) -> Callable[[], bool]:
    """The same in full, as it travels behind a pooler."""
    sent = _sent(operator_id)
    text = f"SAVEPOINT hand_out; {presence.LOCK.text}; {allocation.HAND_OUT.text}"
    return _picking(cursor_on(url), sent._replace(sql=text))


def _picking(cursor: Cursor[Any], sent: Sent) -> Callable[[], bool]:
    def act() -> bool:
        cursor.execute(BEGIN)
        cursor.execute(sent.sql, sent.parameters)
        picked = 0
        while True:
            picked = cursor.rowcount if cursor.description else picked
            if not cursor.nextset():
                break
        cursor.execute("COMMIT")
        return picked == 1

    return act


def bare_update(url: str, operator_id: int, queued: int, *, prepare: bool = False) -> Callable[[], bool]:
    """One row of the same table by its key, another one each time."""
    cursor, dice = cursor_on(url), random.Random(operator_id)
    text = BARE.text
    if prepare:
        cursor.execute(BARE.prepare)
        text = f"{ONE_PLAN}; {BARE.execute}"

    def act() -> bool:
        cursor.execute(BEGIN)
        cursor.execute(text, {"tenant_id": crowd.TENANT, "conversation_id": dice.randint(1, queued)})
        while cursor.nextset():
            pass
        changed = cursor.rowcount
        cursor.execute("COMMIT")
        return changed == 1

    return act


def prepared_update(url: str, operator_id: int, queued: int) -> Callable[[], bool]:
    """The same, planned once for each connection."""
    return bare_update(url, operator_id, queued, prepare=True)


def cursor_on(url: str) -> Cursor[Any]:
    """Parameters in the text, as Django sends them."""
    return ClientCursor(psycopg.connect(url, autocommit=True))


class _Seen(Exception):
    """The recording has what it wants."""


def _sent(operator_id: int) -> Sent:
    """What the product sends for one pick; its transaction is rolled back."""
    found: list[Sent] = []

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found.append(Sent(sql, params))
        return execute(sql, params, many, context)

    with suppress(_Seen), isolation.act_as(crowd.TENANT):
        tenant = Tenant.objects.get(pk=crowd.TENANT)
        with transaction.atomic(), connection.execute_wrapper(keep):
            allocation.allocate_next(operator_id, tenant)
            raise _Seen
    connection.close()
    return next(each for each in found if allocation.HAND_OUT.name in each.sql)
