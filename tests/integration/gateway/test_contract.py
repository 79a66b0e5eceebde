"""The running gateway keeps to its own document: schemathesis tries every operation, alone and along the links, with all its checks."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from infra.local_stack.ports import free_port
from projections.agents.projection import AGENTS
from projections.approvals.projection import APPROVALS
from projections.customers.projection import CUSTOMERS
from projections.tasks.projection import TASKS
from projections.tenants.projection import TENANTS
from projections.timeline.projection import TIMELINE
from services.agents.worker import build as build_agents
from services.customers.worker import build as build_customers
from services.tasks.worker import build as build_tasks
from services.tenants.worker import build as build_tenants
from tests.integration.gateway.conftest import Spawn, bearer
from tests.mesh import Mesh

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.timeout(400)]
# A rule that no schema can tell (the share of punctuation in a message, a state that does not allow it) is 422, as is a broken schema.
CONFIGURATION = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 406, 409, 422]
"""


async def schemathesis(url: str, folder: Path, *, examples: int) -> tuple[int, str]:
    """Run it as a process; answers its exit code and what it said."""
    configuration = folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(configuration), "run", f"{url}/openapi.json"),
        *("--header", f"Authorization: {bearer('admin')['Authorization']}", "--checks", "all", "--seed", "7"),
        *("--max-examples", str(examples), "--workers", "1", "--no-color", "--generation-database", "none"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = (await process.stdout.read()).decode()
    return await process.wait(), said


async def test_every_operation_keeps_to_the_document(mesh: Mesh, spawn: Spawn, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    builds = (build_agents, build_customers, build_tasks, build_tenants)
    models = (AGENTS, APPROVALS, CUSTOMERS, TASKS, TENANTS, TIMELINE)
    await mesh.start_all()
    await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in builds), *(mesh.projection(model) for model in models))
    # The tenant's settings are tried as well: they must not limit the rest of the run.
    # A stream of events ends by itself after a moment, so that it is tried like the rest.
    gateway = await spawn(free_port(set()), AGENTMESH_GATEWAY_TENANT_LIMIT_SECONDS="3600", AGENTMESH_GATEWAY_STREAM_LONGEST_SECONDS="0.1")
    code, said = await schemathesis(gateway.url, tmp_path, examples=5)
    with capsys.disabled():
        print("\n" + said[-1500:])
    assert code == 0, said[-20_000:]
