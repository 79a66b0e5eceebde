"""The cache in Redis, shared by all processes; `guarded.py` puts circuit, time limits and the memory for missed invalidations around it.

In Redis a key has a prefix: `<namespace>:cache:<key>` for a value, `<namespace>:lease:<key>` for a lease. No pattern reaches out of
them, so an invalidation of a tenant leaves the tenant's rate limits alone, which live in the same Redis.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Callable
from functools import cached_property
from typing import Final, cast

from pydantic import JsonValue
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from infra.cache.base import ABSENT, DEFAULT_TTL_SECONDS, Absent, Lease, check_ttl, encoded
from infra.redis.errors import translated

logger = logging.getLogger(__name__)

KEYS_A_PAGE: Final = 1_000

# Value and lease change together: a fill whose lease an invalidation has ended must not write.
_FILL: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[3])
return 1
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisCache:
    """Promises as in `infra.cache.base`.

    A value is stored with its key, `[key, value]`, and one that comes back under another key is not believed: a connection whose
    answers got out of step never shows one tenant's value to another. A client that is there only once a pool is opened is given as a
    function, which is called at the first use.
    """

    def __init__(self, client: Redis | Callable[[], Redis], namespace: str = "agentmesh") -> None:
        self._given = client
        self._values = f"{namespace}:cache:"
        self._leases = f"{namespace}:lease:"

    @cached_property
    def _client(self) -> Redis:
        return self._given if isinstance(self._given, Redis) else self._given()

    @cached_property
    def _fill(self) -> AsyncScript:
        return self._client.register_script(_FILL)

    @cached_property
    def _release(self) -> AsyncScript:
        return self._client.register_script(_RELEASE)

    async def get(self, key: str) -> JsonValue | Absent:
        """See the port."""
        with translated():
            text = await self._client.get(self._values + key)
        return ABSENT if text is None else _value_of(key, cast(str, text))

    async def set(self, key: str, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> None:
        """See the port."""
        text, ttl = encoded([key, value]), check_ttl(ttl_seconds)
        with translated():
            async with self._client.pipeline(transaction=True) as together:
                together.set(self._values + key, text, ex=ttl)
                together.delete(self._leases + key)
                await together.execute()

    async def delete(self, key: str) -> bool:
        """See the port."""
        with translated():
            async with self._client.pipeline(transaction=True) as together:
                together.delete(self._leases + key)
                together.unlink(self._values + key)
                _, gone = await together.execute()
        return bool(gone)

    async def exists(self, key: str) -> bool:
        """See the port."""
        with translated():
            return bool(await self._client.exists(self._values + key))

    async def invalidate(self, pattern: str) -> int:
        """See the port. It walks through the keys of the whole Redis, page by page: gather what goes before you call it.

        Leases go first. A fill that is earlier than that has written its value before the walk for values begins, which finds it.
        """
        await self._unlink(self._leases + pattern)
        return await self._unlink(self._values + pattern)

    async def _unlink(self, pattern: str) -> int:
        cursor, gone = 0, 0
        with translated():
            while True:
                cursor, page = await self._client.scan(cursor, match=pattern, count=KEYS_A_PAGE)
                if page:
                    gone += int(await self._client.unlink(*page))
                if cursor == 0:
                    return gone

    async def lease(self, key: str, seconds: float) -> Lease | None:
        """See the port."""
        lease = Lease(key, secrets.token_hex(8))
        with translated():
            taken = await self._client.set(self._leases + key, lease.token, nx=True, px=max(1, math.ceil(seconds * 1_000)))
        return lease if taken else None

    async def fill(self, lease: Lease, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> bool:
        """See the port."""
        text, ttl = encoded([lease.key, value]), check_ttl(ttl_seconds)
        with translated():
            return bool(await self._fill([self._leases + lease.key, self._values + lease.key], [lease.token, text, ttl]))

    async def release(self, lease: Lease) -> None:
        """See the port."""
        with translated():
            await self._release([self._leases + lease.key], [lease.token])


def _value_of(key: str, text: str) -> JsonValue | Absent:
    try:
        stored = json.loads(text)
    except ValueError:
        stored = None
    if not isinstance(stored, list) or len(stored) != 2 or stored[0] != key:
        logger.warning("the cache holds something else than ours under a key of kind %s: it counts as absent", key.partition(":")[0])
        return ABSENT
    return cast(JsonValue, stored[1])
