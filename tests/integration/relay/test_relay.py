"""The relay passes nothing over, publishes in order, and is harmless when it does not know yet that it was replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from contracts.rejections import rejection_id
from infra.errors import TransientError
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.relay_positions.base import LostLeadership
from infra.relay_positions.postgres import PostgresRelayPosition
from infra.settings import MeshSettings
from services.relay.relay import ContextRelay
from services.relay.settings import RelaySettings
from services.relay.worker import RelayWorker
from tests.mesh import TENANT, Mesh, command_record, create, header, new_id, wait_for

pytestmark = pytest.mark.integration


class FailingPublisher(PagePublisher):
    """A real publisher whose n-th page fails halfway: its first records are on Kafka, the rest is not."""

    def __init__(self, *arguments: Any, fail_page: int) -> None:
        super().__init__(*arguments)
        self.fail_page = fail_page
        self.pages: list[list[int]] = []

    async def publish(self, records: Iterable[OutgoingRecord]) -> None:
        page = list(records)
        positions = [int(dict(record.headers)["ce_position"]) for record in page]
        self.pages.append(positions)
        if len(self.pages) == self.fail_page:
            await super().publish(page[: len(page) // 2])
            await self.close()
            raise TransientError("the broker went away in the middle of the page")
        await super().publish(page)


def context_relay(mesh: Mesh, publisher: PagePublisher, **settings: Any) -> ContextRelay:
    return ContextRelay(
        mesh.store,
        PostgresRelayPosition(mesh.settings.postgres_dsn, "requests"),
        publisher,
        RelaySettings(**settings),
        mesh.telemetry,
        mesh.settings.topic_prefix,
        lambda: None,
    )


async def commands(mesh: Mesh, count: int) -> list[str]:
    """Requests in the store, created and triaged."""
    ids = [new_id() for _ in range(count)]
    await mesh.publish_many(command_record("CreateRequest", request_id, create(request_id)) for request_id in ids)
    triage = {"tenant_id": TENANT, "category": "billing", "priority": 3, "confidence": 0.9}
    await mesh.publish_many(command_record("TriageRequest", request_id, {"request_id": request_id, **triage}) for request_id in ids)

    async def stored() -> bool:
        return await mesh.store.head() == 2 * count

    await wait_for(stored, what="all events in the store")
    return ids


async def end_lock_holders(mesh: Mesh) -> None:
    """End the sessions of this test's database that hold an advisory lock: they lead."""
    here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    await mesh.rows(f"SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = {here}")


async def relayed(mesh: Mesh) -> int:
    rows = await mesh.rows("SELECT position FROM mesh.relay_positions WHERE context = 'requests'")
    return int(rows[0][0]) if rows else 0


async def relayed_to(mesh: Mesh, position: int) -> None:
    async def look() -> bool:
        return await relayed(mesh) >= position

    await wait_for(look, what=f"the relay at position {position}")


def first_deliveries(records: list[Any]) -> dict[str, list[int]]:
    """The sequences of each key in the order of their first delivery."""
    seen: dict[str, list[int]] = {}
    for record in records:
        sequences = seen.setdefault(record.key.decode(), [])
        sequence = int(header(record, "ce_sequence"))
        if sequence not in sequences:
            sequences.append(sequence)
    return seen


async def test_a_failed_page_is_published_anew_before_any_later_one(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        ids = await commands(mesh, 15)
        publisher = FailingPublisher(mesh.settings, mesh.settings.kafka_bootstrap, "test", fail_page=2)
        stop = asyncio.Event()
        running = asyncio.create_task(context_relay(mesh, publisher, page_size=10).run(stop))
        await relayed_to(mesh, 30)
        stop.set()
        await running
        assert publisher.pages == [list(range(1, 11)), list(range(11, 21)), list(range(11, 21)), list(range(21, 31))]
        records = await mesh.records()
        assert len(records) == 35  # five of the failed page came twice
        assert first_deliveries(records) == {request_id: [1, 2] for request_id in ids}


async def test_a_paused_former_leader_only_repeats_and_cannot_move_the_position(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        await commands(mesh, 5)
        old, new = (PostgresRelayPosition(mesh.settings.postgres_dsn, "requests") for _ in range(2))
        first = await old.try_lead()
        assert first is not None
        assert await new.try_lead() is None

        await end_lock_holders(mesh)  # the old leader's session ends, and it does not know

        async def takes_over() -> Any:
            return await new.try_lead()

        second = await wait_for(takes_over, what="the standby's leadership")
        assert second.epoch == first.epoch + 1
        await new.advance(second, 10)
        reconnected = PostgresRelayPosition(mesh.settings.postgres_dsn, "requests")
        await reconnected._connected()
        with pytest.raises(LostLeadership):
            await reconnected.advance(first, 4)
        with pytest.raises(TransientError):
            await old.advance(first, 4)
        assert await relayed(mesh) == 10
        for position in (old, new, reconnected):
            await position.release()


async def test_a_standby_leads_when_the_leaders_session_ends_and_nothing_is_missing(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay(), mesh.relay())
        ids = await commands(mesh, 10)
        await relayed_to(mesh, 20)
        await end_lock_holders(mesh)
        more = [new_id() for _ in range(10)]
        await mesh.publish_many(command_record("CreateRequest", request_id, create(request_id)) for request_id in more)
        await relayed_to(mesh, 30)
        assert first_deliveries(await mesh.records()) == {**{i: [1, 2] for i in ids}, **{i: [1] for i in more}}


async def test_a_relay_that_dies_between_publishing_and_advancing_repeats_the_page(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker())
        ids = await commands(mesh, 5)
        publisher = FailingPublisher(mesh.settings, mesh.settings.kafka_bootstrap, "test", fail_page=0)
        from services.relay.records import outgoing_records

        await publisher.publish(outgoing_records("requests", await mesh.store.read_log(0, 100), mesh.settings.topic_prefix))
        await publisher.close()  # and here it dies: the position was never moved
        await mesh.start(RelayWorker(mesh.settings, mesh.telemetry))
        await relayed_to(mesh, 10)
        records = await mesh.records()
        assert len(records) == 20
        assert first_deliveries(records) == {request_id: [1, 2] for request_id in ids}


async def test_an_events_headers_are_the_contract(mesh_settings: MeshSettings) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        request_id = new_id()
        given = {
            "ce_source": b"/shop",
            "ce_tenantid": TENANT.encode(),
            "ce_authtype": b"user",
            "ce_authid": b"anna",
            "ce_correlationid": b"order-7",
            "ce_causationid": b"click-9",
            "traceparent": trace.encode(),
            "tracestate": b"shop=1",
        }
        command_id = await mesh.publish("CreateRequest", request_id, create(request_id), headers=given)
        await mesh.outcome(request_id, command_id)
        (record,) = await mesh.records(count=1)
        (stored,) = await mesh.store.read_stream(request_id)
        assert dict(record.headers) == {
            "ce_specversion": b"1.0",
            "ce_id": stored.metadata.message_id.encode(),
            "ce_type": b"agentmesh.requests.RequestCreated.v1",
            "ce_source": b"/agentmesh/requests",
            "ce_subject": request_id.encode(),
            "ce_time": stored.metadata.time.encode(),
            "ce_sequence": b"00000000000000000001",
            "ce_position": b"1",
            "ce_tenantid": TENANT.encode(),
            "ce_authtype": b"user",
            "ce_authid": b"anna",
            "ce_correlationid": b"order-7",
            "ce_causationid": command_id.encode(),
            "traceparent": trace.encode(),
            "tracestate": b"shop=1",
            "content-type": b"application/json",
        }
        assert record.key.decode() == request_id
        assert record.value == stored.data


async def test_a_rejection_carries_the_commands_source_correlation_and_causation(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        request_id = new_id()
        given = {"ce_source": b"/shop", "ce_correlationid": b"order-7", "ce_causationid": b"click-9"}
        command_id = await mesh.publish("StartResearch", request_id, {"tenant_id": TENANT, "request_id": request_id}, headers=given)
        outcome = await mesh.outcome(request_id, command_id)
        (record,) = await mesh.records("agentmesh.requests.rejections.v1", count=1)
        assert outcome.code == "RESOURCE_NOT_FOUND"
        assert header(record, "ce_id") == rejection_id(command_id)
        assert header(record, "ce_type") == "agentmesh.requests.CommandRejected.v1"
        assert (header(record, "ce_source"), header(record, "ce_correlationid"), header(record, "ce_causationid")) == (
            "/shop",
            "order-7",
            "click-9",
        )
        assert int(header(record, "ce_position")) == outcome.position == await mesh.store.head()
