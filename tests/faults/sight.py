"""What a bystander sees of the stack: its processes by the kernel's word, its servers by their own. It strikes nothing (Linux's /proc)."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.stack import Stack

SESSIONS = """
    SELECT pid, backend_start::text, client_port, coalesce(wait_event_type = 'Lock', false)
      FROM pg_stat_activity WHERE usename = 'convalloc_app'
"""
BROKER_SECONDS = 0.5  # longer than any broker that answers takes to answer


class Session(NamedTuple):
    """One of the runtime role's. The number alone may be given out again."""

    pid: int
    since: str


class Sight(NamedTuple):
    """The stack at one moment, as far as it can be seen."""

    at: float  # of the clients' clock
    api: frozenset[int]  # processes below the API's main one
    celery: frozenset[int]  # the worker's, its children's and the beat's
    still: frozenset[int]  # which of those, and of the broker, are stopped
    database: str  # since when it runs; empty: it does not answer
    sessions: Mapping[Session, int]  # the process that each belongs to; 0: to none of these
    waiting: frozenset[Session]  # those at a lock, hence in the middle of a transaction
    broker: str  # which of its starts this is; empty: it does not answer
    broker_pid: int
    keys: int  # that it holds
    flushes: int  # how often this start of it was told to forget everything
    listeners: int  # who wait for a message


def look(stack: Stack) -> Sight:
    """Look once. It takes some hundredths of a second; half a one beside a broker that is frozen."""
    at, api = time.monotonic(), alive(stack.api.children() if stack.api.runs else [])
    celery = alive(pid for program in (stack.worker, stack.beat) if program.runs for pid in (program.pid, *program.children()))
    broker_pid = stack.valkey.process.pid if stack.valkey.process else 0
    still = frozenset(pid for pid in (*api, *celery, broker_pid) if state(pid) == "T")
    database, sessions, waiting = _database(stack, api | celery)
    return Sight(at, api, celery, still, database, sessions, waiting, *_broker(stack, broker_pid))


def alive(pids: Iterable[int]) -> frozenset[int]:
    """Those that are neither dead nor only waiting to be counted as dead."""
    return frozenset(pid for pid in pids if state(pid) not in "ZX")


def state(pid: int) -> str:
    """The kernel's letter for it: T is stopped, Z a zombie; X where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _database(stack: Stack, processes: frozenset[int]) -> tuple[str, Mapping[Session, int], frozenset[Session]]:
    with suppress(psycopg.OperationalError):
        ((since,),) = stack.command("SELECT pg_postmaster_start_time()::text")
        found = [(Session(pid, start), port, waits) for pid, start, port, waits in stack.command(SESSIONS)]
        owners = owners_of_ports(processes)
        waiting = frozenset(session for session, _, waits in found if waits)
        return since, {session: owners.get(port, 0) for session, port, _ in found}, waiting
    return "", {}, frozenset()


def owners_of_ports(processes: Iterable[int]) -> dict[int, int]:
    """Which of these processes has a line open from which local port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {f"socket:[{line[9]}]": int(line[1].rpartition(":")[2], 16) for line in lines}
    owners = dict[int, int]()
    for pid in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    if port := ports.get(str(handle.readlink())):
                        owners[port] = pid
    return owners


def _broker(stack: Stack, pid: int) -> tuple[str, int, int, int, int]:
    once = Retry(NoBackoff(), 0)
    with (
        suppress(redis.RedisError),
        redis.Redis.from_url(stack.valkey.url(), socket_timeout=BROKER_SECONDS, socket_connect_timeout=BROKER_SECONDS, retry=once) as line,
    ):
        said = line.info("everything")
        flushes = said.get("cmdstat_flushall", {"calls": 0})["calls"]
        return str(said["run_id"]), pid, int(line.dbsize()), int(flushes), int(said["blocked_clients"])
    return "", pid, 0, 0, 0
