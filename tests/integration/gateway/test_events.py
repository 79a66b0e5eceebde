"""Streams of events of the running gateway on real servers: what a command does is told, to those who may know, in time."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import httpx2
import pytest

from infra.local_stack.ports import free_port
from infra.partial_outputs.base import Piece, Topic
from infra.partial_outputs.redis import RedisPartialOutputs
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.supervisor.readiness import metrics_of
from tests.event_stream import Parser, Received
from tests.integration.gateway.conftest import LIST, OTHERS, OWN, Caller, OpenCaller, Spawn, bearer, serve
from tests.integration.gateway.following import PATH, new_stream
from tests.mesh import TENANT, Mesh, wait_for

pytestmark = pytest.mark.integration


async def events_of(client: httpx2.AsyncClient, count: int, query: str = "?from=beginning", **who: Any) -> list[Received]:
    """The first so many events of a stream."""
    found: list[Received] = []
    parser = Parser()
    async with asyncio.timeout(60), client.stream("GET", f"{PATH}{query}", headers=bearer(**{"role": "admin", **who})) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for piece in answer.aiter_raw():
            found += parser.feed(piece)
            if len(found) >= count:
                return found
    raise AssertionError(f"the stream ended after {len(found)} events")


async def test_what_a_command_does_is_told_as_it_is_stored(mesh: Mesh, call: Caller) -> None:
    reading = asyncio.create_task(events_of(call.client, 2, "?context=requests"))
    await asyncio.sleep(0.5)
    request_id = await call.created()
    await call("PATCH", f"{LIST}/{request_id}", json={"priority": 4})
    found = await reading
    kept = await mesh.store.read_stream(request_id)
    assert [each.event for each in found] == [each.metadata.type_name for each in kept[:2]]
    assert [each.data["id"] for each in found] == [each.metadata.message_id for each in kept[:2]]
    assert found[0].data["data"]["request_id"] == request_id
    (again,) = await events_of(call.client, 1, f"?context=requests&last_event_id={found[0].id}")
    assert again.data == found[1].data


async def test_tenants_and_customers_are_told_of_their_own_only(call: Caller) -> None:
    theirs, others, own = await call.created(tenant="other"), await call.created(customer_id=OTHERS), await call.created()
    staff = await events_of(call.client, 2, "?from=beginning&type=RequestCreated")
    assert [each.data["subject"] for each in staff] == [others, own]
    (customer,) = await events_of(call.client, 1, "?from=beginning&type=RequestCreated", role="customer", customer=OWN)
    assert customer.data["subject"] == own
    (foreign,) = await events_of(call.client, 1, "?from=beginning", tenant="other")
    assert foreign.data["subject"] == theirs


async def test_a_late_commit_is_not_passed_over(mesh: Mesh, open_caller: OpenCaller) -> None:
    caller = await open_caller((await serve(mesh))._own.url)
    reading = asyncio.create_task(events_of(caller.client, 3, "?context=requests"))
    await asyncio.sleep(0.5)
    async with mesh.append_lock() as lock:
        waiting = [asyncio.create_task(mesh.store.append([new_stream("requests", 1)])) for _ in range(3)]
        await lock.stopped(3)
        assert not reading.done()
    await asyncio.gather(*waiting)
    assert [int(each.data["position"]) for each in await reading] == [1, 2, 3]


async def test_a_drained_gateway_says_so_and_its_streams_end_at_once(mesh: Mesh, spawn: Spawn) -> None:
    gateway = await spawn(free_port(set()), AGENTMESH_GATEWAY_STREAM_HEARTBEAT_SECONDS="0.2")
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=30) as client:
        parser = Parser()
        async with client.stream("GET", PATH, headers=bearer("admin")) as answer:
            pieces = answer.aiter_raw()
            while "heartbeat" not in parser.comments:
                assert not list(parser.feed(await anext(pieces)))
            found = await asyncio.to_thread(metrics_of, gateway.health_port)
            assert found is not None
            assert "agentmesh_event_streams 1.0" in found
            gateway.signal(signal.SIGTERM)
            told = [event async for piece in pieces for event in parser.feed(piece)]
        assert [each.data for each in told] == [{"reason": "drained", "retry_ms": 1_000}]
        assert parser.retry == 1_000
    assert await gateway.ended() == 0


async def test_many_readers_of_one_process_are_all_told(mesh: Mesh, open_caller: OpenCaller) -> None:
    worker = await serve(mesh)
    url = worker._own.url
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        reading = [asyncio.create_task(events_of(client, 50, "?context=tasks")) for _ in range(100)]

        async def all_open() -> bool:
            return mesh.metric("event_streams") == 100

        await wait_for(all_open, 30, "100 streams")
        for _ in range(10):
            await mesh.store_of("tasks").append([new_stream("tasks", 5, TENANT)])
        found = await asyncio.gather(*reading)
    assert {tuple(int(event.data["position"]) for event in each) for each in found} == {tuple(range(1, 51))}

    async def all_left() -> bool:
        return mesh.metric("event_streams") == 0

    await wait_for(all_left, 20, "the end of all streams")
    assert mesh.metric("event_streams_closed_total", reason="reader_left") == 100


async def test_a_request_is_streamed_with_what_models_say_about_it_to_those_who_may_read_tasks(mesh: Mesh, call: Caller) -> None:
    request_id, other = await call.created(), await call.created()
    telling = RedisPartialOutputs(RedisPool(mesh.settings.redis_dsn, RedisPoolSettings()), mesh.settings.topic_prefix)
    topic = Topic(tenant_id=TENANT, subject_id=request_id, task_id="task-1", attempt=2)

    async def tell() -> None:
        number = 0
        while True:  # what is said while nobody listens yet is lost, as it may be
            number += 1
            telling.tell(Piece(topic=topic.model_copy(update={"subject_id": other}), operation="answer", number=number, text="not this"))
            telling.tell(Piece(topic=topic, operation="answer", number=number, text="The invoice"))
            await asyncio.sleep(0.05)

    said = asyncio.create_task(tell())
    path = f"{LIST}/{request_id}/stream"
    created, partial = await _read(call.client, path, 2, "admin")
    assert (created.event, created.data["subject"]) == ("agentmesh.requests.RequestCreated.v1", request_id)
    assert (partial.event, partial.data["text"], partial.data["task_id"], partial.data["attempt"]) == (
        "partial",
        "The invoice",
        "task-1",
        2,
    )
    customer = asyncio.create_task(_read(call.client, path, 2, "customer"))
    await asyncio.sleep(0.5)
    await call("PATCH", f"{LIST}/{request_id}", json={"priority": 4})
    assert [each.event for each in await customer] == [f"agentmesh.requests.{name}.v1" for name in ("RequestCreated", "RequestUpdated")]
    assert (await call("GET", path, tenant="other")).status_code == 404
    assert (await call("GET", f"{LIST}/req-none/stream")).status_code == 404
    said.cancel()
    await asyncio.gather(said, return_exceptions=True)
    await telling.close()


async def _read(client: httpx2.AsyncClient, path: str, count: int, role: str) -> list[Received]:
    found: list[Received] = []
    parser = Parser()
    async with asyncio.timeout(60), client.stream("GET", path, headers=bearer(role)) as answer:
        async for piece in answer.aiter_raw():
            found += parser.feed(piece)
            if len(found) >= count:
                return found[:count]
    raise AssertionError(f"the stream ended after {len(found)} events")
