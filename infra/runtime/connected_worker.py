"""The life that every worker shares: a pool, health checks, one main task, attempts; the workers of the fleet build on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from aiokafka import TopicPartition

from contracts.topics import HEALTH_TOPIC, topics
from infra.errors import ConfigurationError
from infra.event_store.postgres import PostgresEventStore
from infra.health.base import HealthCheck
from infra.health.event_store import EventStoreHealthCheck
from infra.health.kafka import KafkaHealthCheck
from infra.health.postgres import PostgresHealthCheck
from infra.health.working import WorkingCheck
from infra.kafka.topics import verify_topics
from infra.migrations.runner import check_schema
from infra.postgres.pool import Database
from infra.resilience.retry import Abandoned, TransientRetry
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry

# Of the grace period; the rest is for commits and closing.
DRAIN_SHARE = 0.6


def process_identity() -> str:
    """A name of this process that no other one has, for owners of partitions and client ids."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _unnoticed() -> None:
    """An attempt of something beside the main work."""


class ConnectedWorker(ABC):
    """A worker on Postgres and Kafka. `start` never fails for a server that is away: the main task waits for it.

    A subclass gives `run` (the work, until `stopping` is set), `drain` (finish or give back what is in work) and the topics it needs.
    """

    def __init__(self, name: str, contexts: Sequence[str], settings: MeshSettings, telemetry: Telemetry, *, durable: bool = True) -> None:
        self.name = name
        self.settings = settings
        self.telemetry = telemetry
        self.identity = process_identity()
        spans = telemetry.tracing.provider
        self.database = Database(settings, settings.postgres_dsn, name=f"agentmesh.{name}", durable=durable, spans=spans)
        self.stores = {context: PostgresEventStore(self.database, context) for context in contexts}
        self.stopping = asyncio.Event()
        self.working = False
        """Set by the subclass once it consumes or stands by; readiness asks for it."""
        self._last_attempt = time.monotonic()
        self._main: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[None] | None = None
        self._checks: list[HealthCheck] = []
        self._told: set[tuple[str, str, str]] = set()
        self._at_end: dict[TopicPartition, float] = {}

    @abstractmethod
    def required_topics(self) -> Collection[str]:
        """The names, without prefix, of the topics that must be there."""

    @abstractmethod
    async def run(self) -> None:
        """The work, once schema and topics are right; ends when `stopping` is set."""

    @abstractmethod
    async def drain(self) -> None:
        """Take nothing new, finish or give back what is in work, leave the group; called once, with `stopping` set."""

    async def start(self) -> None:
        """Open the pool and begin."""
        await self.database.open()
        self.telemetry.metrics.show_pool(self.name, self.database.connections)
        self._checks = [PostgresHealthCheck(self.database.pool), KafkaHealthCheck(self.settings)]
        self._checks += [EventStoreHealthCheck(store) for store in self.stores.values()]
        self._checks.append(WorkingCheck(self.name, lambda: self.working))
        self._broken = asyncio.get_running_loop().create_future()
        self._main = asyncio.create_task(self._work(), name=f"{self.name}-worker")

    async def _work(self) -> None:
        retry = self.retry(self.stopping)
        with contextlib.suppress(Abandoned):
            await retry("schema", lambda: check_schema(self.database))
            await retry("topics", self._verify_topics)
            await self.run()

    async def _verify_topics(self) -> None:
        needed = {HEALTH_TOPIC, *self.required_topics()}
        specs = [spec for spec in topics(self.settings.partitions) if spec.name in needed]
        await verify_topics(self.settings.kafka_bootstrap, specs, self.settings.topic_prefix)

    async def stop(self) -> None:
        """Drain, end the main task, close everything."""
        self.stopping.set()
        await self.drain()
        if self._main is not None:
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)
        for check in self._checks:
            close = getattr(check, "close", None)
            if close is not None:
                await close()
        self._forget_lag(self._told)
        await self.database.close()

    def fail(self, error: Exception) -> None:
        """A bug of the runtime itself: end the process; the supervisor starts a new one where the last commit left off."""
        self.stopping.set()
        if self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    async def wait_failed(self) -> None:
        """Returns when the worker has stopped; raises what its background work died of."""
        if self._main is None or self._broken is None:
            raise ConfigurationError(f"worker {self.name} was not started")
        done, _ = await asyncio.wait({self._main, self._broken}, return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            ended.result()

    def health_checks(self) -> Sequence[HealthCheck]:
        """Database, broker and event stores."""
        return self._checks

    def last_attempt(self) -> float:
        """`time.monotonic()` of the last attempt at work, or at a server that is away."""
        return self._last_attempt

    def attempted(self) -> None:
        """Liveness is judged by attempts: this is one."""
        self._last_attempt = time.monotonic()

    def retry(self, stop: asyncio.Event, *, beside: bool = False) -> TransientRetry:
        """Tries remote calls until they succeed or `stop` is set. What runs `beside` the main work must not pass for its attempts."""
        retries = self.telemetry.metrics.retries_total
        attempted = _unnoticed if beside else self.attempted
        return TransientRetry(stop, attempted, lambda name, error: retries.labels(name=name).inc())

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the order to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), timeout=seconds)

    def report(self, group: str, lag: Mapping[TopicPartition, int], last_times: Mapping[TopicPartition, int]) -> float:
        """Tell the metrics how far a group lags, in records and in seconds at most: what waits came after the last handled record's
        timestamp, and after the last report without any. What another member of the group has now, it tells. Answers the most seconds."""
        metrics, now = self.telemetry.metrics, time.time()
        told, most = set(), 0.0
        for partition, count in lag.items():
            labels = (group, partition.topic, str(partition.partition))
            if not count:
                self._at_end[partition] = now
            since = max(last_times.get(partition, 0) / 1000, self._at_end.get(partition, 0.0))
            seconds = max(0.0, now - since) if count and since else 0.0
            metrics.consumer_lag_messages.labels(*labels).set(count)
            metrics.consumer_lag_seconds.labels(*labels).set(seconds)
            most = max(most, seconds)
            told.add(labels)
        self._forget_lag(self._told - told)
        self._told = told
        return most

    def _forget_lag(self, gone: Collection[tuple[str, str, str]]) -> None:
        for labels in gone:
            self.telemetry.metrics.consumer_lag_messages.remove(*labels)
            self.telemetry.metrics.consumer_lag_seconds.remove(*labels)
