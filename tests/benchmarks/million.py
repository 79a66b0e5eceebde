"""Memory of each worker while a great many events go through: sampled every few seconds, with its growth over the second half."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.benchmarks.arena import Arena, Servers
from tests.benchmarks.pipelines import publisher, running

SAMPLE_SECONDS = 2.0
PATIENCE = 3_600.0


@dataclass(slots=True)
class Memory:
    """Resident MiB of the workers by events projected."""

    events: int
    seconds: float
    samples: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def at(self, share: float) -> dict[str, float]:
        """The sample at this share of the way."""
        wanted = share * self.events
        return next((memory for done, memory in self.samples if done >= wanted), self.samples[-1][1])

    def largest(self) -> dict[str, float]:
        """The largest sample of each worker."""
        return {name: max(memory[name] for _, memory in self.samples) for name in self.samples[-1][1]}


def million(servers: Servers, count: int, say: Callable[[str], None]) -> Memory:
    """Publish `count` commands as fast as the broker takes them; sample until the read model has them all."""
    with Arena(servers, "million") as arena, running("product", arena) as pipeline, arena.connect() as connection:
        load = publisher(arena, "stream", count=count, seed=11)
        load.hear()
        started = time.monotonic()
        load.say("go")
        result = Memory(count, 0.0)
        while time.monotonic() - started < PATIENCE:
            row = connection.execute("SELECT coalesce(sum(next_offset), 0) FROM mesh.checkpoints").fetchone()
            done = int(str(row[0])) if row else 0
            memory = {name: mib for name, mib in arena.meter.memory().items() if name in pipeline.children}
            if done // (count // 20) > (result.samples[-1][0] if result.samples else 0) // (count // 20):
                say(f"{done:,} events: " + ", ".join(f"{name} {mib:.0f} MiB" for name, mib in memory.items()))
            result.samples.append((done, memory))
            if done >= count:
                result.seconds = time.monotonic() - started
                return result
            arena.children.check(*pipeline.children.values())
            time.sleep(SAMPLE_SECONDS)
        raise RuntimeError(f"{done} of {count} events after {PATIENCE:.0f} s")
