"""Allocations, lists and memory, through the API's own processes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import psycopg

from tests.benchmarks import crowd, scales
from tests.benchmarks.ground import Ground
from tests.benchmarks.report import Report, Round
from tests.benchmarks.size import Size
from tests.production import BASE, BEHIND_THE_PROXY, Api

SHORT_QUEUE = 1000
DEEP_PAGE = 10_000
ROWS = 20  # of a page
WALK_SECONDS = 90.0
QUEUED = {"state": "QUEUED", "sort": "priority"}

Turn = Callable[[], Round]


def allocate(ground: Ground, full: str, size: Size, report: Report) -> None:
    """Allocate from a long queue, from a short one, and what the same server does without the work."""
    short = min(SHORT_QUEUE, size.queued)
    with _short_queue(ground, short, size) as brief, ground.copy(full) as long, ground.api(long) as at_long, ground.api(brief) as at_brief:
        crowd.tick(long)
        taken = short

        def from_short() -> Round:
            nonlocal taken
            turn = _turn(ground, at_brief, _allocations(size), size, requests=short // 2)
            with ground.owner(brief) as owner:
                crowd.grow(owner, taken + 1, taken + turn.count)
            taken += turn.count
            return turn

        names = f"allocate, {size.queued:,} queued", f"allocate, {short:,} queued"
        found = in_turn(
            {
                names[0]: lambda: _turn(ground, at_long, _allocations(size), size, requests=size.round),
                names[1]: from_short,
                "bare view, signed in": lambda: _turn(ground, at_long, _gets("/bare/signed-in", size), size),
                "bare view, open to anyone": lambda: _turn(ground, at_long, _gets("/api/v1/health", size), size),
            },
            size.rounds,
            report,
        )
    report.compared("allocate: short queue / long queue", "<= 1.3", found[names[1]], found[names[0]])
    report.compared("allocate / bare view, signed in", ">= 0.5", found[names[0]], found["bare view, signed in"])


def lists(ground: Ground, full: str, size: Size, report: Report) -> None:
    """The first page of what waits, and a page far down, for an operator of five inboxes."""
    crowd.tick(full)
    with ground.api(full) as api:
        cursor, page = _walk(api, min(DEEP_PAGE, size.queued // 4 // ROWS))
        first, deep = (f"/api/v1/conversations?{urlencode(QUEUED | {'limit': ROWS} | more)}" for more in ({}, {"cursor": cursor}))
        deeply = f"list of {ROWS}, page {page:,}"
        found = in_turn(
            {
                f"list of {ROWS}, page 1": lambda: _turn(ground, api, _gets(first, size, caller=1), size),
                deeply: lambda: _turn(ground, api, _gets(deep, size, caller=1), size),
                "bare view beside lists": lambda: _turn(ground, api, _gets("/bare/signed-in", size), size),
            },
            size.rounds,
            report,
        )
    report.compared(f"list: page 1 / page {page:,}", "<= 1.2", found[f"list of {ROWS}, page 1"], found[deeply])
    report.compared("list / bare view, signed in", ">= 0.5", found[f"list of {ROWS}, page 1"], found["bare view beside lists"])


def heartbeats(ground: Ground, full: str, size: Size, report: Report) -> None:
    """Signs of life of operators who have leases, and what the same server does without the work."""
    with ground.copy(full) as copy:
        with ground.owner(copy) as owner:
            crowd.in_the_tenant(owner, f"UPDATE tenants SET lease_seconds = 60, leases_from = now() WHERE id = {crowd.TENANT}")
            before = _written(owner)
        with ground.api(copy) as api:
            beats = [_request("POST", f"/api/v1/operators/{caller}/heartbeat", caller) for caller in size.operators]
            found = in_turn(
                {
                    "heartbeat": lambda: _turn(ground, api, beats, size),
                    "bare view beside heartbeats": lambda: _turn(ground, api, _gets("/bare/signed-in", size), size),
                },
                size.rounds,
                report,
            )
        with ground.owner(copy) as owner:
            updated, in_place, wal = (after - earlier for after, earlier in zip(_written(owner), before, strict=True))
    report.compared("heartbeat / bare view, signed in", ">= 0.5", found["heartbeat"], found["bare view beside heartbeats"])
    report.notes.append(
        f"heartbeats: {in_place / updated:.1%} of {updated:,} rows written in place (HOT), {wal / updated:.0f} bytes of WAL each"
    )


def _written(owner: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Statuses that were ever written, those of them in place, and bytes of WAL."""
    found = owner.execute(
        "SELECT n_tup_upd, n_tup_hot_upd, (pg_current_wal_insert_lsn() - '0/0')::bigint FROM pg_stat_user_tables"
        " WHERE relname = 'operator_status'"
    ).fetchone()
    assert found is not None
    return found[0], found[1], found[2]


def memory(ground: Ground, full: str, size: Size, report: Report) -> None:
    """What one process of the API keeps in memory before, during and after two equal loads of allocations and lists."""
    with ground.copy(full) as copy, ground.api(copy) as api:
        lists_of_20 = _gets(f"/api/v1/conversations?{urlencode(QUEUED | {'limit': ROWS})}", size)
        _turn(ground, api, lists_of_20, size, requests=2 * size.clients)  # every worker has imported and connected
        worker = min(scales.children(api.pid))
        kept = [scales.megabytes(worker)]
        for _ in range(2):
            for _ in range(size.rounds):
                _turn(ground, api, _allocations(size), size, requests=size.round)
                _turn(ground, api, lists_of_20, size)
            kept.append(scales.megabytes(worker))
    report.notes.append(
        f"memory of one API process (RSS): before {kept[0]:.1f} MB, after a load {kept[1]:.1f} MB, after the same again {kept[2]:.1f} MB"
    )
    report.notes.append(f"grown by the second of two equal loads: {kept[2] - kept[1]:+.1f} MB ({kept[2] / kept[1] - 1:+.1%})")


def in_turn(contenders: Mapping[str, Turn], rounds: int, report: Report) -> dict[str, list[Round]]:
    """All contenders in each round, so that a neighbour's noise meets all of them; a first round warms up and does not count."""
    found: dict[str, list[Round]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, turn in contenders.items():
            outcome = turn()
            if number:
                found[name].append(outcome)
    for name, turns in found.items():
        report.measured(name, turns)
    return found


@contextmanager
def _short_queue(ground: Ground, queued: int, size: Size) -> Iterator[str]:
    """A database of its own, so that the short queue is not a corner of a long table."""
    ground.drop("brief")
    ground.create("brief")
    ground.migrate("brief")
    crowd.fill(ground, "brief", queued, size.clients)
    try:
        yield "brief"
    finally:
        ground.drop("brief")


def _turn(ground: Ground, api: Api, lines: list[str], size: Size, requests: int = 10**9) -> Round:
    """Let the generator fire, in a process of its own, and weigh everybody meanwhile."""
    plan = {"port": api.port, "lines": lines, "requests": requests, "seconds": size.seconds}
    scale = scales.Scale({"api": api.pid, "postgres": ground.postgres_pid})
    command = [sys.executable, "-m", "tests.benchmarks.generator"]
    done = subprocess.run(command, input=json.dumps(plan), cwd=BASE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the generator failed: {done.stderr}")
    answers = json.loads(done.stdout)
    spent = scale.spent(answers["cpu"])
    return Round(len(answers["milliseconds"]), answers["seconds"], answers["milliseconds"], spent, _trouble(answers, lines))


def _trouble(answers: dict[str, Any], lines: list[str]) -> str:
    """Answers that make a rate worthless: errors, and allocations that got nothing."""
    others = {status: count for status, count in answers["statuses"].items() if status != "200"}
    empty = f"{answers['empty']} allocations got nothing" if answers["empty"] and lines[0].startswith("POST") else ""
    return ", ".join([*(f"{count} times {status}" for status, count in others.items()), *([empty] if empty else [])])


def _allocations(size: Size) -> list[str]:
    """One request for each operator, who allocates for themselves."""
    return [_request("POST", "/api/v1/conversations/allocate", caller, json.dumps({"operator_id": caller})) for caller in size.operators]


def _gets(path: str, size: Size, caller: int | None = None) -> list[str]:
    return [_request("GET", path, caller or each) for each in size.operators]


def _request(method: str, path: str, caller: int, body: str = "") -> str:
    headers = BEHIND_THE_PROXY | {"X-Operator-Id": str(caller)}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + f"\r\n{body}"


def _walk(api: Api, page: int) -> tuple[str, int]:
    """The cursor of a page, and which page it is: walked to through the API in pages of a thousand, as far as the patience lasts."""
    server, cursor, rows, began = HTTPConnection("127.0.0.1", api.port, timeout=120), "", 0, time.monotonic()
    while rows < (page - 1) * ROWS and time.monotonic() - began < WALK_SECONDS:
        step = min(1000, (page - 1) * ROWS - rows)
        headers = BEHIND_THE_PROXY | {"X-Operator-Id": "1"}
        server.request("GET", f"/api/v1/conversations?{urlencode(QUEUED | {'limit': step, 'cursor': cursor})}", headers=headers)
        answer = json.loads(server.getresponse().read())
        cursor, rows = answer["data"]["next_cursor"], rows + step
    server.close()
    return cursor, rows // ROWS + 1
