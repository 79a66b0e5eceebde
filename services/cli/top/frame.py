"""Two looks at the fleet in, one picture of it out: workers, lags, rates, waits; pure, used by `top`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.cli.top.samples import RATES, RELAY, Lag, WorkerSample

HEALTHY = ("healthy", "degraded", "unhealthy")
SILENT = "no answer"


@dataclass(frozen=True, slots=True)
class Look:
    """The fleet at one moment: the rows of `ps`, and what each worker that answered counts."""

    clock: float
    """Seconds of a clock that only goes on, for differences."""
    now: float
    """Seconds of the epoch, for ages."""
    rows: Sequence[Mapping[str, Any]]
    samples: Mapping[str, WorkerSample]


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker. None where it did not answer, or where one look does not tell."""

    name: str
    state: str
    pid: int | None
    ready: bool
    restarts: int
    uptime_seconds: float | None
    cpu_percent: float | None
    memory_bytes: float | None
    attempt_seconds: float | None
    """Since the last attempt of the worker of this process that made none for longest."""
    health: str
    message: str | None


@dataclass(frozen=True, slots=True)
class LagRow:
    """How far somebody is behind."""

    kind: str
    name: str
    messages: float
    seconds: float | None
    """How old the oldest of it is; None where nobody tells: a relay knows how much of its own it has not published, not since when."""


@dataclass(frozen=True, slots=True)
class WaitRow:
    """How many of a kind there are, and how long the oldest of them has waited."""

    kind: str
    count: float
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the fleet. `rates` are a second's; None where there is nothing to compare yet."""

    now: float
    workers: tuple[WorkerRow, ...]
    rates: Mapping[str, float | None]
    lags: tuple[LagRow, ...]
    lags_from: str
    """`monitor`: of everybody, dead workers included. `workers`: no monitor leads, so each worker that lives tells its own."""
    waiting: tuple[WaitRow, ...]
    parked: tuple[WaitRow, ...]
    breakers: Mapping[str, str]


def frame_of(look: Look, before: Look | None) -> Frame:
    """The picture of a look; rates and processor time are those since the look before."""
    leader = next((sample for sample in look.samples.values() if sample.monitors), None)
    lags = leader.lags if leader is not None else _largest([sample.own_lags for sample in look.samples.values()])
    return Frame(
        now=look.now,
        workers=tuple(_worker(row, look, before) for row in look.rows),
        rates={rate: _rate(rate, look, before) for rate in RATES},
        lags=tuple(sorted((_lag(key, lag, leader) for key, lag in lags.items()), key=lambda row: (-row.messages, row.kind, row.name))),
        lags_from="workers" if leader is None else "monitor",
        waiting=() if leader is None else tuple(WaitRow(kind, *pair) for kind, pair in leader.waiting.items()),
        parked=() if leader is None else tuple(WaitRow(name, *pair) for name, pair in leader.parked.items() if pair[0]),
        breakers={
            f"{worker}: {name}": "open" if state == 1 else "half open"
            for worker, sample in look.samples.items()
            for name, state in sample.breakers.items()
        },
    )


def _lag(key: tuple[str, str], lag: Lag, leader: WorkerSample | None) -> LagRow:
    return LagRow(*key, lag[0], None if leader is None and key[0] == RELAY else lag[1])


def _largest(many: Sequence[Mapping[tuple[str, str], Lag]]) -> dict[tuple[str, str], Lag]:
    """Members of a group each tell of their own partitions: messages add up, seconds do not."""
    found: dict[tuple[str, str], Lag] = {}
    for lags in many:
        for key, (messages, seconds) in lags.items():
            known = found.get(key, (0.0, 0.0))
            found[key] = (known[0] + messages, max(known[1], seconds))
    return found


def _worker(row: Mapping[str, Any], look: Look, before: Look | None) -> WorkerRow:
    sample = look.samples.get(row["name"])
    return WorkerRow(
        name=row["name"],
        state=row["state"],
        pid=row["pid"],
        ready=row["ready"],
        restarts=row["restarts"],
        uptime_seconds=row["uptime_seconds"],
        cpu_percent=_cpu(row["name"], look, before),
        memory_bytes=None if sample is None else sample.memory_bytes,
        attempt_seconds=_attempt_age(sample, look.now),
        health=_health(sample),
        message=row["message"],
    )


def _attempt_age(sample: WorkerSample | None, now: float) -> float | None:
    times = [] if sample is None else [time for time in sample.attempts.values() if time > 0]
    return max(0.0, now - min(times)) if times else None


def _health(sample: WorkerSample | None) -> str:
    """The worst component and its name; `no answer` of a process that tells nothing."""
    if sample is None:
        return SILENT
    worst = max(sample.health.items(), key=lambda item: item[1], default=("", 0))
    return HEALTHY[0] if not worst[1] else f"{HEALTHY[min(worst[1], 2)]}: {worst[0]}"


def _same_process(name: str, look: Look, before: Look) -> bool:
    pids = [next((row["pid"] for row in each.rows if row["name"] == name), None) for each in (look, before)]
    return pids[0] is not None and pids[0] == pids[1]


def _cpu(name: str, look: Look, before: Look | None) -> float | None:
    if before is None or not _same_process(name, look, before):
        return None
    now, then = look.samples.get(name), before.samples.get(name)
    if now is None or then is None or now.cpu_seconds is None or then.cpu_seconds is None or look.clock <= before.clock:
        return None
    return max(0.0, 100 * (now.cpu_seconds - then.cpu_seconds) / (look.clock - before.clock))


def _rate(rate: str, look: Look, before: Look | None) -> float | None:
    if before is None or look.clock <= before.clock:
        return None
    grown = 0.0
    for name, sample in look.samples.items():
        then = before.samples.get(name) if _same_process(name, look, before) else None
        # A process that began since then counts from 0; one that was not heard then has nothing to compare.
        known = 0.0 if then is None else then.counters.get(rate, 0.0)
        if then is not None or not any(row["name"] == name and row["pid"] for row in before.rows):
            grown += max(0.0, sample.counters.get(rate, 0.0) - known)
    return grown / (look.clock - before.clock)
