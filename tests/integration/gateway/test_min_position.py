"""`min_position` on real servers: a projections worker that stands still, one that follows, partitions in which nothing happens."""

from __future__ import annotations

import asyncio
import time

import pytest

from infra.event_store.base import OutcomeKind
from infra.positions.base import Followed
from infra.positions.watched import KafkaEnds, WatchedPositions
from tests.integration.gateway.conftest import AT_ONCE, LIST, PATIENT, Caller, OpenCaller, body, serve
from tests.mesh import Mesh, wait_for

pytestmark = pytest.mark.integration
REQUESTS = Followed("requests", "requests")


async def accepted(mesh: Mesh, call: Caller) -> tuple[str, str]:
    """A request that is in the store, whether shown or not: its id and its position."""
    answer = await call("POST", LIST, json=body(), headers=AT_ONCE)
    assert answer.status_code == 202
    request_id, command_id = answer.json()["request_id"], answer.json()["command_id"]
    outcome = await mesh.outcome(request_id, command_id)
    assert outcome.kind is OutcomeKind.EVENTS
    return request_id, f"requests:{outcome.position}"


async def test_a_read_waits_for_a_read_model_that_stands_still_and_says_how_old_it_is(mesh: Mesh, open_caller: OpenCaller) -> None:
    projection = mesh.projection()
    await mesh.start(mesh.requests_worker(), mesh.relay(), projection)
    call = await open_caller((await serve(mesh))._own.url)
    first = await call("POST", LIST, json=body(), headers=PATIENT)
    shown = first.json()["position"]
    assert (first.status_code, (await call("GET", f"{first.headers['location']}?min_position={shown}")).headers["agentmesh-position"]) == (
        201,
        shown,
    )
    await mesh.stop(projection)

    request_id, position = await accepted(mesh, call)
    began = time.monotonic()
    stale = await call("GET", f"{LIST}?min_position={position}", headers={"Prefer": "wait=2"})
    assert time.monotonic() - began >= 1.9
    assert (stale.status_code, stale.headers["agentmesh-stale"], stale.headers["preference-applied"]) == (200, "true", "wait=2")
    assert int(stale.headers["agentmesh-position"].removeprefix("requests:")) < int(position.removeprefix("requests:"))
    assert request_id not in {item["request_id"] for item in stale.json()["items"]}
    missing = await call("GET", f"{LIST}/{request_id}?min_position={position}", headers=AT_ONCE)
    assert (missing.status_code, missing.headers["agentmesh-stale"]) == (404, "true")

    # Both wait on the same watch until the worker is back.
    waiting = [
        asyncio.create_task(call("GET", f"{path}?min_position={position}", headers=PATIENT)) for path in (LIST, f"{LIST}/{request_id}")
    ]
    await mesh.start(mesh.projection())
    listed, one = await asyncio.gather(*waiting)
    assert (one.status_code, one.json()["request_id"], "agentmesh-stale" in one.headers) == (200, request_id, False)
    assert request_id in {item["request_id"] for item in listed.json()["items"]}
    assert "agentmesh-stale" not in listed.headers


async def test_a_list_is_new_enough_although_most_partitions_are_silent(mesh: Mesh, call: Caller) -> None:
    await call.created()  # from here on nothing is caught up from the store, which would move every partition
    request_id, position = await accepted(mesh, call)
    for path in (LIST, f"{LIST}/{request_id}"):
        answer = await call("GET", f"{path}?min_position={position}", headers=PATIENT)
        assert (answer.status_code, "agentmesh-stale" in answer.headers) == (200, False), path
        assert int(answer.headers["agentmesh-position"].removeprefix("requests:")) >= int(position.removeprefix("requests:"))
    reached = "SELECT partition FROM mesh.checkpoints WHERE position >= %(position)s"
    assert len(await mesh.rows(reached, position=int(position.removeprefix("requests:")))) == 1
    # A rejection takes a position too, and no read model has an event for it.
    refused = await call("POST", f"{LIST}/{request_id}/approve", json={"approved": False, "reason": "no"}, headers=PATIENT)
    assert refused.status_code == 422
    head = await mesh.store.head()
    answer = await call("GET", f"{LIST}?min_position=requests:{head}", headers=PATIENT)
    assert (answer.headers["agentmesh-position"], "agentmesh-stale" in answer.headers) == (f"requests:{head}", False)
    beyond = await call("GET", f"{LIST}?min_position=requests:{head + 1}", headers=AT_ONCE)
    assert (beyond.status_code, beyond.headers["agentmesh-position"], beyond.headers["agentmesh-stale"]) == (
        200,
        f"requests:{head}",
        "true",
    )


async def test_without_a_relay_an_end_of_a_partition_says_nothing_of_what_is_not_on_kafka(mesh: Mesh, open_caller: OpenCaller) -> None:
    projection = mesh.projection()
    await mesh.start(mesh.requests_worker(), projection)

    async def consumes() -> bool:  # it has caught up from the store, and takes what comes from Kafka only from now on
        return projection.working and len(await mesh.rows("SELECT FROM mesh.checkpoints")) == mesh.settings.partitions

    await wait_for(consumes, 20, "the projections worker")
    call = await open_caller((await serve(mesh))._own.url)
    _, position = await accepted(mesh, call)
    stale = await call("GET", f"{LIST}?min_position={position}")
    assert (stale.headers["agentmesh-position"], stale.headers["agentmesh-stale"]) == ("requests:0", "true")
    await mesh.start(mesh.relay())
    answer = await call("GET", f"{LIST}?min_position={position}", headers=PATIENT)
    assert "agentmesh-stale" not in answer.headers


async def test_while_kafka_is_away_the_checkpoints_alone_are_asked(mesh: Mesh) -> None:
    await mesh.start_all()
    first = await mesh.do("CreateRequest", "req-1", body())
    await mesh.read_model_at("req-1", first.version)
    outcome = await mesh.do("CreateRequest", "req-2", body())
    position = outcome.position or 0
    settings = mesh.settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    ends = KafkaEnds(settings, "test")
    away = WatchedPositions(mesh.database, ends, partitions=mesh.settings.partitions, topic_prefix=mesh.settings.topic_prefix)

    async def followed() -> bool:
        return await away.reach(REQUESTS, position, "req-2", time.monotonic()) == position

    await wait_for(followed, 20, "the checkpoint of its partition")
    began = time.monotonic()
    assert (
        await away.reach(REQUESTS, position, None, began + 0.5) < position
    )  # the other partitions are silent, and nobody can tell that they are
    assert time.monotonic() - began < 8
    await away.close()
    await ends.close()
