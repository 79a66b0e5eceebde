"""Writes, reads and deletes one key of the cache; its loss only degrades a worker."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from infra.health.measured import MeasuredCheck

TTL_SECONDS = 10


class CacheMismatch(Exception):
    """The cache answered another value than was written."""


class RedisHealthCheck(MeasuredCheck):
    """Healthy when a value of our own comes back as written; there is no limit from which it counts as slow."""

    name = "cache"
    detail = "operation_time_ms"
    optional = True

    def __init__(self, client: Redis, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(clock)
        self._client = client

    async def look(self) -> dict[str, Any]:
        """Set with a short life, get, compare, delete."""
        value = str(uuid.uuid4())
        key = f"health-check-{value}"
        await self._client.set(key, value, ex=TTL_SECONDS)
        found = await self._client.get(key)
        await self._client.delete(key)
        text = found.decode() if isinstance(found, bytes) else found
        if text != value:
            raise CacheMismatch("the value read is not the value written")
        return {}
