"""Real worker processes for the tests of the runtime."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.runtime.worker_process import MARKER, PLANT
from tests.mesh import Mesh

ROOT = Path(__file__).resolve().parents[3]


class WorkerProcess:
    """One process with a requests worker. Its output is in `log`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.process.wait()

    async def ended(self) -> int:
        """Wait for its own end; answers how."""
        async with asyncio.timeout(30):
            return await self.process.wait()


Spawn = Callable[..., Awaitable[WorkerProcess]]


@pytest.fixture
async def spawn(mesh_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Spawn]:
    """Starts worker processes of a mesh; those that still run at the end are killed."""
    running: list[WorkerProcess] = []

    async def start(mesh: Mesh, plant: str = "", *arguments: str, **settings: object) -> WorkerProcess:
        log = tmp_path / f"worker-{len(running)}.log"
        environment = {
            **mesh_environment,
            "AGENTMESH_PARTITIONS": str(mesh.settings.partitions),
            "AGENTMESH_POOL_MIN_SIZE": "1",
            "AGENTMESH_KAFKA_SESSION_TIMEOUT_MS": "1000",
            "AGENTMESH_KAFKA_HEARTBEAT_INTERVAL_MS": "300",
            **{f"AGENTMESH_{name.upper()}": str(value) for name, value in settings.items()},
            PLANT: plant,
            MARKER: str(tmp_path / "marker"),
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.integration.runtime.worker_process", *arguments),
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
            )
        running.append(WorkerProcess(process, log))
        return running[-1]

    yield start
    for worker in running:
        await worker.kill()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file in which a planted fault leaves its trace."""
    return tmp_path / "marker"
