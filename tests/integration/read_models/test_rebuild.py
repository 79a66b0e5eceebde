"""A read model is rebuilt beside itself: under write load, with reads that never fail, and refused when it is not equal."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from infra.errors import ConfigurationError
from infra.read_models.rebuild import Rebuild, RebuildDiffers
from infra.settings import MeshSettings
from projections.requests.projection import REQUESTS
from projections.requests.queries import ListRequests, list_requests
from tests.mesh import TENANT, Mesh, command_record, create, new_id, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


def rebuild(mesh: Mesh, model: object = REQUESTS) -> Rebuild:
    return Rebuild(mesh.database, model, {"requests": mesh.store}, mesh.settings.partitions, mesh.settings.topic_prefix)  # type: ignore[arg-type]


async def fill(mesh: Mesh, count: int) -> list[str]:
    ids = [new_id() for _ in range(count)]
    await mesh.publish_many(command_record("CreateRequest", request_id, create(request_id)) for request_id in ids)
    return ids


async def rows_are(mesh: Mesh, count: int) -> None:
    async def look() -> bool:
        return (await mesh.rows("SELECT count(*) FROM read_requests.requests"))[0][0] == count

    await wait_for(look, 40, f"{count} rows")


async def test_a_rebuild_under_write_load_ends_equal_and_reads_never_fail(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start_all()
        await fill(mesh, 1_000)
        await rows_are(mesh, 1_000)
        over = asyncio.Event()
        reads = 0

        async def read() -> None:
            nonlocal reads
            while not over.is_set():
                assert len(await list_requests(mesh.database, ListRequests(tenant_id=TENANT, limit=50))) == 50
                reads += 1

        async def write() -> int:
            written = 0
            while not over.is_set():
                written += len(await fill(mesh, 20))
            return written

        reading, writing = asyncio.create_task(read()), asyncio.create_task(write())
        reports = [await rebuild(mesh).run(lambda done, of: None) for _ in range(2)]
        over.set()
        await reading
        total = 1_000 + await writing
        assert all(report.compared and report.events >= 1_000 and report.parked == 0 for report in reports)
        assert reads > 0
        await rows_are(mesh, total)
        report = await rebuild(mesh).run(lambda done, of: None)  # and what was written since the switch is right too
        assert (report.events, report.rows) == (total, 2 * total)


async def test_a_rebuild_that_differs_names_the_rows_and_switches_nothing(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start_all()
        (request_id,) = await fill(mesh, 1)
        await mesh.read_model_at(request_id, 1)
        await mesh.database.execute(b"UPDATE read_requests.requests SET status = 'completed'", {})
        with pytest.raises(RebuildDiffers, match=request_id):
            await rebuild(mesh).run(lambda done, of: None)
        assert (await mesh.rows("SELECT status FROM read_requests.requests"))[0][0] == "completed"
        await rebuild(mesh).run(lambda done, of: None, accept_differences=True)
        assert (await mesh.rows("SELECT status FROM read_requests.requests"))[0][0] == "pending"


async def test_a_new_definition_is_built_without_comparing_and_its_worker_goes_on_from_the_checkpoint(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        old = mesh.projection()
        await mesh.start(mesh.requests_worker(), mesh.relay(), old)
        (request_id,) = await fill(mesh, 1)
        await mesh.read_model_at(request_id, 1)
        await mesh.stop(old)
        newer = replace(REQUESTS, version=REQUESTS.version + 1)
        report = await rebuild(mesh, newer).run(lambda done, of: None)
        assert (report.compared, report.events) == (False, 1)
        await mesh.start(mesh.projection(newer))
        (late,) = await fill(mesh, 1)
        await mesh.read_model_at(late, 1)


async def test_two_rebuilds_of_one_read_model_do_not_run_at_the_same_time(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        name = "agentmesh.rebuild.requests"
        async with mesh.database.connection() as other:
            await other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
            with pytest.raises(ConfigurationError, match="Another rebuild"):
                await rebuild(mesh).run(lambda done, of: None)
            await other.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
