"""The rounds of the workflow benchmark: each contender alone on the machine, by turns; then one alone and half load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.arena import Arena, Servers
from tests.benchmarks.measure import percentile, used
from tests.benchmarks.workflow.contenders import CONTESTS, Product, contest
from tests.benchmarks.workflow.hops import Hop

WARM_UP = 100
ALONE, ALONE_FIRST = 10, 1_000
ALONE_PAUSE = 0.3
HALF_SECONDS = 10.0
# A burst of each takes some seconds; DBOS is slower, so it gets fewer.
COUNTS = {"product": 1_000, "celery": 1_500, "dbos": 400}


@dataclass(slots=True)
class WorkflowRound:
    """One round of one contender."""

    kind: str
    workflows: int
    seconds: float
    cpu_ms: dict[str, float]
    """CPU milliseconds a workflow: of each process, Postgres, Kafka, and everything else on the machine."""
    alone_ms: list[float]
    commands: int | None = None
    memory_mib: dict[str, float] = field(default_factory=dict)
    hops: list[Hop] = field(default_factory=list)
    """Of those that went alone."""

    @property
    def rate(self) -> float:
        return self.workflows / self.seconds


@dataclass(slots=True)
class HalfLoad:
    """A fixed rate: half of the contender's own median rate."""

    kind: str
    rate: float
    p50: float
    p99: float
    samples: int
    driver_late_ms: float


def workflow_round(servers: Servers, kind: str, count: int) -> WorkflowRound:
    """A fresh arena, warm processes, requests one by one on the idle system, then a burst."""
    with Arena(servers, f"workflow-{kind}") as arena, contest(kind, arena) as running:
        running.do("burst", first=10, count=WARM_UP)
        alone = running.do("alone", first=ALONE_FIRST, times=ALONE, pause=ALONE_PAUSE)["latencies"]
        hops = running.hops(ALONE_FIRST, ALONE)
        arena.checkpoint()
        commands, before = running.commands(), arena.meter.snapshot()
        done = running.do("burst", first=10_000, count=count)
        spent = used(before, arena.meter.snapshot())
        handled = running.commands()
        return WorkflowRound(
            kind,
            count,
            done["seconds"],
            {name: seconds * 1e3 / count for name, seconds in spent.items()},
            alone,
            None if commands is None or handled is None else handled - commands,
            arena.meter.memory(),
            hops,
        )


def half_load(servers: Servers, kind: str, rate: float, seconds: float) -> HalfLoad:
    """Latency of a whole workflow at a fixed rate, from the moment at which it was due."""
    with Arena(servers, f"workflow-half-{kind}") as arena, contest(kind, arena) as running:
        running.do("burst", first=10, count=WARM_UP)
        running.do("paced", first=5_000, rate=rate, seconds=2.0)
        found = running.do("paced", first=10_000, rate=rate, seconds=seconds)
        latencies = found["latencies"]
        return HalfLoad(kind, rate, percentile(latencies, 0.5), percentile(latencies, 0.99), len(latencies), found["late"])


def workflow_rounds(
    servers: Servers, say: Callable[[str], None], *, rounds: int, kinds: list[str], count: int | None, profiles: Path | None
) -> tuple[list[WorkflowRound], list[HalfLoad]]:
    """All rounds, by turns."""
    Product.profiles = profiles
    if profiles is not None:
        profiles.mkdir(parents=True, exist_ok=True)
    done: list[WorkflowRound] = []
    for number in range(rounds):
        for kind in kinds:
            each = workflow_round(servers, kind, count or COUNTS[kind])
            say(f"round {number + 1}: {kind} {each.rate:,.1f} workflows/s, one alone {median(each.alone_ms):,.0f} ms")
            done.append(each)
    halves = []
    for kind in kinds:
        rate = median(each.rate for each in done if each.kind == kind) / 2
        say(f"half load of {kind}: {rate:,.1f} workflows/s")
        halves.append(half_load(servers, kind, rate, HALF_SECONDS))
    return done, halves


KINDS = tuple(CONTESTS)
