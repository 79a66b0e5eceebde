"""The cache on a real Redis: the suite of the port, alone and behind its guard, and what only Redis has."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from infra.cache.base import ABSENT, Cache
from infra.cache.cached import CacheAside
from infra.cache.globs import matches
from infra.cache.guarded import GuardedCache
from infra.cache.keys import tenant_pattern
from infra.cache.redis import RedisCache
from infra.cache.settings import CacheSettings
from infra.rate_limit.keys import user_key
from infra.rate_limit.redis import RedisRateLimiter
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.telemetry.metrics import Metrics
from tests.conformance.cache import KEY, TENANT, CacheSuite
from tests.conformance.rate_limit import SLOW, take

pytestmark = pytest.mark.integration


class TestRedisCache(CacheSuite):
    """Alone."""

    @pytest.fixture
    def cache(self, client: Redis, namespace: str) -> Cache:
        return RedisCache(client, namespace)


class TestGuardedRedisCache(CacheSuite):
    """As workers use it."""

    @pytest.fixture
    async def cache(self, client: Redis, namespace: str) -> AsyncIterator[Cache]:
        guarded = GuardedCache(RedisCache(client, namespace), Metrics(), CacheSettings(operation_seconds=10.0))
        yield guarded
        assert not guarded.behind
        await guarded.close()


async def test_values_are_json_and_have_a_life(client: Redis, namespace: str) -> None:
    cache = RedisCache(client, namespace)
    await cache.set(KEY, {"a": 1})
    text = await client.get(f"{namespace}:cache:{KEY}")
    assert json.loads(text) == [KEY, {"a": 1}]
    assert 3_590 <= await client.ttl(f"{namespace}:cache:{KEY}") <= 3_600
    lease = await cache.lease(KEY, 5)
    assert lease is not None
    assert 0 < await client.pttl(f"{namespace}:lease:{KEY}") <= 5_000
    await cache.fill(lease, "b", 60)
    assert 50 <= await client.ttl(f"{namespace}:cache:{KEY}") <= 60


async def test_keys_are_found_by_scan_and_never_by_keys(client: Redis, namespace: str) -> None:
    cache = RedisCache(client, namespace)
    for number in range(20):
        await cache.set(f"list:{TENANT}:{number}", number, 60)
    await client.config_resetstat()
    assert await cache.invalidate(tenant_pattern(TENANT)) == 20
    used = await client.info("commandstats")
    assert "cmdstat_scan" in used
    assert "cmdstat_unlink" in used
    assert "cmdstat_keys" not in used


@pytest.mark.parametrize(
    "text", ["", "nonsense", '"value"', "null", "[1]", '["agent:test-tenant:2", "of another key"]', '{"0": 1, "1": 2}']
)
async def test_what_is_not_ours_or_of_another_key_counts_as_absent(
    client: Redis, namespace: str, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    await client.set(f"{namespace}:cache:{KEY}", text)
    assert await RedisCache(client, namespace).get(KEY) is ABSENT
    assert "something else than ours under a key of kind agent" in caplog.text


async def test_the_invalidation_of_a_tenant_leaves_its_rate_limits(client: Redis, namespace: str) -> None:
    cache, limiter = RedisCache(client, namespace), RedisRateLimiter(client, f"{namespace}:")
    key = user_key(TENANT, "user-1", "write")
    await take(limiter, 10, key=key)
    await cache.set(KEY, 1, 60)
    assert await cache.invalidate(tenant_pattern(TENANT)) == 1
    assert await cache.invalidate("*") == 0
    assert (await limiter.take(key, SLOW)).remaining == 89


async def test_patterns_in_memory_are_those_of_redis(client: Redis, namespace: str) -> None:
    chance = random.Random(20260102)
    letters = "aab*?[]^-\\ä"
    keys = {"".join(chance.choices(letters, k=chance.randint(1, 5))) for _ in range(400)}
    async with client.pipeline() as together:
        for key in keys:
            together.set(f"{namespace}:{key}", 1, ex=60)
        await together.execute()
    matched = 0
    for _ in range(500):
        pattern = "".join(chance.choices(letters, k=chance.randint(1, 6)))
        found = {key.removeprefix(f"{namespace}:") async for key in client.scan_iter(match=f"{namespace}:{pattern}", count=1_000)}
        assert found == {key for key in keys if matches(pattern, key)}, repr(pattern)
        matched += len(found)
    assert matched > 1_000


async def test_processes_with_pools_of_their_own_fetch_once(redis_url: str, namespace: str) -> None:
    pools = [RedisPool(redis_url, RedisPoolSettings()) for _ in range(8)]
    asked = 0

    async def fetch() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.05)
        return "value"

    for pool in pools:
        await pool.start()
    asides = [CacheAside(RedisCache(pool.client, namespace), Metrics(), CacheSettings(wait_seconds=20.0)) for pool in pools]
    readers = [aside.read_through(KEY, fetch, ttl_seconds=60) for aside in asides for _ in range(25)]
    assert await asyncio.gather(*readers) == ["value"] * 200
    assert asked == 1
    for pool in pools:
        await pool.close()


async def test_a_read_that_is_cancelled_leaves_the_connection_in_step(redis_url: str, namespace: str) -> None:
    pool = RedisPool(redis_url, RedisPoolSettings(max_connections=1))
    await pool.start()
    cache = RedisCache(pool.client, namespace)
    for number in range(100):
        await cache.set(str(number), number, 60)
    for number in range(100):
        reading = asyncio.create_task(cache.get(str(number)))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert await cache.get(str(99 - number)) == 99 - number
    await pool.close()
