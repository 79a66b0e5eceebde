"""The relay: whatever fails or dies, a committed entry reaches Kafka, first deliveries come in order, and a repeat is only a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaTimeoutError

from contracts.topics import dead_letters_topic, events_topic, rejections_topic
from infra.errors import TransientError
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.relay_positions.base import LostLeadership
from infra.relay_positions.postgres import PostgresRelayPosition
from infra.settings import MeshSettings
from services.relay.worker import RelayWorker
from tests.mesh import TENANT, Mesh, command_record, create, header, new_id, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTMESH_RELAY_PAGE_SIZE", "10")
    monkeypatch.setenv("AGENTMESH_RELAY_LEADER_POLL_SECONDS", "0.1")


class Wrapped:
    """The publisher of a relay, with something done before or after each page; notes the positions of every page."""

    def __init__(self, relay: RelayWorker, around: Callable[[Wrapped, list[OutgoingRecord]], Awaitable[None]]) -> None:
        self.real = relay._relays[0]._publisher
        self.pages: list[list[int]] = []
        self._around = around
        relay._relays[0]._publisher = self  # type: ignore[assignment]

    async def publish(self, records: Iterable[OutgoingRecord]) -> None:
        page = list(records)
        self.pages.append([int(dict(record.headers)["ce_position"]) for record in page])
        await self._around(self, page)

    async def close(self) -> None:
        await self.real.close()


async def fill(mesh: Mesh, requests: int, updates: int) -> list[str]:
    """Some requests with some events each, in the store."""
    ids = [new_id() for _ in range(requests)]
    worker = mesh.requests_worker()
    await mesh.start(worker)
    await mesh.publish_many([command_record("CreateRequest", each, create(each), command_id="c0") for each in ids])
    for number in range(updates):
        payloads = [(each, {"tenant_id": TENANT, "request_id": each, "message": f"Text number {number}"}) for each in ids]
        await mesh.publish_many([command_record("UpdateRequest", each, text, command_id=f"u{number}") for each, text in payloads])

    async def stored() -> bool:
        return await mesh.store.head() == requests * (updates + 1)

    await wait_for(stored, 20, "all events in the store")
    await mesh.stop(worker)
    return ids


def first_deliveries_are_in_order(records: list[ConsumerRecord]) -> None:
    """By offset within each partition: the sequence of each key's first deliveries only grows, by one."""
    seen: dict[bytes, int] = {}
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        sequence = int(header(record, "ce_sequence"))
        last = seen.get(record.key, 0)
        assert sequence <= last + 1, f"{record.key!r}: {sequence} after {last}"
        seen[record.key] = max(last, sequence)


async def kill_leader(mesh: Mesh) -> None:
    """End the database sessions that hold the leaderships, one a context."""
    holders = "SELECT pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE datname = current_database()"
    killed = await mesh.rows(f"SELECT pg_terminate_backend(pid) FROM ({holders} AND locktype = 'advisory' AND granted) AS leader")
    assert set(killed) == {(True,)}


async def all_relayed(mesh: Mesh) -> None:
    async def at_head() -> bool:
        rows = await mesh.rows("SELECT position FROM mesh.relay_positions WHERE context = 'requests'")
        return bool(rows) and rows[0][0] == await mesh.store.head()

    await wait_for(at_head, 20, "the relay at the head of the log")


async def test_events_carry_exactly_the_headers_of_the_contract(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        request = new_id()
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        given = {
            "ce_source": b"/shop/7",
            "ce_authtype": b"user",
            "ce_authid": "jörg".encode(),
            "ce_correlationid": b"corr-1",
            "ce_causationid": b"cause-1",
            "traceparent": trace.encode(),
            "tracestate": b"vendor=1",
        }
        await mesh.publish("CreateRequest", request, create(request), command_id="c1", headers=given)
        await mesh.outcome(request, "c1")
        plain = new_id()
        await mesh.publish("CreateRequest", plain, create(plain), command_id="c2")
        await mesh.outcome(plain, "c2")
        records = {record.key.decode(): record for record in await mesh.records(count=2)}
        (stored,) = await mesh.store.read_stream(request)
        full = {name: value.decode() for name, value in records[request].headers}
        assert full == {
            "ce_specversion": "1.0",
            "ce_id": stored.metadata.message_id,
            "ce_type": "agentmesh.requests.RequestCreated.v1",
            "ce_source": "/agentmesh/requests",
            "ce_subject": request,
            "ce_time": stored.metadata.time,
            "ce_sequence": "00000000000000000001",
            "ce_position": "1",
            "ce_tenantid": TENANT,
            "ce_authtype": "user",
            "ce_authid": "jörg",
            "ce_correlationid": "corr-1",
            "ce_causationid": "c1",
            "traceparent": trace,
            "tracestate": "vendor=1",
            "content-type": "application/json",
        }
        assert records[request].value == stored.data
        least = {name: value.decode() for name, value in records[plain].headers}
        assert (least["ce_authtype"], least["ce_authid"], least["ce_correlationid"]) == ("unknown", "unknown", "c2")
        assert "traceparent" not in least
        assert len(dict(records[request].headers)) == len(records[request].headers), "a header comes twice"


async def test_a_page_that_failed_in_its_middle_starts_anew_and_no_later_page_goes_before_it(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await fill(mesh, requests=6, updates=4)
        relay = mesh.relay()

        async def fail_twice(wrapped: Wrapped, page: list[OutgoingRecord]) -> None:
            if len(wrapped.pages) in (2, 3):
                # The later half of the page is acknowledged, the first half is not.
                await wrapped.real.publish(page[5:])
                raise TransientError("a send of the page failed")
            await wrapped.real.publish(page)

        wrapped = Wrapped(relay, fail_twice)
        await mesh.start(relay)
        await all_relayed(mesh)
        pages = [list(range(start, start + 10)) for start in (1, 11, 21)]
        assert wrapped.pages == [pages[0], pages[1], pages[1], pages[1], pages[2]]
        records = await mesh.records()
        assert {int(header(record, "ce_position")) for record in records} == set(range(1, 31))
        assert len(records) == 40


async def test_a_second_batch_of_a_partition_is_not_sent_before_the_first_is_acknowledged(mesh_settings: MeshSettings) -> None:
    """The first batch fails, the producer could deliver the second: its records would be the first of their keys to arrive."""
    async with Mesh(mesh_settings, partitions=1) as mesh:
        publisher = PagePublisher(mesh.settings, mesh.settings.kafka_bootstrap, "test")
        topic = mesh.topic(events_topic("requests"))
        page = [
            OutgoingRecord(topic, b"key", b"x" * 200_000, [("ce_sequence", str(number).encode()), ("ce_position", b"0")])
            for number in range(1, 13)
        ]
        producer = await publisher._started()
        real, sent = producer.send_batch, []

        async def failing(batch: Any, topic: str, *, partition: int) -> Any:
            sent.append(batch.record_count())
            if len(sent) == 1:
                failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                failed.set_exception(KafkaTimeoutError())
                return failed
            return await real(batch, topic, partition=partition)

        producer.send_batch = failing
        with pytest.raises(TransientError):
            await publisher.publish(page)
        assert len(sent) == 1
        assert await mesh.records() == []
        await publisher.publish(page)
        await publisher.close()
        assert [header(record, "ce_sequence") for record in await mesh.records(count=12)] == [str(number) for number in range(1, 13)]


async def test_a_relay_that_dies_between_publishing_and_advancing_repeats_one_page(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await fill(mesh, requests=5, updates=3)
        victim = mesh.relay()
        published = asyncio.Event()

        async def die(wrapped: Wrapped, page: list[OutgoingRecord]) -> None:
            await wrapped.real.publish(page)
            if len(wrapped.pages) == 1:
                return
            published.set()
            await asyncio.Event().wait()

        Wrapped(victim, die)
        await mesh.start(victim)
        await asyncio.wait_for(published.wait(), 10)
        assert await mesh.rows("SELECT position FROM mesh.relay_positions WHERE context = 'requests'") == [(10,)]
        for task in [victim._main]:
            assert task is not None
            task.cancel()
        await mesh.stop(victim)
        await mesh.start(mesh.relay())
        await all_relayed(mesh)
        records = await mesh.records()
        assert len(records) == 30, "the second page twice, the first once"
        assert {int(header(record, "ce_position")) for record in records} == set(range(1, 21))
        first_deliveries_are_in_order(records)


async def test_a_standby_takes_over_from_a_leader_that_lost_its_session_and_its_late_page_is_only_a_repeat(
    mesh_settings: MeshSettings,
) -> None:
    """The former leader was paused with a page in hand; when it wakes it publishes that page, and cannot advance."""
    async with Mesh(mesh_settings) as mesh:
        await fill(mesh, requests=5, updates=3)
        former, standby = mesh.relay(), mesh.relay()
        paused, wake, late = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def pause(wrapped: Wrapped, page: list[OutgoingRecord]) -> None:
            if len(wrapped.pages) == 2:
                paused.set()
                await wake.wait()
                await wrapped.real.publish(page)
                late.set()
                return
            await wrapped.real.publish(page)

        Wrapped(former, pause)
        await mesh.start(former)
        await asyncio.wait_for(paused.wait(), 10)
        await mesh.start(standby)
        await asyncio.sleep(0.3)
        assert await mesh.rows("SELECT epoch, position FROM mesh.relay_positions WHERE context = 'requests'") == [(1, 10)], (
            "two led at the same time"
        )
        await kill_leader(mesh)
        await all_relayed(mesh)
        assert await mesh.rows("SELECT epoch, position FROM mesh.relay_positions WHERE context = 'requests'") == [(2, 20)]
        wake.set()
        await asyncio.wait_for(late.wait(), 10)
        more = await fill_more(mesh)
        await all_relayed(mesh)
        records = await mesh.records()
        positions = [int(header(record, "ce_position")) for record in records]
        assert sorted(positions) == sorted([*range(1, 21), *range(11, 21), *range(21, 21 + more)])
        first_deliveries_are_in_order(records)


async def fill_more(mesh: Mesh) -> int:
    worker = mesh.requests_worker()
    await mesh.start(worker)
    for _ in range(3):
        request = new_id()
        await mesh.do("CreateRequest", request, create(request))
    return 3


async def test_a_position_is_advanced_by_compare_and_set_only(mesh_settings: MeshSettings, database: str) -> None:
    async with Mesh(mesh_settings) as mesh:
        position = PostgresRelayPosition(database, "requests")
        leadership = await position.try_lead()
        assert leadership == (1, 0)
        leadership = await position.advance(leadership, 5)
        with pytest.raises(LostLeadership):
            await position.advance(leadership._replace(position=4), 9)
        await mesh.rows("UPDATE mesh.relay_positions SET epoch = epoch + 1 WHERE context = 'requests' RETURNING 1")
        with pytest.raises(LostLeadership):
            await position.advance(leadership, 9)
        assert await mesh.rows("SELECT epoch, position FROM mesh.relay_positions WHERE context = 'requests'") == [(2, 5)]
        other = PostgresRelayPosition(database, "requests")
        assert await other.try_lead() is None
        await position.release()

        async def leads() -> bool:
            return await other.try_lead() is not None

        await wait_for(leads, 5, "the standby as leader")
        assert await mesh.rows("SELECT epoch, position FROM mesh.relay_positions WHERE context = 'requests'") == [(3, 5)]
        await other.release()


async def test_a_relay_goes_on_when_its_own_session_is_killed(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        first, second = new_id(), new_id()
        await mesh.do("CreateRequest", first, create(first))
        await all_relayed(mesh)
        await kill_leader(mesh)
        await mesh.do("CreateRequest", second, create(second))
        await all_relayed(mesh)
        assert {record.key.decode() for record in await mesh.records(count=2)} == {first, second}


async def test_a_parked_record_is_copied_even_where_it_is_too_large_to_be_copied_whole(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        request = new_id()
        huge = b"\xff" * 1_020_000
        await mesh.publish("CreateRequest", request, huge, command_id="c1", headers={"x-note": b"kept"})
        await mesh.do("CreateRequest", request, create(request), command_id="c2")
        await all_relayed(mesh)
        (copy,) = await mesh.records(dead_letters_topic("requests"), count=1)
        assert (copy.key, copy.value) == (request.encode(), b"")
        assert header(copy, "dlq.value.omitted") == str(len(huge))
        assert header(copy, "x-note") == "kept"
        (letter,) = await mesh.letters()
        assert letter.record.value == huge
        assert len(await mesh.records(count=1)) == 1


async def test_rejections_and_events_share_one_line_of_positions(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        request = new_id()
        await mesh.do("CreateRequest", request, create(request), command_id="c1")
        await mesh.do("CreateRequest", request, create(request), command_id="c2")
        await mesh.do("DeleteRequest", request, {}, command_id="c3")
        await all_relayed(mesh)
        events = await mesh.records(count=2)
        rejections = await mesh.records(rejections_topic("requests"), count=1)
        assert [header(record, "ce_position") for record in events] == ["1", "3"]
        assert [header(record, "ce_position") for record in rejections] == ["2"]
        assert [record.key for record in (*events, *rejections)] == [request.encode()] * 3
