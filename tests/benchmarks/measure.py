"""CPU time and memory of processes and servers, read from /proc; nothing is asked of the processes themselves."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int, *, reaped_children: bool = False) -> float:
    """User and system time of a process, on request with that of its ended children; 0 for one that is gone."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    ticks = int(fields[11]) + int(fields[12])
    if reaped_children:
        ticks += int(fields[13]) + int(fields[14])
    return ticks / TICK


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        return found
    return found


def rss_mib(pid: int) -> float:
    """Resident memory now."""
    return _status(pid, "VmRSS")


def peak_rss_mib(pid: int) -> float:
    """The largest resident memory so far."""
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
    except OSError:
        return 0.0
    return 0.0


@dataclass(slots=True)
class Snapshot:
    """CPU seconds so far, by name, and of the whole machine."""

    at: float
    seconds: dict[str, float] = field(default_factory=dict)
    busy: float = 0.0
    stolen: float = 0.0


class Meter:
    """CPU of the named processes, of Postgres as a whole, and of Kafka."""

    def __init__(self, postgres_pid: int | None, kafka_pid: int | None) -> None:
        self._postgres = postgres_pid
        self._kafka = kafka_pid
        self._processes: dict[str, int] = {}
        self._parents: set[str] = set()

    def watch(self, name: str, pid: int) -> None:
        """Count this process from now on."""
        self._processes[name] = pid

    def watch_children(self, name: str) -> None:
        """Count the children of this process with it from now on."""
        self._parents.add(name)

    def snapshot(self) -> Snapshot:
        """What has been used so far."""
        taken = Snapshot(time.monotonic())
        for name, pid in self._processes.items():
            taken.seconds[name] = cpu_seconds(pid)
            if name in self._parents:
                taken.seconds[name] += sum(cpu_seconds(child) for child in children_of(pid))
        if self._postgres is not None:
            # The postmaster counts backends that have ended; those that live are counted one by one.
            live = sum(cpu_seconds(child) for child in children_of(self._postgres))
            taken.seconds["postgres"] = cpu_seconds(self._postgres, reaped_children=True) + live
        if self._kafka is not None:
            taken.seconds["kafka"] = cpu_seconds(self._kafka)
        taken.busy, taken.stolen = _machine()
        return taken

    def memory(self) -> dict[str, float]:
        """Resident MiB of the named processes, now."""
        return {name: rss_mib(pid) for name, pid in self._processes.items()}

    def peak_memory(self) -> dict[str, float]:
        """Largest resident MiB of the named processes."""
        return {name: peak_rss_mib(pid) for name, pid in self._processes.items()}


def used(before: Snapshot, after: Snapshot) -> dict[str, float]:
    """CPU seconds by name between two snapshots; `others` is what the rest of the machine used, `stolen` what the host took."""
    spent = {name: after.seconds[name] - before.seconds.get(name, 0.0) for name in after.seconds}
    mine = sum(spent.values())
    spent["others"] = max(0.0, after.busy - before.busy - mine)
    spent["stolen"] = after.stolen - before.stolen
    return spent


def _machine() -> tuple[float, float]:
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, softirq, stolen = fields[:8]
    return (user + nice + system + irq + softirq) / TICK, stolen / TICK


def machine_facts() -> dict[str, object]:
    """What the figures depend on: cores, memory, kernel, load before the run."""
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    memory = next((int(line.split()[1]) // 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "memory_mib": memory,
        "kernel": os.uname().release,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies; nan without values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
