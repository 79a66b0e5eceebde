"""Rate limits on a real Redis: the suite of the port, what Redis keeps, and Redis killed and started again."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from infra.errors import TransientError
from infra.local_stack.redis import RedisServer
from infra.rate_limit.base import Decision, Limit, RateLimiter
from infra.rate_limit.fallback import FallbackRateLimiter
from infra.rate_limit.memory import InMemoryRateLimiter
from infra.rate_limit.redis import RedisRateLimiter
from infra.rate_limit.settings import RateLimitSettings
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.telemetry.metrics import Metrics
from tests.conformance.rate_limit import KEY, LIMIT, SLOW, RateLimitSuite, allowed, take

pytestmark = pytest.mark.integration


class TestRedisRateLimiter(RateLimitSuite):
    """Two limiters are two processes: each has a pool of its own."""

    @pytest.fixture
    def limiter(self, client: Redis, namespace: str) -> RateLimiter:
        return RedisRateLimiter(client, f"{namespace}:")

    @pytest.fixture
    async def another(self, redis_url: str, namespace: str) -> AsyncIterator[RateLimiter]:
        pool = RedisPool(redis_url, RedisPoolSettings())
        await pool.start()
        yield RedisRateLimiter(pool.client, f"{namespace}:")
        await pool.close()


class TestFallbackOnRedis(TestRedisRateLimiter):
    """As the gateway uses it."""

    @pytest.fixture
    def limiter(self, client: Redis, namespace: str) -> RateLimiter:
        settings = RateLimitSettings(operation_seconds=10.0)
        return FallbackRateLimiter(RedisRateLimiter(client, f"{namespace}:"), InMemoryRateLimiter(), Metrics(), settings)


async def test_the_bucket_lies_under_the_key_as_it_is_and_expires_when_it_is_full_again(client: Redis) -> None:
    key = f"{KEY}-of-its-own"
    await client.delete(key)
    limiter = RedisRateLimiter(client)
    await limiter.take(key, LIMIT)
    assert 0 < await client.pttl(key) <= 1_000
    await take(limiter, 49, key=key, limit=LIMIT)
    assert 20_000 < await client.pttl(key) <= 30_000
    await client.delete(key)


async def test_what_redis_lets_through_in_a_while_is_burst_and_refill(client: Redis, namespace: str) -> None:
    limiter = RedisRateLimiter(client, f"{namespace}:")
    limit = Limit(100, 10)  # ten a second
    begin = time.monotonic()
    passed = 0
    while time.monotonic() - begin < 2.0:
        passed += allowed(list(await asyncio.gather(*(limiter.take(KEY, limit) for _ in range(20)))))
        await asyncio.sleep(0.01)
    seconds = time.monotonic() - begin
    assert 100 + 10 * 1.0 <= passed <= 100 + 10 * seconds + 1


async def test_without_a_redis_it_is_a_transient_error(mortal: RedisServer, namespace: str) -> None:
    pool = RedisPool(mortal.endpoint(), RedisPoolSettings())
    await pool.start()
    limiter = RedisRateLimiter(pool.client, namespace)
    await limiter.take(KEY, LIMIT)
    mortal.kill()
    with pytest.raises(TransientError, match="Redis: "):
        await limiter.take(KEY, LIMIT)
    await pool.close()


@pytest.fixture
async def guarded(mortal: RedisServer, namespace: str) -> AsyncIterator[FallbackRateLimiter]:
    """The gateway's limiter on a mortal Redis, which it tries again after half a second."""
    pool = RedisPool(mortal.endpoint(), RedisPoolSettings())
    await pool.start()
    settings = RateLimitSettings(circuit_recovery_seconds=0.5)
    yield FallbackRateLimiter(RedisRateLimiter(pool.client, f"{namespace}:"), InMemoryRateLimiter(), Metrics(), settings)
    await pool.close()


async def until_back(limiter: FallbackRateLimiter, caplog: pytest.LogCaptureFixture) -> None:
    """Ask until Redis decides again, with a key of no interest."""
    deadline = time.monotonic() + 20
    while "shared by all processes again" not in caplog.text:
        assert time.monotonic() < deadline, "Redis did not decide again"
        await limiter.take("rate_limit:-:probe:read", LIMIT)
        await asyncio.sleep(0.05)


async def test_redis_killed_and_started_again_is_never_an_open_door(
    guarded: FallbackRateLimiter, mortal: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="infra.rate_limit.fallback")
    assert allowed(await take(guarded, 150)) == 100
    mortal.kill()
    begin = time.monotonic()
    assert allowed(await take(guarded, 150)) == 100, "the process counts by itself, with a full bucket"
    assert time.monotonic() - begin < 5.0, "a dead Redis must not cost a time-out for each request"
    mortal.start()
    await until_back(guarded, caplog)
    assert allowed(await take(guarded, 150)) == 100, "Redis comes back empty"
    levels = [record.levelname for record in caplog.records if record.name == "infra.rate_limit.fallback"]
    assert levels == ["WARNING", "INFO"]


async def test_a_redis_that_hangs_costs_a_short_limit_and_keeps_its_buckets(
    guarded: FallbackRateLimiter, mortal: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="infra.rate_limit.fallback")
    assert allowed(await take(guarded, 60)) == 60
    mortal.kill(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        decisions: list[Decision] = list(await asyncio.gather(*(guarded.take(KEY, SLOW) for _ in range(150))))
        assert allowed(decisions) == 100
        assert time.monotonic() - begin < 5.0
    finally:
        mortal.kill(signal.SIGCONT)
    await until_back(guarded, caplog)
    assert allowed(await take(guarded, 150)) <= 40
