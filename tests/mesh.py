"""A whole mesh in the test's own process: real servers, the product's own workers, and a plain publisher; used by integration tests."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from psycopg import AsyncConnection

from contracts.message import Command
from contracts.requests.commands import CreateRequest
from contracts.topics import commands_topic, events_topic, topics
from infra.event_store.base import DeadLetter, Outcome
from infra.event_store.postgres import PostgresEventStore
from infra.kafka.topics import create_topics
from infra.postgres.pool import Database
from infra.read_models.base import ReadModel
from infra.runtime.base import AggregateType, Decide
from infra.runtime.command_worker import CommandWorker
from infra.runtime.projection_worker import ProjectionWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from projections.requests.projection import REQUESTS
from services.relay.worker import RelayWorker
from services.requests.domain import evolve
from services.requests.handlers import DECISIONS
from services.requests.worker import command_worker

Found = TypeVar("Found")
PARTITIONS = 3
# What takes a second on a quiet machine takes several where tests run side by side, so every wait is this many times as long.
PATIENCE = 3.0
TENANT = "test-tenant"


def new_id() -> str:
    return f"req-{uuid.uuid4()}"


def create(request_id: str, **changes: Any) -> dict[str, Any]:
    """The payload of a valid CreateRequest."""
    payload = {
        "tenant_id": TENANT,
        "request_id": request_id,
        "customer_id": "cust-0042",
        "message": "My invoice of May is wrong",
        "priority": 2,
        "category": "billing",
        "metadata": {"channel": "mail"},
    }
    return {**payload, **changes}


def command_record(
    type_name: str, key: str | None, payload: Any, *, command_id: str | None = None, headers: Mapping[str, bytes | None] | None = None
) -> tuple[bytes | None, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of a command; a header given as None is left out."""
    named: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_id": (command_id or str(uuid.uuid4())).encode(),
        "ce_type": (type_name if "." in type_name else f"agentmesh.requests.{type_name}.v1").encode(),
        "content-type": b"application/json",
        **(headers or {}),
    }
    value = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return (
        None if key is None else key.encode(),
        value,
        [(name, content) for name, content in named.items() if content is not None],
    )


async def wait_for(check: Callable[[], Awaitable[Found | None]], seconds: float = 20.0, what: str = "the state") -> Found:
    """Wait until `check` answers something true; AssertionError names what was waited for."""
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        found = await check()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds * PATIENCE:g} s")


class Mesh:
    """Use as `async with Mesh(mesh_settings) as mesh`. Workers are started by name; those still running are stopped at the end."""

    def __init__(self, settings: MeshSettings, *, partitions: int = PARTITIONS, telemetry: Telemetry | None = None, **changes: Any) -> None:
        self.settings = settings.model_copy(update={"partitions": partitions, "pool_min_size": 1, "grace_seconds": 10.0, **changes})
        self.telemetry = telemetry or Telemetry.for_tests()
        self.database = Database(self.settings, self.settings.postgres_dsn, name="test")
        self.store = PostgresEventStore(self.database, "requests")
        self.workers: list[Any] = []
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> Mesh:
        await create_topics(self.settings.kafka_bootstrap, topics(self.settings.partitions), self.settings.topic_prefix)
        await self.database.open()
        self._producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka_bootstrap, acks="all", linger_ms=2)
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        if self._producer is not None:
            await self._producer.stop()
        await self.database.close()

    # -- workers -----------------------------------------------------------------------------------------------------

    async def start(self, *workers: Any) -> None:
        for worker in workers:
            await worker.start()
            self.workers.append(worker)

    async def stop(self, *workers: Any) -> None:
        for worker in workers:
            self.workers.remove(worker)
            await worker.stop()

    def requests_worker(self) -> CommandWorker:
        return command_worker(self.settings, self.telemetry)

    def planted(self, decisions: Mapping[type[Command], Decide], settings: MeshSettings | None = None, **changes: Any) -> CommandWorker:
        """The requests worker with some of its decisions replaced, or with its state evolved another way (`evolve`)."""
        aggregate_type = AggregateType("Request", changes.pop("evolve", evolve), {**DECISIONS, **decisions}, frozenset({CreateRequest}))
        return CommandWorker(aggregate_type, "requests", settings or self.settings, self.telemetry, **changes)

    def relay(self) -> RelayWorker:
        return RelayWorker(self.settings, self.telemetry)

    def projection(self, model: ReadModel = REQUESTS) -> ProjectionWorker:
        return ProjectionWorker(model, self.settings, self.telemetry)

    async def start_all(self) -> None:
        await self.start(self.requests_worker(), self.relay(), self.projection())

    # -- publishing and reading --------------------------------------------------------------------------------------

    @property
    def commands_topic(self) -> str:
        return self.settings.topic_prefix + commands_topic("requests")

    def topic(self, name: str) -> str:
        return self.settings.topic_prefix + name

    async def publish(
        self,
        type_name: str,
        key: str | None,
        payload: Any,
        *,
        command_id: str | None = None,
        headers: Mapping[str, bytes | None] | None = None,
        partition: int | None = None,
    ) -> str:
        """Publish one command; answers its id when it has one."""
        command_id = command_id or str(uuid.uuid4())
        record_key, value, record_headers = command_record(type_name, key, payload, command_id=command_id, headers=headers)
        assert self._producer is not None
        await self._producer.send_and_wait(self.commands_topic, value, key=record_key, headers=record_headers, partition=partition)
        return command_id

    async def send(self, topic: str, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Write one record to any topic."""
        assert self._producer is not None
        await self._producer.send_and_wait(topic, value, key=key, headers=headers)

    async def publish_many(self, records: Iterable[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]) -> None:
        assert self._producer is not None
        waits = [await self._producer.send(self.commands_topic, value, key=key, headers=headers) for key, value, headers in records]
        await asyncio.gather(*waits)

    async def publish_to(
        self, context: str, type_name: str, aggregate_id: str, payload: Any, *, command_id: str | None = None, **more: Any
    ) -> str:
        """Publish one command of any context; answers its id."""
        command_id = command_id or str(uuid.uuid4())
        full_name = f"agentmesh.{context}.{type_name}.v1"
        body = payload if isinstance(payload, bytes) else {"tenant_id": TENANT, **payload}
        key, value, headers = command_record(full_name, aggregate_id, body, command_id=command_id, **more)
        assert self._producer is not None
        await self._producer.send_and_wait(self.topic(commands_topic(context)), value, key=key, headers=headers)
        return command_id

    async def do_in(self, context: str, type_name: str, aggregate_id: str, payload: Mapping[str, Any], **more: Any) -> Outcome:
        """Publish a command of any context and wait for its outcome."""
        command_id = await self.publish_to(context, type_name, aggregate_id, payload, **more)
        return await self.outcome(aggregate_id, command_id, store=self.store_of(context))

    def store_of(self, context: str) -> PostgresEventStore:
        return PostgresEventStore(self.database, context)

    async def outcome(
        self, aggregate_id: str, command_id: str, seconds: float = 20.0, *, store: PostgresEventStore | None = None
    ) -> Outcome:
        """Wait for the recorded outcome of a command, one of `requests` unless another store is given."""

        async def look() -> Outcome | None:
            return (await (store or self.store).outcomes([(aggregate_id, command_id)])).get((aggregate_id, command_id))

        return await wait_for(look, seconds, f"the outcome of {command_id}")

    async def do(self, type_name: str, request_id: str, payload: Mapping[str, Any], **more: Any) -> Outcome:
        """Publish a command for a request and wait for its outcome."""
        body = {"tenant_id": TENANT, "request_id": request_id, **payload}
        return await self.outcome(request_id, await self.publish(type_name, request_id, body, **more))

    async def stream(self, request_id: str) -> list[str]:
        """The names of a request's events, in order."""
        return [event.metadata.type_name.split(".")[2] for event in await self.store.read_stream(request_id)]

    async def letters(self, *, count: int | None = None, seconds: float = 20.0, **wanted: Any) -> list[DeadLetter]:
        """The dead letters of a filter; waits until there are `count`."""
        if count is not None:

            async def look() -> bool:
                return len(await self.store.dead_letters(limit=10_000, **wanted)) >= count

            await wait_for(look, seconds, f"{count} dead letters {wanted}")
        return await self.store.dead_letters(limit=10_000, **wanted)

    async def requeue(self, *positions: int) -> None:
        """Mark dead letters for redrive, as `agentmesh dlq requeue` does."""
        sql = "UPDATE requests.dead_letters SET status = 'requeued', marked_by = 'ann' WHERE position = ANY (%(p)s::bigint[]) RETURNING 1"
        assert len(await self.rows(sql, p=list(positions))) == len(positions)

    def metric(self, name: str, /, **labels: str) -> float:
        """The value of one of our metrics, 0 where nothing was counted."""
        return self.telemetry.metrics.registry.get_sample_value(f"agentmesh_{name}", labels) or 0.0

    async def counts(self, value: float, name: str, /, **labels: str) -> None:
        """Wait until a metric has exactly this value: a worker counts after its transaction, which others may see before."""

        async def look() -> bool:
            return self.metric(name, **labels) == value

        try:
            await wait_for(look, 5, name)
        except AssertionError:
            raise AssertionError(f"{name}{labels} is {self.metric(name, **labels)}, not {value}") from None

    async def committed(self, group: str = "agentmesh.requests") -> dict[int, int]:
        """The offsets that a group has committed on the command topic, by partition."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.settings.topic_prefix + group)
            return {found.partition: place.offset for found, place in offsets.items() if found.topic == self.commands_topic}
        finally:
            await admin.close()

    async def all_committed(self, records: int, seconds: float = 20.0) -> None:
        """Wait until the requests worker has committed as many records."""

        async def look() -> bool:
            return sum((await self.committed()).values()) >= records

        await wait_for(look, seconds, f"{records} committed records")

    @asynccontextmanager
    async def append_lock(self) -> AsyncIterator[AppendLock]:
        """Hold the append lock of `requests`: every append of any worker stops in the server, before it has written anything."""
        lock = AppendLock(await AsyncConnection.connect(self.settings.postgres_dsn, autocommit=True))
        try:
            await lock.take()
            yield lock
        finally:
            await lock.release()

    async def rows(self, query: str, **parameters: Any) -> Sequence[Sequence[Any]]:
        return await self.database.fetch(query.encode(), parameters)

    async def read_model_at(self, request_id: str, version: int, seconds: float = 20.0) -> None:
        """Wait until the read model shows a version of a request."""

        async def look() -> bool:
            rows = await self.rows("SELECT version FROM read_requests.requests WHERE request_id = %(id)s", id=request_id)
            return bool(rows) and rows[0][0] >= version

        await wait_for(look, seconds, f"version {version} of {request_id} in the read model")

    async def records(self, topic: str = "", *, count: int | None = None, seconds: float = 10.0) -> list[ConsumerRecord]:
        """All records of a topic, as a plain client reads them: up to its end now, or until `count` have come."""
        name = self.topic(topic or events_topic("requests"))
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(name, number) for number in range(self.settings.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            wanted = count if count is not None else sum(ends.values()) - sum((await consumer.beginning_offsets(partitions)).values())
            found: list[ConsumerRecord] = []
            deadline = time.monotonic() + seconds * PATIENCE
            while len(found) < wanted and time.monotonic() < deadline:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(batch)
            return found
        finally:
            await consumer.stop()


class AppendLock:
    """Stops the appends of `requests` while it is held."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def take(self) -> None:
        await self._connection.execute("SELECT pg_advisory_lock(hashtextextended('requests.stored_events', 0))")

    async def release(self) -> None:
        await self._connection.close()

    async def stopped(self, count: int = 1, seconds: float = 20.0) -> None:
        """Wait until so many appends stand before the lock."""

        async def look() -> bool:
            rows = await self._connection.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            found = await rows.fetchone()
            return found is not None and found[0] >= count

        await wait_for(look, seconds, f"{count} appends before the lock")


def header(record: ConsumerRecord, name: str) -> str:
    """One header of a record as text; KeyError when it is not there."""
    return dict(record.headers)[name].decode()
