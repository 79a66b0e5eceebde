"""Builds the one pool of Redis connections of a worker from its settings; opened when the worker starts and closed when it stops."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, cast

from opentelemetry.trace import TracerProvider
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.errors import ConfigurationError, MeshError
from infra.redis.errors import translated
from infra.redis.settings import RedisPoolSettings
from infra.settings import mask_url
from infra.telemetry.libraries import ask_for_stable_names

logger = logging.getLogger(__name__)


class _WatchedPool(BlockingConnectionPool):
    """Knows how many callers wait for a connection; opening one that they have got is no waiting."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._asking = 0
        self._opening = 0

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """As the driver's."""
        self._asking += 1
        try:
            return await super().get_connection()  # type: ignore[no-untyped-call]
        finally:
            self._asking -= 1

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """As the driver's."""
        self._opening += 1
        try:
            await super().ensure_connection(connection)
        finally:
            self._opening -= 1

    def connections(self) -> dict[str, int]:
        (idle, _), (used, _) = self.get_connection_count()
        return {"used": used, "idle": idle, "waiting": self._asking - self._opening}


class RedisPool:
    """The connections of one worker, shared by its cache and its rate limits.

    The driver tries nothing again by itself: its callers have an answer without Redis, and repeating costs them the time that they
    wanted to save. Before a connection is used, the driver looks whether the server has closed it and opens it anew.
    """

    def __init__(self, url: str, settings: RedisPoolSettings, spans: TracerProvider | None = None) -> None:
        self._url = url
        self._spans = spans
        self._settings = settings
        self._client: Redis | None = None
        self._pool: _WatchedPool | None = None

    async def start(self) -> bool:
        """Open the pool and ping; answers whether Redis is there. Its absence degrades a worker and stops none (RES-22)."""
        limits = self._settings
        options: dict[str, Any] = {} if self._url.startswith("unix://") else {"socket_keepalive": True}
        self._pool = _WatchedPool.from_url(
            self._url,
            max_connections=limits.max_connections,
            timeout=limits.acquire_seconds,
            decode_responses=True,
            socket_connect_timeout=limits.connect_seconds,
            health_check_interval=limits.health_check_seconds,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        self._client = self._traced(Redis.from_pool(self._pool))
        logger.info(
            "redis pool opened at %s: %d connections, acquire %gs, connect %gs, health check every %ds, keep-alive %s",
            mask_url(self._url),
            limits.max_connections,
            limits.acquire_seconds,
            limits.connect_seconds,
            limits.health_check_seconds,
            "on" if options else "of no use on a Unix socket",
        )
        return await self._ping()

    def _traced(self, client: Redis) -> Redis:
        """The client, whose calls have spans where tracing is on."""
        if self._spans is not None:
            from opentelemetry.instrumentation.redis import RedisInstrumentor  # only loaded where it is used

            ask_for_stable_names()
            RedisInstrumentor.instrument_client(client, tracer_provider=self._spans)
        return client

    async def _ping(self) -> bool:
        try:
            with translated():
                await cast(Awaitable[bool], self.client.ping())
        except MeshError as error:
            logger.warning("redis does not answer at the start, the worker goes on without it: %s", error)
            return False
        return True

    @property
    def client(self) -> Redis:
        """The client of this pool; raises ConfigurationError before `start` and after `close`."""
        if self._client is None:
            raise ConfigurationError("The Redis pool is used before it was opened or after it was closed: call start() first.")
        return self._client

    def connections(self) -> dict[str, int]:
        """Connections by state (`used`, `idle`) and callers `waiting` for one, for the metrics; none before `start` and after `close`."""
        return {"used": 0, "idle": 0, "waiting": 0} if self._pool is None else self._pool.connections()

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        self._pool = None
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
            logger.info("redis pool closed")
