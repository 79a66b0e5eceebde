"""Commands per second from publish to read model, with the CPU time of each stage; a round warms up, then takes one burst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.benchmarks.arena import Arena, Servers
from tests.benchmarks.children import Child
from tests.benchmarks.measure import used
from tests.benchmarks.pipelines import Pipeline, publisher, running

WARM_UP = 2_000
WARM_UP_SEED = 1
BURST_SEED = 2
SLOWEST = 150


@dataclass(slots=True)
class Round:
    """One round of one pipeline."""

    kind: str
    commands: int
    seconds: float
    """From the start signal of the publisher until the last command is visible in the read model."""
    stored_seconds: float
    """Until the last command's event is stored."""
    cpu_us: dict[str, float] = field(default_factory=dict)
    """CPU microseconds a command: of each stage, Postgres, Kafka, the publisher, and everything else on the machine."""
    memory_mib: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.commands / self.seconds


def burst(pipeline: Pipeline, count: int, seed: int, warm: Child | None = None) -> Round:
    """Send `count` commands at once and wait until all are visible."""
    arena = pipeline.arena
    load = publisher(arena, "burst", count=count, seed=seed)
    arena.meter.watch("publisher", load.pid)
    last = load.hear()["last"]
    if warm is not None:
        warm_up(pipeline, warm)
    # A healthy pipeline makes far more than SLOWEST commands a second; one that does not gets its minute all the same.
    patience = 60 + count / SLOWEST
    before = arena.meter.snapshot()
    load.say("go")
    stored = pipeline.wait_for(pipeline.stored, last, patience) - before.at
    seconds = pipeline.wait_for(pipeline.visible, last, patience) - before.at
    after = arena.meter.snapshot()
    load.hear()
    arena.children.stop(load)
    cpu = {name: spent * 1e6 / count for name, spent in used(before, after).items()}
    return Round(
        pipeline.name, count, seconds, stored, cpu, {name: mib for name, mib in arena.meter.memory().items() if name in pipeline.children}
    )


def warm_up(pipeline: Pipeline, load: Child) -> None:
    """Let the first commands through: connections, prepared statements, caches, group membership."""
    last = load.hear()["last"]
    load.say("go")
    pipeline.wait_for(pipeline.visible, last, 90)
    load.hear()
    pipeline.arena.children.stop(load)


def throughput_round(servers: Servers, kind: str, count: int, beside: Mapping[str, int] | None = None, **environment: str) -> Round:
    """A fresh arena, a warm pipeline, one burst; checks that every command is there exactly once. `beside` are processes, by name and pid,
    whose CPU time is told apart."""
    with Arena(servers, kind.replace("+", "-"), **environment) as arena, running(kind, arena) as pipeline:
        for name, pid in (beside or {}).items():
            arena.meter.watch(name, pid)
        warm = publisher(arena, "burst", count=min(WARM_UP, count), seed=WARM_UP_SEED)
        done = burst(pipeline, count, BURST_SEED, warm)
        rows = pipeline.count(pipeline.visible)
        if rows != count + min(WARM_UP, count):
            raise RuntimeError(f"{kind}: {rows} rows for {count} commands")
        return done
