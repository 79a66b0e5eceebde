"""A worker that dies at the worst moment costs a redelivery and nothing else: no command is lost, none is applied twice."""

from __future__ import annotations

import asyncio

import pytest

from contracts.topics import commands_topic
from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from tests.integration.runtime.conftest import Spawn
from tests.mesh import Mesh, command_record, create, new_id, wait_for
from tests.proxy import behind, postgres_proxy

pytestmark = pytest.mark.integration
TOPIC = commands_topic("requests")


async def outcomes(mesh: Mesh, pairs: list[tuple[str, str]]) -> None:
    """Wait until each of these commands has its outcome."""

    async def look() -> bool:
        return len(await mesh.store.outcomes(pairs)) == len(pairs)

    await wait_for(look, 20, f"{len(pairs)} outcomes")


async def test_a_process_killed_between_transaction_and_commit_costs_a_redelivery(mesh_settings: MeshSettings, spawn: Spawn) -> None:
    async with Mesh(mesh_settings) as mesh:
        victim = await spawn(mesh, "", "never commits")
        requests = [new_id() for _ in range(30)]
        await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id=f"c-{each}") for each in requests])
        await outcomes(mesh, [(each, f"c-{each}") for each in requests])
        await victim.kill()
        assert await mesh.committed() == {}
        head = await mesh.store.head()
        await mesh.start(mesh.requests_worker())
        await mesh.all_committed(30)
        await mesh.counts(30, "duplicates_absorbed_total", topic=TOPIC, payload="same")
        assert await mesh.store.head() == head == 30


async def test_a_process_killed_while_its_append_stands_in_the_server_applies_nothing_twice(
    mesh_settings: MeshSettings, spawn: Spawn
) -> None:
    """The statement of a dead client goes on in the server: it commits beside the redelivery, and one of the two must yield."""
    async with Mesh(mesh_settings) as mesh:
        victim = await spawn(mesh)
        request = new_id()
        async with mesh.append_lock() as lock:
            await mesh.publish("CreateRequest", request, create(request), command_id="c1")
            await lock.stopped(1)
            await victim.kill()
            await mesh.start(mesh.requests_worker())
            await lock.stopped(2)
        assert (await mesh.outcome(request, "c1")).version == 1
        await mesh.all_committed(1)
        assert await mesh.stream(request) == ["RequestCreated"]
        assert await mesh.store.head() == 1
        await mesh.counts(1, "event_append_conflicts_total")
        await mesh.counts(1, "duplicates_absorbed_total", topic=TOPIC, payload="same")


async def test_an_append_whose_answer_is_lost_is_not_done_again(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh, postgres_proxy(mesh.settings.postgres_dsn) as proxy:
        far = mesh.settings.with_endpoints(
            postgres_dsn=behind(mesh.settings.postgres_dsn, proxy),
            redis_url=mesh.settings.redis_dsn,
            kafka_bootstrap=mesh.settings.kafka_bootstrap,
        )
        await mesh.start(mesh.planted({}, far))
        request = new_id()
        async with mesh.append_lock() as lock:
            await mesh.publish("CreateRequest", request, create(request), command_id="c1")
            await lock.stopped()
            proxy.hold_answers()
        outcome = await mesh.outcome(request, "c1")
        await asyncio.wait_for(proxy.held.wait(), 5)
        proxy.cut()
        proxy.mend()
        await mesh.all_committed(1)
        assert (await mesh.store.outcomes([(request, "c1")]))[request, "c1"] == outcome
        assert await mesh.stream(request) == ["RequestCreated"]
        assert mesh.metric("retries_total", name="append") >= 1


async def test_offsets_never_lead_the_transaction(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, partitions=1, batch_max_records=5) as mesh:
        await mesh.start(mesh.requests_worker())
        first, rest = new_id(), [new_id() for _ in range(12)]
        await mesh.do("CreateRequest", first, create(first))
        await mesh.all_committed(1)
        async with mesh.append_lock() as lock:
            await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="c1") for each in rest])
            await lock.stopped()
            # Several commit intervals pass while the batch stands before its transaction.
            await asyncio.sleep(0.6)
            assert await mesh.committed() == {0: 1}
            assert await mesh.store.head() == 1
        await mesh.all_committed(13)
        assert await mesh.store.head() == 13


async def test_a_stopped_worker_has_committed_all_that_it_did(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        worker = mesh.requests_worker()
        await mesh.start(worker)
        requests = [new_id() for _ in range(40)]
        await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="c1") for each in requests])
        await mesh.outcome(requests[0], "c1")
        await mesh.stop(worker)
        done = await mesh.store.head()
        assert sum((await mesh.committed()).values()) == done
        await mesh.start(mesh.requests_worker())
        await mesh.all_committed(40)
        assert await mesh.store.head() == 40
        assert mesh.metric("duplicates_absorbed_total", topic=TOPIC, payload="same") == 0
        found = await mesh.store.outcomes([(each, "c1") for each in requests])
        assert {outcome.kind for outcome in found.values()} == {OutcomeKind.EVENTS}
