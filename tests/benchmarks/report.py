"""What a run found: ratios first, then rates and shares, as text for people and as JSON for programs."""

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from convalloc.server import BLOCKING_THREADS
from tests.benchmarks import scales
from tests.benchmarks.ground import Ground
from tests.production import BASE

MEASURED = ("measured", "per second", "p50 ms", "p99 ms", "answers", "CPU ms for one answer", "noise", "trouble")
LIBRARIES = ("django", "djangorestframework", "psycopg", "granian", "orjson")
NOT_OURS = ("others", "idle")
SERVER_SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "autovacuum")


@dataclass
class Round:
    """One contender's turn: answers, how long they took in all, milliseconds of each, CPU seconds by who spent them, what went wrong."""

    count: int
    seconds: float
    milliseconds: list[float]
    spent: dict[str, float]
    trouble: str = ""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.count / self.seconds

    @property
    def cost(self) -> float:
        """CPU seconds of everybody who took part, for one answer: what a busy neighbour disturbs least."""
        return sum(seconds for who, seconds in self.spent.items() if who not in NOT_OURS) / self.count


@dataclass
class Measure:
    """All turns of one contender together; the rate is the median turn's. cpu: milliseconds for one answer, by who spent them."""

    name: str
    rate: float
    p50: float
    p99: float
    count: int
    cpu: dict[str, float]
    others: float
    trouble: str


@dataclass
class Ratio:
    """Two contenders of the same run: the median over the rounds, how far single rounds were from it, and what CPU alone says."""

    name: str
    goal: str
    value: float
    lowest: float
    highest: float
    by_cpu: float

    @property
    def verdict(self) -> str:
        """Only said: nothing fails by it, because a machine may be busy."""
        sign, bound = self.goal.split()
        return "met" if (self.value <= float(bound) if sign == "<=" else self.value >= float(bound)) else "MISSED"


@dataclass
class Report:
    """What a run found so far."""

    facts: dict[str, Any] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def measured(self, name: str, rounds: Sequence[Round]) -> None:
        """Add a contender."""
        every = sorted(value for turn in rounds for value in turn.milliseconds)
        trouble = "; ".join(sorted({turn.trouble for turn in rounds} - {""}))
        rate = statistics.median(turn.rate for turn in rounds)
        spent = {who: sum(turn.spent[who] for turn in rounds) for who in rounds[0].spent}
        others = spent["others"] / (sum(spent.values()) or 1)
        cpu = {who: seconds / len(every) * 1000 for who, seconds in spent.items() if who not in NOT_OURS}
        self.measures.append(Measure(name, rate, share_of(every, 0.5), share_of(every, 0.99), len(every), cpu, others, trouble))

    def compared(self, name: str, goal: str, above: Sequence[Round], below: Sequence[Round]) -> None:
        """Add a ratio of rates, of turns that stood beside each other."""
        values = [upper.rate / lower.rate for upper, lower in zip(above, below, strict=True)]
        least = 1e-9  # CPU time is told in hundredths of a second: a short turn can have cost none
        by_cpu = statistics.median(lower.cost / max(upper.cost, least) for upper, lower in zip(above, below, strict=True))
        self.ratios.append(Ratio(name, goal, statistics.median(values), min(values), max(values), by_cpu))

    def text(self) -> str:
        """As tables; the ratios first, because they say more than rates of a particular machine."""
        ratios = [
            (each.name, f"{each.value:.2f}", f"{each.lowest:.2f} - {each.highest:.2f}", f"{each.by_cpu:.2f}", each.goal, each.verdict)
            for each in self.ratios
        ]
        measures = [
            (
                each.name,
                f"{each.rate:,.0f}",
                f"{each.p50:.1f}",
                f"{each.p99:.1f}",
                f"{each.count:,}",
                ", ".join(f"{who} {milliseconds:.2f}" for who, milliseconds in each.cpu.items()),
                f"{each.others:.0%}",
                each.trouble,
            )
            for each in self.measures
        ]
        parts = [
            table(("ratio", "median", "single rounds", "by CPU", "goal", ""), ratios),
            table(MEASURED, measures),
            "\n".join(self.notes),
            "\n".join(f"{name}: {value}" for name, value in self.facts.items()),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def write(self, folder: Path) -> None:
        """last.txt and last.json, in place of those of the run before."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "last.txt").write_text(self.text())
        (folder / "last.json").write_text(json.dumps(asdict(self), indent=2) + "\n")


def share_of(ascending: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not exceed."""
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))] if ascending else 0.0


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their heads; empty without rows, and without columns that say nothing."""
    kept = [place for place, title in enumerate(head) if not title or any(row[place] for row in rows)]
    lines = [[line[place] for place in kept] for line in (head, *rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(kept))]
    spelled = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([spelled[0], "  ".join("-" * width for width in widths), *spelled[1:]]) if rows else ""


def facts(ground: Ground, database: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Machine, versions, commit: what somebody needs who wants to know whether their numbers can be compared."""
    with ground.owner(database) as owner:
        server = {name: owner.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in SERVER_SETTINGS}  # type: ignore[index]
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("describe", "--always", "--dirty", "--exclude=*"),
        "machine": f"{scales.CORES} cores, {cpu[1] if cpu else platform.machine()}, {int(memory[1]) // 1024 if memory else '?'} MB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "postgres": ", ".join(f"{name} {value}" for name, value in server.items()),
        "api": f"granian WSGI, {scales.CORES} workers, {BLOCKING_THREADS} blocking threads each",
        "load average at the end": ", ".join(f"{value:.1f}" for value in os.getloadavg()),
        "arguments": ", ".join(f"{name} {value}" for name, value in arguments.items()),
    }


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=BASE, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
