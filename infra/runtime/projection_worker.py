"""The projection worker: events in, rows and checkpoint out in one transaction, then what they made out of date out of the cache; one per
read model, run by `agentmesh run projections`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from contracts.envelope import RecordedEvent
from contracts.topics import events_topic
from infra.cache.cached import CacheAside
from infra.cache.guarded import GuardedCache
from infra.cache.invalidator import CacheInvalidator, has_cached
from infra.cache.redis import RedisCache
from infra.cache.settings import load_cache_settings
from infra.errors import ConfigurationError
from infra.read_models.base import ReadModel
from infra.read_models.postgres import ReadModelWriter
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.runtime.following_worker import FollowingWorker, Source, read_events
from infra.settings import MeshSettings
from infra.telemetry.metrics import Metrics
from infra.telemetry.telemetry import Telemetry


class ProjectionWorker(FollowingWorker):
    """Keeps one read model up to date. A read model of another version is a ConfigurationError."""

    def __init__(self, model: ReadModel, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._read_model = model
        sources = {events_topic(context): Source(context, read_events) for context in model.contexts}
        super().__init__(f"projections.{model.name}", model, sources, settings, telemetry, durable=model.durable, gathers=model.gathers)
        self._cache = _Cache(model.name, settings, telemetry.metrics) if has_cached(model.name) else None

    async def start(self) -> None:
        """Begin, with or without Redis."""
        if self._cache is not None:
            self._cache.start()
        await super().start()

    async def stop(self) -> None:
        """Drain, then drop from the cache what was committed last."""
        await super().stop()
        if self._cache is not None:
            await self._cache.close()

    def saved(self, events: Sequence[RecordedEvent]) -> None:
        """What the events made out of date goes."""
        if self._cache is not None:
            self._cache.invalidator.changed(events)

    def saved_unseen(self) -> None:
        """All that is fetched from this read model goes."""
        if self._cache is not None:
            self._cache.invalidator.everything()

    def writer(self) -> ReadModelWriter:
        """Rows are written in the transaction of the checkpoints."""
        return ReadModelWriter(self.database, self._read_model)

    async def prepare(self) -> None:
        """The tables must be there, in the version of this code."""
        model = self._read_model
        found = await ReadModelWriter(self.database, model).definition_version()
        if found is None:
            raise ConfigurationError(f"The read model {model.name!r} has no tables. Run: agentmesh migrate")
        if found != model.version:
            raise ConfigurationError(
                f"The read model {model.name!r} has version {found}, this release needs {model.version}. "
                f"Run: agentmesh projections rebuild {model.name}"
            )


class _Cache:
    """The cache as this worker needs it: something to delete from. A Redis that is away holds up neither start nor work."""

    def __init__(self, read_model: str, settings: MeshSettings, metrics: Metrics) -> None:
        own = load_cache_settings()
        self._pool = RedisPool(settings.redis_dsn, RedisPoolSettings())
        metrics.show_pool(f"projections.{read_model}.redis", self._pool.connections)
        self._guarded = GuardedCache(RedisCache(lambda: self._pool.client, settings.topic_prefix + own.namespace), metrics, own)
        self.invalidator = CacheInvalidator(read_model, CacheAside(self._guarded, metrics, own), own.gather_seconds)
        self._opening: asyncio.Task[bool] | None = None

    def start(self) -> None:
        """Begin; until the pool is open, what should go is remembered."""
        self._opening = asyncio.create_task(self._pool.start(), name="cache-pool")
        self.invalidator.start()

    async def close(self) -> None:
        """Delete what is noted, for a short time, and close the pool."""
        await self.invalidator.close()
        await self._guarded.close()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self._pool.close()
