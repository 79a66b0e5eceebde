"""`agentmesh run gateway`: ready, counted, drained on SIGTERM; killed under load it loses nothing that it answered 202."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from infra.event_store.base import OutcomeKind
from infra.local_stack.ports import free_port
from infra.supervisor.readiness import health_of, metrics_of
from tests.integration.gateway.conftest import AT_ONCE, LIST, PATIENT, Caller, Spawn, bearer, body
from tests.mesh import Mesh, wait_for

pytestmark = pytest.mark.integration
CLIENTS = 8
ACCEPTED_BEFORE_THE_KILL = 300


@asynccontextmanager
async def caller_of(url: str) -> AsyncIterator[Caller]:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
        yield Caller(client)


async def test_the_process_serves_the_api_its_health_and_its_metrics_and_drains_on_sigterm(mesh: Mesh, spawn: Spawn) -> None:
    await mesh.start_all()
    gateway = await spawn(free_port(set()))
    async with caller_of(gateway.url) as call:
        request_id = await call.created()
        assert (await call("GET", f"{LIST}/{request_id}")).status_code == 200
        answer = await call.client.get("/openapi.json")
        assert (answer.status_code, "server" in answer.headers) == (200, False)
        health = await asyncio.to_thread(health_of, gateway.health_port)
        assert health is not None
        assert {each["name"] for each in health["components"]} >= {"database", "message_broker"}
        metrics = await asyncio.to_thread(metrics_of, gateway.health_port)
        assert metrics is not None
        assert f'http_requests_total{{endpoint="{LIST}/{{request_id}}",method="GET",status="200"}} 1.0' in metrics
        assert "active_requests 0.0" in metrics
        for pool in ("gateway", "gateway.reads", "gateway.redis", "gateway.redis.partial-outputs"):
            assert f'agentmesh_pool_waiting{{pool="{pool}"}} 0.0' in metrics
        # A call that waits when the signal comes is answered before the process ends.
        await mesh.stop(*[worker for worker in mesh.workers if worker.name.startswith("projections")])
        waiting = asyncio.create_task(call("POST", LIST, json=body(), headers={"Prefer": "wait=2"}))
        await asyncio.sleep(0.3)
        gateway.signal(signal.SIGTERM)
        assert (await waiting).status_code == 202
    assert await gateway.ended() == 0
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    assert not [line for line in lines if line["level"] in ("error", "critical")]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"JWT_SECRET_KEY": ""}, "JWT_SECRET_KEY is not set"),
        ({"JWT_SECRET_KEY": "hunter2"}, "it needs at least 32"),
        ({"AGENTMESH_GATEWAY_BASE_URL": "ftp://x"}, "AGENTMESH_GATEWAY_BASE_URL"),
    ],
)
async def test_a_configuration_that_cannot_work_is_refused_with_one_line(spawn: Spawn, variables: dict[str, str], said: str) -> None:
    gateway = await spawn(free_port(set()), ready=False, **variables)
    assert await gateway.ended() == 78
    text = gateway.log.read_text()
    assert said in text
    assert "Traceback" not in text
    assert "hunter2" not in text


async def test_a_port_that_is_taken_is_refused(mesh: Mesh, spawn: Spawn) -> None:
    taken = await spawn(free_port(set()))
    second = await spawn(int(taken.url.rsplit(":", 1)[1]), ready=False, AGENTMESH_REPLICA_NAME="gateway-2")
    assert await second.ended() == 78
    assert "set AGENTMESH_GATEWAY_PORT to a free port" in second.log.read_text()


class Load:
    """Clients that post as fast as they are answered, each request with a key of its own, until the gateway is gone."""

    def __init__(self) -> None:
        self.accepted: dict[str, dict[str, str]] = {}
        self.unanswered: set[str] = set()

    async def client(self, url: str) -> None:
        headers = {**bearer("agent"), **AT_ONCE}
        async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
            while True:
                key = str(uuid.uuid4())
                self.unanswered.add(key)
                try:
                    answer = await client.post(LIST, json=body(message=f"Case {key}"), headers={**headers, "Idempotency-Key": key})
                except httpx2.TransportError:
                    return
                assert answer.status_code == 202, answer.text
                self.accepted[key] = answer.json()
                self.unanswered.discard(key)


@pytest.mark.slow
async def test_a_gateway_killed_under_load_loses_nothing_that_it_accepted_and_retries_make_nothing_twice(mesh: Mesh, spawn: Spawn) -> None:
    await mesh.start_all()
    port = free_port(set())
    first = await spawn(port)
    load = Load()
    clients = [asyncio.create_task(load.client(first.url)) for _ in range(CLIENTS)]

    async def enough() -> bool:
        return len(load.accepted) >= ACCEPTED_BEFORE_THE_KILL

    await wait_for(enough, 30, f"{ACCEPTED_BEFORE_THE_KILL} accepted commands")
    await first.kill()
    await asyncio.gather(*clients)
    assert load.unanswered  # each client was cut off in the middle of a call

    second = await spawn(port)
    async with caller_of(second.url) as call:
        for key in sorted(load.unanswered | set(list(load.accepted)[:50])):
            told = load.accepted.get(key)
            answer = await call("POST", LIST, "agent", json=body(message=f"Case {key}"), headers={**PATIENT, "Idempotency-Key": key})
            assert answer.status_code == 201, answer.text
            assert told is None or told["request_id"] == answer.json()["request_id"]
    pairs = [(told["request_id"], told["command_id"]) for told in load.accepted.values()]

    async def settled() -> bool:
        return len(await mesh.store.outcomes(pairs)) == len(pairs)

    await wait_for(settled, 30, "an outcome of every accepted command")
    assert {outcome.kind for outcome in (await mesh.store.outcomes(pairs)).values()} == {OutcomeKind.EVENTS}
    created = await mesh.rows("SELECT count(*), count(DISTINCT originator_id) FROM requests.stored_events")
    assert [tuple(row) for row in created] == [(len(load.accepted) + len(load.unanswered),) * 2]
