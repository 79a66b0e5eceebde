"""What is written of an event: unfit rows park it, older versions never overwrite newer ones, and offsets of groups mean nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts.requests.events import RequestCreated
from contracts.topics import events_topic
from infra.event_store.base import OutcomeKind
from infra.read_models.base import Change, Insert, ReadModel
from infra.read_models.checkpoints import Move
from infra.read_models.postgres import ReadModelWriter
from infra.read_models.rebuild import Rebuild
from infra.settings import MeshSettings
from projections.requests.projection import REQUESTS
from tests.mesh import TENANT, Mesh, command_record, create, new_id, wait_for

pytestmark = pytest.mark.integration

UNFIT: dict[str, dict[str, Any]] = {
    "a number out of range": {"priority": 70_000},
    "text for a number": {"priority": "high"},
    "text for a time": {"created_at": "yesterday"},
    "no value where one must be": {"status": None},
    "a character that Postgres cannot hold": {"message": "a\0b"},
    "a column that there is not": {"colour": "red"},
    "JSON that is none": {"metadata": b"{"},
}


def spoiled(faults: dict[str, dict[str, Any]]) -> ReadModel:
    """The read model `requests` with a projection function that answers unfit rows for some requests."""

    def project(recorded: Any, event: RequestCreated) -> Any:
        (insert,) = REQUESTS.project[RequestCreated](recorded, event)
        return (Insert(insert.table, {**insert.values, **faults.get(event.request_id, {})}),)

    return replace(REQUESTS, project={**REQUESTS.project, RequestCreated: project})


@pytest.mark.parametrize("running", [True, False], ids=["while it follows Kafka", "while it catches up"])
async def test_rows_that_do_not_fit_park_their_aggregate_and_nothing_else(mesh_settings: MeshSettings, running: bool) -> None:
    async with Mesh(mesh_settings) as mesh:
        bad = {new_id(): fault for fault in UNFIT.values()}
        faults = dict(bad)
        good = [new_id() for _ in range(10)]
        worker = mesh.requests_worker()
        await mesh.start(worker, mesh.relay(), *([mesh.projection(spoiled(faults))] if running else []))
        every = [*good[:5], *bad, *good[5:]]
        await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="c1") for each in every])
        update = {each: {"tenant_id": TENANT, "request_id": each, "message": "Changed"} for each in every}
        await mesh.publish_many([command_record("UpdateRequest", each, update[each], command_id="c2") for each in every])
        await mesh.all_committed(2 * len(every))
        await mesh.records(count=2 * len(every))
        if not running:
            await mesh.start(mesh.projection(spoiled(faults)))
        for each in good:
            await mesh.read_model_at(each, 2)

        async def parked() -> bool:
            rows = await mesh.rows("SELECT aggregate_id, cause FROM mesh.parked_events ORDER BY position")
            return sorted(rows) == sorted([(each, cause) for each in bad for cause in ("behind", "defect")])

        await wait_for(parked, 20, "the unfit events and those behind them parked")
        assert len(await mesh.rows("SELECT 1 FROM read_requests.requests")) == len(good)
        await mesh.counts(2 * len(bad), "dead_letters_total", topic="projection:requests")
        await mesh.counts(2 * len(every), "projected_events_total", projection="requests")
        faults.clear()  # the fix
        await mesh.rows("UPDATE mesh.parked_events SET status = 'requeued' RETURNING 1")
        for each in bad:
            await mesh.read_model_at(each, 2)


async def test_an_older_version_never_overwrites_a_newer_one(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        request = new_id()
        await mesh.do("CreateRequest", request, create(request))
        await mesh.do("UpdateRequest", request, {"message": "Second"})
        await mesh.do("UpdateRequest", request, {"message": "Third"})
        first, second, third = await mesh.store.read_stream(request)
        writer = ReadModelWriter(mesh.database, REQUESTS)
        for events in ([first, second, third], [second], [first], [first, second, third], [third, second]):
            await writer.save(Move({}, {}, [change for event in events for change in REQUESTS.changes(event)]))
            rows = await mesh.rows("SELECT message, version FROM read_requests.requests")
            assert list(rows) == [("Third", 3)]
        assert len(await mesh.rows("SELECT 1 FROM read_requests.request_history")) == 3


async def test_a_change_of_a_row_that_is_not_there_makes_none(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        writer = ReadModelWriter(mesh.database, REQUESTS)
        await writer.save(Move({}, {}, [Change("requests", {"request_id": "req-0", "status": "deleted", "version": 5, "position": 9})]))
        assert list(await mesh.rows("SELECT 1 FROM read_requests.requests")) == []


async def test_offsets_of_the_group_mean_nothing(mesh_settings: MeshSettings) -> None:
    """Somebody committed the end of the topic for the group: the checkpoint is the only truth."""
    async with Mesh(mesh_settings) as mesh:
        projection = mesh.projection()
        await mesh.start(mesh.requests_worker(), mesh.relay())
        requests = [new_id() for _ in range(6)]
        for each in requests:
            await mesh.do("CreateRequest", each, create(each))
        await mesh.records(count=6)
        meddler = AIOKafkaConsumer(bootstrap_servers=mesh.settings.kafka_bootstrap, group_id=projection._group, enable_auto_commit=False)
        await meddler.start()
        partitions = [TopicPartition(mesh.topic(events_topic("requests")), number) for number in range(3)]
        meddler.assign(partitions)
        await meddler.commit(await meddler.end_offsets(partitions))
        await meddler.stop()
        await mesh.start(projection)
        for each in requests:
            await mesh.read_model_at(each, 1)


async def test_while_a_rebuild_switches_no_row_goes_to_the_tables_that_are_dropped(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rebuild stands between its comparison and its switch; a worker saves rows, with and without a checkpoint, and must wait."""
    async with Mesh(mesh_settings, partitions=1) as mesh:
        await mesh.start_all()
        old, new = new_id(), new_id()
        await mesh.do("CreateRequest", old, create(old))
        await mesh.read_model_at(old, 1)
        compared, go_on = asyncio.Event(), asyncio.Event()
        switch = Rebuild._switch

        async def slow_switch(self: Rebuild, connection: Any) -> None:
            compared.set()
            await go_on.wait()
            await switch(self, connection)

        monkeypatch.setattr(Rebuild, "_switch", slow_switch)
        rebuild = Rebuild(mesh.database, REQUESTS, {"requests": mesh.store}, 1, mesh.settings.topic_prefix)
        running = asyncio.create_task(rebuild.run(lambda done, of: None))
        await asyncio.wait_for(compared.wait(), 10)
        await mesh.do("CreateRequest", new, create(new))
        (event,) = await mesh.store.read_stream(new)
        alone = asyncio.create_task(ReadModelWriter(mesh.database, REQUESTS).save(Move({}, {}, list(REQUESTS.changes(event)))))

        async def both_wait() -> bool:
            sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
            return (await mesh.rows(sql))[0][0] == 2

        await wait_for(both_wait, 10, "the worker and the lone save waiting")
        assert [row[0] for row in await mesh.rows("SELECT request_id FROM read_requests.requests")] == [old], "reads must not fail"
        go_on.set()
        await running
        await alone
        await mesh.read_model_at(new, 1)


async def test_a_waiting_caller_is_answered_by_outcome_and_then_by_the_rows_version(mesh_settings: MeshSettings) -> None:
    """How gateway and CLI wait: many pairs at once, on the outcome first, then on its version in the read model."""
    async with Mesh(mesh_settings) as mesh:
        requests = [new_id() for _ in range(20)]
        pairs = [(each, f"c-{each}") for each in requests]
        assert await mesh.store.outcomes(pairs) == {}
        await mesh.start_all()
        await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id=f"c-{each}") for each in requests])

        async def all_known() -> bool:
            return len(await mesh.store.outcomes(pairs)) == len(pairs)

        await wait_for(all_known, 20, "every outcome")
        found = await mesh.store.outcomes([*pairs, (requests[0], f"c-{requests[1]}"), ("nobody", "c")])
        assert set(found) == set(pairs)
        assert {(outcome.kind, outcome.version) for outcome in found.values()} == {(OutcomeKind.EVENTS, 1)}
        assert len({outcome.position for outcome in found.values()}) == 20
        for aggregate_id, _ in pairs:
            await mesh.read_model_at(aggregate_id, found[aggregate_id, f"c-{aggregate_id}"].version)
