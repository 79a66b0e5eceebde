"""Servers that are away cost a caller a 503 with a time to come back, and never a command that was accepted."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.envelope import Metadata
from infra.commands.base import OutgoingCommand
from infra.commands.kafka import KafkaCommandPublisher
from infra.errors import TransientError
from infra.event_store.base import OutcomeKind
from infra.kafka.producer import PagePublisher
from infra.local_stack.ports import free_port
from infra.local_stack.stack import server
from services.gateway.console.session import TOKEN_COOKIE
from services.gateway.settings import GatewaySettings
from services.gateway.worker import GatewayWorker
from tests.integration.gateway.conftest import LIST, PATIENT, OpenCaller, bearer, body, serve
from tests.mesh import TENANT, Mesh, new_id, wait_for
from tests.proxy import behind, postgres_proxy

pytestmark = pytest.mark.integration


def command(request_id: str) -> OutgoingCommand:
    metadata = Metadata(
        message_id=f"c-{request_id}",
        type_name="agentmesh.requests.CreateRequest.v1",
        source="/agentmesh/gateway",
        subject=request_id,
        time=datetime.now(UTC).isoformat(),
        tenant_id=TENANT,
        auth_type="user",
        auth_id="ann",
        correlation_id="c-1",
        causation_id="c-1",
        traceparent=None,
    )
    value = b'{"tenant_id":"%b","request_id":"%b","customer_id":"cust-0042","message":"My invoice"}'
    return OutgoingCommand("requests", request_id, value % (TENANT.encode(), request_id.encode()), metadata)


async def test_a_broker_that_nobody_reaches_is_a_transient_failure_and_the_next_command_tries_anew(mesh: Mesh) -> None:
    def publisher(bootstrap: str) -> KafkaCommandPublisher:
        pages = PagePublisher(mesh.settings, bootstrap, "test-gateway")
        return KafkaCommandPublisher(pages, topic_prefix=mesh.settings.topic_prefix, most_waiting=10, seconds=20)

    away, here = publisher(f"127.0.0.1:{free_port(set())}"), publisher(mesh.settings.kafka_bootstrap)
    request_id = new_id()
    for _ in range(2):
        with pytest.raises(TransientError, match="Kafka"):
            await away.publish(command(request_id))
    await mesh.start(mesh.requests_worker())
    await here.publish(command(request_id))
    assert (await mesh.outcome(request_id, f"c-{request_id}")).kind is OutcomeKind.EVENTS
    for each in (away, here):
        await each.close()


async def test_a_database_that_is_away_costs_a_read_503_and_an_accepted_command_nothing(mesh: Mesh, open_caller: OpenCaller) -> None:
    await mesh.start_all()
    async with postgres_proxy(mesh.settings.postgres_dsn) as proxy:
        far = mesh.settings.with_endpoints(
            postgres_dsn=behind(mesh.settings.postgres_dsn, proxy),
            redis_url=mesh.settings.redis_dsn,
            kafka_bootstrap=mesh.settings.kafka_bootstrap,
        ).model_copy(update={"pool_acquire_timeout_seconds": 0.3})
        own = GatewaySettings(port=free_port(set()))
        worker: Any = GatewayWorker(far, mesh.telemetry, own)
        await worker.start()
        try:
            await wait_for(lambda: _working(worker), 20, "the gateway")
            call = await open_caller(own.url)
            there = await call.created()
            proxy.cut()
            read = await call("GET", f"{LIST}/{there}")
            assert (read.status_code, read.headers["retry-after"], read.json()["error"]["code"]) == (503, "2", "SERVICE_UNAVAILABLE")
            session = bearer("admin", TENANT)["Authorization"].removeprefix("Bearer ")
            page = await call.client.get("/console/fleet", headers={"Cookie": f"{TOKEN_COOKIE}={session}"})
            assert (page.status_code, page.text.count("the database does not answer"), "Agent hosts" in page.text) == (200, 2, True)
            began = time.monotonic()
            accepted = await call("POST", LIST, json=body())
            assert accepted.status_code == 202
            assert time.monotonic() - began < 20
            told = accepted.json()
            assert (await mesh.outcome(told["request_id"], told["command_id"])).kind is OutcomeKind.EVENTS
            proxy.mend()

            async def reads_again() -> bool:
                return (await call("GET", f"{LIST}/{there}")).status_code == 200

            await wait_for(reads_again, 20, "reads after the database is back")
            assert (await call("POST", LIST, json=body(), headers=PATIENT)).status_code == 201
        finally:
            await worker.stop()


@pytest.mark.alone
async def test_a_broker_that_pauses_costs_503_and_what_is_repeated_is_done_once(
    mesh: Mesh, open_caller: OpenCaller, stack_root: Path
) -> None:
    await mesh.start_all()
    worker = await serve(mesh, publish_timeout_seconds=1, most_waiting_commands=4)
    call = await open_caller(worker._own.url)
    await call.created()
    broker = server(stack_root, "kafka").pid
    assert broker is not None
    keys = [str(uuid.uuid4()) for _ in range(12)]

    async def post(key: str, **headers: str) -> Any:
        return await call("POST", LIST, json=body(message=f"Case {key}"), headers={"Idempotency-Key": key, **headers})

    os.kill(broker, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answers = await asyncio.gather(*(post(key) for key in keys))
        took = time.monotonic() - began
        assert (await call("GET", LIST)).status_code == 200  # reads go on
    finally:
        os.kill(broker, signal.SIGCONT)
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"2"}
    assert took < 10
    for key in keys:

        async def created(key: str = key) -> bool:
            return (await post(key, **PATIENT)).status_code == 201

        await wait_for(created, 30, "an answer after the broker is back")
    rows = await mesh.rows("SELECT count(*), count(DISTINCT originator_id) FROM requests.stored_events")
    assert [tuple(row) for row in rows] == [(len(keys) + 1,) * 2]


async def _working(worker: GatewayWorker) -> bool:
    return worker.working
