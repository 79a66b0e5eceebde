"""Drops all that is fetched from a read model, once, from a process that reads nothing through the cache; run by a rebuild."""

from __future__ import annotations

import asyncio

from infra.cache.invalidation import of_everything
from infra.cache.redis import RedisCache
from infra.cache.settings import load_cache_settings
from infra.errors import TransientError
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.settings import MeshSettings


async def drop_cached(read_model: str, settings: MeshSettings) -> int:
    """Answers how many values went; 0, without a look at Redis, where nothing cached is fetched from this read model.

    Raises TransientError when Redis does not do it in time: what is kept then lives on to the end of its time.
    """
    patterns = of_everything(read_model).patterns
    if not patterns:
        return 0
    own = load_cache_settings()
    pool = RedisPool(settings.redis_dsn, RedisPoolSettings())
    try:
        async with asyncio.timeout(own.invalidation_seconds):
            await pool.start()
            cache = RedisCache(pool.client, settings.topic_prefix + own.namespace)
            return sum([await cache.invalidate(pattern) for pattern in sorted(patterns)])
    except TimeoutError:
        raise TransientError(f"Redis did not answer within {own.invalidation_seconds:g} s") from None
    finally:
        await pool.close()
