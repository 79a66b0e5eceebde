"""A gateway over real HTTP, in the test's process or as `agentmesh run gateway`, in a mesh whose other workers run in the test."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from infra.identity.base import Principal
from infra.identity.settings import load_token_settings, token_issuer
from infra.local_stack.ports import free_port
from infra.settings import MeshSettings
from infra.supervisor.readiness import is_ready, port_of
from services.gateway.settings import GatewaySettings
from services.gateway.worker import GatewayWorker
from tests.mesh import TENANT, Mesh, wait_for

ROOT = Path(__file__).resolve().parents[3]
KEY = "a-key-for-tests-that-is-long-enough"
LIST = "/api/v1/requests"
OWN, OTHERS = "cust-0042", "cust-0099"
# Ends a test's wait for what surely comes, where the machine is busy.
# Calls a minute: what tests do at once must not be refused for it. A tenant that a test creates has the limit of its settings.
MANY = "1000000"
PATIENT = {"Prefer": "wait=10"}
AT_ONCE = {"Prefer": "wait=0"}


def body(**changes: Any) -> dict[str, Any]:
    """The body of a request that nothing is wrong with."""
    return {"customer_id": OWN, "message": "My invoice of May is wrong", "category": "billing", **changes}


def bearer(role: str, tenant: str = TENANT, customer: str | None = OWN, name: str = "") -> dict[str, str]:
    """The header of a caller with this role."""
    principal = Principal(name or f"{role}-1", tenant, role, customer if role == "customer" else None)
    return {"Authorization": f"Bearer {token_issuer(load_token_settings()).issue(principal, datetime.now(UTC))}"}


class Caller:
    """Calls a gateway as one of a tenant's roles."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def __call__(
        self, method: str, path: str, role: str = "admin", *, tenant: str = TENANT, headers: Mapping[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        signed = bearer(role, tenant)
        return await self.client.request(method, path, headers={**signed, **(headers or {})}, **more)

    async def created(self, role: str = "admin", *, tenant: str = TENANT, **changes: Any) -> str:
        """The id of a request that is there and shown."""
        answer = await self("POST", LIST, role, tenant=tenant, json=body(**changes), headers=PATIENT)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["request_id"])


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AGENTMESH_GATEWAY_", "JWT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("JWT_SECRET_KEY", KEY)
    monkeypatch.setenv("AGENTMESH_RATE_LIMIT_REQUESTS", MANY)


@pytest.fixture
async def mesh(mesh_settings: MeshSettings) -> AsyncIterator[Mesh]:
    """A mesh in which no worker runs yet."""
    async with Mesh(mesh_settings) as found:
        yield found


async def serve(mesh: Mesh, settings: MeshSettings | None = None, **changes: Any) -> GatewayWorker:
    """A gateway in this process, once it answers."""
    port = free_port(set())
    worker = GatewayWorker(settings or mesh.settings, mesh.telemetry, GatewaySettings(**{"port": port, **changes}))
    await mesh.start(worker)

    async def look() -> bool:
        return worker.working

    await wait_for(look, 20, "the gateway")
    return worker


OpenCaller = Callable[[str], Awaitable[Caller]]


@pytest.fixture
async def open_caller() -> AsyncIterator[OpenCaller]:
    """Makes callers of a URL; their connections are closed at the end."""
    async with AsyncExitStack() as stack:

        async def opened(url: str) -> Caller:
            return Caller(await stack.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=60)))

        yield opened


@pytest.fixture
async def call(mesh: Mesh, open_caller: OpenCaller) -> Caller:
    """A caller of a gateway in a mesh where requests are decided, relayed and shown."""
    await mesh.start_all()
    return await open_caller((await serve(mesh))._own.url)


class GatewayProcess:
    """`agentmesh run gateway` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, url: str) -> None:
        self.process = process
        self.log = log
        self.url = url
        self.health_port = 0

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.process.wait()

    async def ended(self, seconds: float = 60) -> int:
        """Wait for its own end; answers how."""
        async with asyncio.timeout(seconds):
            return await self.process.wait()


Spawn = Callable[..., Awaitable[GatewayProcess]]


@pytest.fixture
async def spawn(mesh: Mesh, mesh_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Spawn]:
    """Starts gateways as processes; those that still run at the end are killed."""
    running: list[GatewayProcess] = []

    async def start(port: int, *, ready: bool = True, **variables: str) -> GatewayProcess:
        log = tmp_path / f"gateway-{len(running)}.log"
        environment = {
            **mesh_environment,
            "AGENTMESH_PARTITIONS": str(mesh.settings.partitions),
            "AGENTMESH_POOL_MIN_SIZE": "1",
            "AGENTMESH_GATEWAY_PORT": str(port),
            "AGENTMESH_REPLICA_NAME": "gateway",
            "JWT_SECRET_KEY": KEY,
            "AGENTMESH_RATE_LIMIT_REQUESTS": MANY,
            **variables,
        }
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "services.cli.main", "run", "gateway"),
                cwd=ROOT,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        found = GatewayProcess(process, log, f"http://127.0.0.1:{port}")
        running.append(found)
        if ready:
            await wait_for(lambda: _ready(mesh.settings, found), 30, "the gateway's process")
        return found

    yield start
    for each in running:
        await each.kill()


async def _ready(settings: MeshSettings, found: GatewayProcess) -> bool:
    assert found.process.returncode is None, found.log.read_text()[-3000:]
    port = port_of(settings.state_dir, "gateway", found.process.pid)
    found.health_port = port or 0
    return port is not None and await asyncio.to_thread(is_ready, port)
