"""The relay worker: one relay per context, in one process; run by `agentmesh run relay`. A second one stands by."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from contracts.topics import CONTEXTS, HEALTH_TOPIC, dead_letters_topic, events_topic, rejections_topic, topics
from infra.errors import ConfigurationError
from infra.event_store.postgres import PostgresEventStore
from infra.health.base import HealthCheck
from infra.health.event_store import EventStoreHealthCheck
from infra.health.kafka import KafkaHealthCheck
from infra.health.postgres import PostgresHealthCheck
from infra.kafka.producer import PagePublisher
from infra.kafka.topics import verify_topics
from infra.migrations.runner import check_schema
from infra.postgres.pool import Database
from infra.relay_positions.postgres import PostgresRelayPosition
from infra.resilience.retry import Abandoned, TransientRetry
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.relay.relay import ContextRelay
from services.relay.settings import RelaySettings


class RelayWorker:
    """Relays every context. Readiness needs Postgres and Kafka; liveness only that it keeps trying."""

    name = "relay"

    def __init__(self, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._database = Database(settings, settings.postgres_dsn, name="agentmesh.relay")
        relay_settings = RelaySettings()
        self._stores = [PostgresEventStore(self._database, context) for context in CONTEXTS]
        self._relays = [
            ContextRelay(
                store,
                PostgresRelayPosition(settings.postgres_dsn, store.context),
                PagePublisher(settings, settings.kafka_bootstrap, f"agentmesh-relay-{store.context}"),
                relay_settings,
                telemetry,
                settings.topic_prefix,
                self._attempted,
            )
            for store in self._stores
        ]
        self._checks: list[HealthCheck] = []
        self._stopping = asyncio.Event()
        self._last_attempt = time.monotonic()
        self._main: asyncio.Task[None] | None = None

    def _attempted(self) -> None:
        self._last_attempt = time.monotonic()

    async def start(self) -> None:
        """Open the pool and begin; servers that are away are waited for."""
        await self._database.open()
        self._checks = [PostgresHealthCheck(self._database.pool), KafkaHealthCheck(self._settings)]
        self._checks += [EventStoreHealthCheck(store) for store in self._stores]
        self._main = asyncio.create_task(self._run(), name="relay-worker")

    async def _run(self) -> None:
        metrics = self._telemetry.metrics
        retry = TransientRetry(self._stopping, self._attempted, lambda name, error: metrics.retries_total.labels(name=name).inc())
        with contextlib.suppress(Abandoned):
            await retry("schema", lambda: check_schema(self._database))
            await retry("topics", self._verify_topics)
            async with asyncio.TaskGroup() as group:
                for relay in self._relays:
                    group.create_task(relay.run(self._stopping))

    async def _verify_topics(self) -> None:
        mine = {HEALTH_TOPIC}
        for context in CONTEXTS:
            mine |= {events_topic(context), rejections_topic(context), dead_letters_topic(context)}
        specs = [spec for spec in topics(self._settings.partitions) if spec.name in mine]
        await verify_topics(self._settings.kafka_bootstrap, specs, self._settings.topic_prefix)

    async def stop(self) -> None:
        """Finish the page in work, give the leadership back, close."""
        self._stopping.set()
        if self._main is not None:
            await asyncio.wait({self._main}, timeout=self._settings.grace_seconds * 0.6)
            self._main.cancel()
            await asyncio.gather(self._main, return_exceptions=True)
        for check in self._checks:
            close = getattr(check, "close", None)
            if close is not None:
                await close()
        await self._database.close()

    async def wait_failed(self) -> None:
        """Returns when the worker has stopped; raises what its work died of."""
        if self._main is None:
            raise ConfigurationError("worker relay was not started")
        await asyncio.wait({self._main})
        self._main.result()

    def health_checks(self) -> Sequence[HealthCheck]:
        """Database, broker, and each context's event store."""
        return self._checks

    def last_attempt(self) -> float:
        """`time.monotonic()` of the last page, look at the log, or try to lead."""
        return self._last_attempt


def build(settings: MeshSettings, telemetry: Telemetry) -> RelayWorker:
    """The relay of all contexts."""
    return RelayWorker(settings, telemetry)
