"""A process with one trivial worker, started by the tests of signals and exits: `python toy_process.py BEHAVIOUR`."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence

from infra.errors import ConfigurationError
from infra.health.base import HealthCheck
from infra.runtime.process import main
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry

LIVENESS = {"hang": 0.3, "block": 0.5}


class ToyWorker:
    """Works until it is stopped; misbehaves as it is told."""

    def __init__(self, name: str, behaviour: str) -> None:
        self.name = name
        self._behaviour = behaviour
        self._attempt = time.monotonic()
        self._stopping = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._behaviour == "refuse":
            raise ConfigurationError("The schema is missing:\nrun agentmesh migrate.")
        if self._behaviour == "broken-start":
            raise RuntimeError("a defect")
        if self._behaviour == "slow-start":
            await asyncio.sleep(60)
        self._work = asyncio.create_task(self._run(), name=f"{self.name}-work")

    async def _run(self) -> None:
        while not self._stopping.is_set():
            if self._behaviour != "hang":
                self._attempt = time.monotonic()
            await asyncio.sleep(0.02)
            if self._behaviour == "die":
                raise RuntimeError("background task died")
            if self._behaviour == "refuse-later":
                raise ExceptionGroup("tasks", [ConfigurationError("topic x is missing: run agentmesh migrate.")])
            if self._behaviour == "end":
                return
            if self._behaviour == "block":
                time.sleep(60)  # noqa: ASYNC251 - the misbehaviour under test

    async def stop(self) -> None:
        self._stopping.set()
        if self._behaviour == "stop-blocks":
            time.sleep(60)  # noqa: ASYNC251 - the misbehaviour under test
        await asyncio.sleep(60 if self._behaviour == "stop-hangs" else 1.5)
        if self._behaviour == "stop-fails":
            raise RuntimeError("cannot stop")
        logging.getLogger("toy").info("%s drained", self.name)

    async def wait_failed(self) -> None:
        if self._work is not None:
            await asyncio.wait({self._work})
            self._work.result()

    def health_checks(self) -> Sequence[HealthCheck]:
        return []

    def last_attempt(self) -> float:
        if self._behaviour == "no-attempts":
            raise RuntimeError("a defect")
        return self._attempt


def run(behaviour: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def build(name: str, settings: MeshSettings, telemetry: Telemetry) -> ToyWorker:
        if behaviour == "broken-build":
            raise RuntimeError("a defect")
        if behaviour == "refuse-build":
            raise ConfigurationError("DATABASE_URL is not set.")
        return ToyWorker(name, behaviour if name == "toy" else "work")

    builders = {name: (lambda settings, telemetry, name=name: build(name, settings, telemetry)) for name in ("toy", "other")}
    return main(builders, liveness_seconds=LIVENESS.get(behaviour, 60.0))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
