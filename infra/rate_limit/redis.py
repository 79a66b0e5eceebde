"""Buckets in Redis, shared by all processes (SEC-23); throttled-py's GCRA decides, in one script, by the clock of Redis."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

from redis.asyncio import Redis
from throttled.asyncio.rate_limiter.gcra import RedisLimitAtomicAction
from throttled.asyncio.store.redis import RedisStoreBackend
from throttled.exceptions import BaseThrottledError

from infra.errors import TransientError
from infra.rate_limit.base import Decision, Limit, decision
from infra.redis.errors import translated


class _OurClient(RedisStoreBackend):
    """throttled-py's access to Redis, by the worker's own pool and with the keys as they are."""

    def __init__(self, client: Redis) -> None:
        super().__init__()
        self._ours = client

    def get_client(self) -> Redis:  # type: ignore[override]
        return self._ours


class RedisRateLimiter:
    """Promises as in `infra.rate_limit.base`, for all processes on one Redis. A bucket expires once it is full again. A client that is
    there only once a pool is opened is given as a function, which is called at the first token."""

    def __init__(self, client: Redis | Callable[[], Redis], namespace: str = "") -> None:
        self._client = client
        self._namespace = namespace

    @cached_property
    def _gcra(self) -> RedisLimitAtomicAction:
        client = self._client if isinstance(self._client, Redis) else self._client()
        return RedisLimitAtomicAction(_OurClient(client))

    async def take(self, key: str, limit: Limit) -> Decision:
        """See the port."""
        interval = limit.window_seconds / limit.requests
        try:
            with translated():
                limited, remaining, full_in, token_in = await self._gcra.do([self._namespace + key], [interval, limit.requests, 1])
        except BaseThrottledError as error:
            raise TransientError(f"Redis: {error.__cause__ or error}") from error
        return decision(limit, allowed=not limited, remaining=math.floor(remaining), full_in=full_in, token_in=token_in)
