"""A host process that is frozen loses its runs within one lease; thawed, it harms nothing and works on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from infra.settings import MeshSettings
from projections.deadlines.projection import DEADLINES
from services.dispatcher.worker import build as build_dispatcher
from services.scheduler.worker import build as build_scheduler
from tests.integration.agents.at_work import GATED, QUICK, happened, hosts, names, process, register, request_task, start_domain
from tests.mesh import PARTITIONS, Mesh, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(240)]

TASKS = 3
LEASE = 2.0


async def result_of(mesh: Mesh, task_id: str) -> dict[str, int]:
    await happened(mesh, "tasks", task_id, "TaskCompleted")
    return dict((await mesh.store_of("tasks").read_stream(task_id))[-1].event().result)  # type: ignore[attr-defined]


async def refusals(mesh: Mesh) -> list[str]:
    return [str(row[0]) for row in await mesh.rows("SELECT code FROM tasks.inbox WHERE code IS NOT NULL")]


async def test_a_frozen_host_loses_its_runs_within_a_lease_and_its_late_results_are_refused(
    mesh_settings: MeshSettings, mesh_environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    host_environment = {
        **mesh_environment,
        "AGENTMESH_PARTITIONS": str(PARTITIONS),
        "AGENTMESH_AGENT_HOST_LEASE_SECONDS": str(LEASE),
        "AGENTMESH_AGENT_HOST_HEARTBEAT_SECONDS": "0.3",
        "AGENTMESH_KAFKA_SESSION_TIMEOUT_MS": "2000",
        "AGENTMESH_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
    }
    gate = tmp_path / "gate"
    async with Mesh(mesh_settings) as mesh, process(host_environment, "agents", "run", GATED) as frozen:
        await start_domain(mesh)
        await mesh.start(
            *(build(mesh.settings, mesh.telemetry) for build in (build_dispatcher, build_scheduler)), mesh.projection(DEADLINES)
        )
        await register(mesh)
        tasks = [await request_task(mesh, gate=str(gate)) for _ in range(TASKS)]
        for task_id in tasks:
            await happened(mesh, "tasks", task_id, "TaskStarted")
        async with process(host_environment, "agents", "run", GATED) as other:

            async def two_hosts() -> bool:
                return len(await hosts(mesh)) == 2

            await wait_for(two_hosts, 30, "the second host")
            os.kill(frozen.pid, signal.SIGSTOP)
            froze = time.monotonic()
            for task_id in tasks:
                await happened(mesh, "tasks", task_id, "TaskReassigned")
            took = time.monotonic() - froze
            results = [await result_of(mesh, task_id) for task_id in tasks]
            assert {found["attempt"] for found in results} == {2}
            assert frozen.pid not in {found["pid"] for found in results}

            gate.touch()
            os.kill(frozen.pid, signal.SIGCONT)

            async def all_refused() -> bool:
                return (await refusals(mesh)).count("STALE_ATTEMPT") >= TASKS

            await wait_for(all_refused, 30, "the late results refused")
            refused = await refusals(mesh)
            assert set(refused) == {"STALE_ATTEMPT"}
            told = [entry for entry in await mesh.store_of("tasks").read_log(0, 1_000) if entry.kind == "rejection"]
            assert len(told) >= len(refused), "each refusal is in the log, and so goes to whoever asked"
            for task_id in tasks:
                assert (await names(mesh, "tasks", task_id)).count("TaskCompleted") == 1
            other.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(other.wait(), 30) == 0
        later = await request_task(mesh)
        found = await result_of(mesh, later)
        assert found["attempt"] == 1
        assert frozen.returncode is None
        # The lease, the look of the scheduler, the way through Kafka; on a loaded machine more than on an idle one.
        assert took < LEASE + 15
