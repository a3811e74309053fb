"""What processes cost, read from /proc: CPU seconds of a whole family, the machine's, memory of one process."""

import os
import re
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    try:
        return [int(word) for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]
    except FileNotFoundError:
        return []


def cpu_seconds(pid: int) -> float:
    """Of a process, its descendants, and those of them that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS + sum(cpu_seconds(child) for child in children(pid))


def machine_seconds() -> float:
    """CPU seconds that the whole machine has spent, whoever spent them: user, nice, system, interrupts; steal too."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS


def megabytes(pid: int, what: str = "VmRSS") -> float:
    """A line of /proc/PID/status: VmRSS is what the process keeps in memory, shared libraries included; RssAnon what is its own."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


class Scale:
    """Weighs process families, by name and first pid, from now on. The load's CPU it is told: that process has ended by then."""

    def __init__(self, families: dict[str, int]) -> None:
        self.families = families
        self.before = {name: cpu_seconds(pid) for name, pid in families.items()}
        self.machine = machine_seconds()
        self.began = time.monotonic()

    def spent(self, load: float) -> dict[str, float]:
        """CPU seconds since then. `others` have nothing to do with the measurement: they are its noise. `idle` is what nobody took."""
        found = {"load": load} | {name: cpu_seconds(pid) - self.before[name] for name, pid in self.families.items()}
        others = max(0.0, machine_seconds() - self.machine - sum(found.values()))
        idle = max(0.0, (time.monotonic() - self.began) * CORES - sum(found.values()) - others)
        return found | {"others": others, "idle": idle}
