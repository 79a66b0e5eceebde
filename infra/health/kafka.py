"""Sends a message of our own through the broker and waits for its return; part of readiness, run by every worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.topics import HEALTH_TOPIC
from infra.health.measured import MeasuredCheck

VERIFY_SECONDS = 5.0
CLOSE_SECONDS = 2.0
REQUEST_MILLISECONDS = 5_000


class KafkaHealthSettings(Protocol):
    """The settings that the check reads; `infra.settings.MeshSettings` has them."""

    @property
    def kafka_bootstrap(self) -> str: ...
    @property
    def topic_prefix(self) -> str: ...


class NoArrival(Exception):
    """The message did not come back in time."""


class TopicMissing(Exception):
    """The topic of the checks does not exist."""


class KafkaHealthCheck(MeasuredCheck):
    """Healthy when a message with a fresh id comes back in under 500 ms; unhealthy when it has not after 5 s.

    The consumer stays open, reads from the end and belongs to no group, so that no probe costs a rebalance. After a failure both
    clients are thrown away and made anew by the next check. Concurrent checks share the clients; each waits for its own id.
    Connecting counts against the 5 s, not as round trip. Close it with the worker.
    """

    name = "message_broker"
    detail = "round_trip_ms"
    degraded_from_ms = 500.0

    def __init__(self, settings: KafkaHealthSettings, topic: str = HEALTH_TOPIC, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self._bootstrap = settings.kafka_bootstrap
        self._topic = settings.topic_prefix + topic
        self._connecting = asyncio.Lock()
        self._clients: _Clients | None = None
        self._discarded: set[asyncio.Task[None]] = set()
        self._closed = False

    async def look(self) -> dict[str, Any]:
        """One round trip through the broker."""
        clients: _Clients | None = None
        try:
            async with asyncio.timeout(VERIFY_SECONDS):
                clients = await self._connected()
                started = self._clock()
                await clients.round_trip(uuid.uuid4().bytes)
                return {self.detail: self.since(started), "topic": self._topic}
        except Exception as error:
            self._discard(clients)
            if isinstance(error, TimeoutError):
                raise NoArrival(f"no message came back within {VERIFY_SECONDS:g} s") from None
            raise

    async def _connected(self) -> _Clients:
        async with self._connecting:
            if self._closed:
                raise NoArrival("the check is closed")
            if self._clients is not None and not self._clients.broken:
                return self._clients
            self._discard(self._clients)
            clients = _Clients(self._bootstrap, self._topic)
            try:
                await clients.start()
            except BaseException:
                self._discard(clients)
                raise
            self._clients = clients
            return clients

    def _discard(self, clients: _Clients | None) -> None:
        """Close in the background: a broker that is away must not hold up the answer."""
        if clients is None or clients.broken_off:
            return
        if self._clients is clients:
            self._clients = None
        clients.broken_off = True
        closing = asyncio.create_task(clients.close(), name="health-kafka-close")
        self._discarded.add(closing)
        closing.add_done_callback(self._discarded.discard)

    async def close(self) -> None:
        """Close the clients, also those of earlier failures; later checks answer unhealthy."""
        self._closed = True
        async with self._connecting:
            self._discard(self._clients)
        await asyncio.gather(*self._discarded)


class _Clients:
    """One producer, one consumer at the end of every partition, and the ids that somebody waits for."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        common = {
            "bootstrap_servers": bootstrap,
            "client_id": "agentmesh-health",
            "request_timeout_ms": REQUEST_MILLISECONDS,
            "retry_backoff_ms": 50,
        }
        self._consumer = AIOKafkaConsumer(group_id=None, enable_auto_commit=False, auto_offset_reset="latest", **common)
        self._producer = AIOKafkaProducer(acks="all", **common)
        self._topic = topic
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.broken_off = False

    async def start(self) -> None:
        """Both clients started and the consumer placed: what is sent from now on arrives."""
        await self._consumer.start()
        await self._producer.start()
        if self._topic not in await self._consumer.topics():
            raise TopicMissing(f"topic {self._topic} is missing: run agentmesh migrate")
        partitions = await self._producer.partitions_for(self._topic)
        self._consumer.assign([TopicPartition(self._topic, partition) for partition in partitions])
        if not await self._consumer.seek_to_end():
            raise NoArrival(f"the end of {self._topic} could not be read")
        self._reading = asyncio.create_task(self._read(), name="health-kafka-reader")

    @property
    def broken(self) -> bool:
        """Whether nothing would ever arrive: given up, or the reader has ended."""
        return self.broken_off or self._reading is None or self._reading.done()

    async def _read(self) -> None:
        while True:
            record = await self._consumer.getone()
            waiting = self._waiting.get(record.value or b"")
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def round_trip(self, value: bytes) -> None:
        """Send the value and return when it has come back."""
        reading = self._reading
        if reading is None:
            raise NoArrival("the consumer is closed")
        arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[value] = arrival
        try:
            await self._producer.send_and_wait(self._topic, value)
            await asyncio.wait({arrival, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._waiting[value]
        if not arrival.done():
            raise NoArrival("the consumer ended before the message came back")

    async def close(self) -> None:
        """Close both, each within its limit."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        for client in (self._producer, self._consumer):
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(client.stop(), timeout=CLOSE_SECONDS)
