"""Redis away: the process counts by itself, says so once, and goes back."""

from __future__ import annotations

import asyncio
import logging

import pytest

from infra.errors import TransientError
from infra.rate_limit.base import Decision, Limit, RateLimiter
from infra.rate_limit.fallback import FallbackRateLimiter
from infra.rate_limit.memory import InMemoryRateLimiter
from infra.rate_limit.settings import RateLimitSettings
from infra.telemetry.metrics import Metrics
from tests.conformance.rate_limit import KEY, SLOW, RateLimitSuite, Wait, allowed, take
from tests.unit.infra.rate_limit.test_memory_rate_limit import Clock as Nanoseconds
from tests.virtual_time import Clock


class SharedLimiter(InMemoryRateLimiter):
    """Stands for Redis: it can be away, or hang."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.hangs = False
        self.asked = 0

    async def take(self, key: str, limit: Limit) -> Decision:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise TransientError("Redis: away")
        return await super().take(key, limit)


@pytest.fixture
def shared() -> SharedLimiter:
    return SharedLimiter()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(shared: SharedLimiter, clock: Clock) -> FallbackRateLimiter:
    return FallbackRateLimiter(shared, InMemoryRateLimiter(), Metrics(), RateLimitSettings(operation_seconds=0.05), clock=clock)


class TestFallbackRateLimiter(RateLimitSuite):
    """With its store it promises what its store promises."""

    @pytest.fixture
    def nanoseconds(self) -> Nanoseconds:
        return Nanoseconds()

    @pytest.fixture
    def limiter(self, nanoseconds: Nanoseconds) -> RateLimiter:
        own = InMemoryRateLimiter(clock=nanoseconds)
        return FallbackRateLimiter(InMemoryRateLimiter(clock=nanoseconds), own, Metrics(), RateLimitSettings())

    @pytest.fixture
    def another(self, limiter: RateLimiter) -> RateLimiter:
        return limiter

    @pytest.fixture
    def wait(self, nanoseconds: Nanoseconds) -> Wait:
        return nanoseconds.wait


async def test_away_is_never_an_open_door(limiter: FallbackRateLimiter, shared: SharedLimiter) -> None:
    shared.away = True
    assert allowed(await take(limiter, 150)) == 100
    assert shared.asked == 5, "the circuit is open from the fifth failure on"


async def test_one_that_hangs_costs_its_short_limit_and_opens_the_circuit(limiter: FallbackRateLimiter, shared: SharedLimiter) -> None:
    shared.hangs = True
    assert allowed(await take(limiter, 110)) == 100
    assert shared.asked == 5


async def test_an_outage_is_logged_once_at_its_begin_and_once_at_its_end(
    limiter: FallbackRateLimiter, shared: SharedLimiter, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="infra.rate_limit.fallback")
    for _ in range(2):
        shared.away = True
        await take(limiter, 20)
        shared.away = False
        clock.now += 60.1
        await take(limiter, 5)
    ours = [record for record in caplog.records if record.name == "infra.rate_limit.fallback"]
    assert [record.levelname for record in ours] == ["WARNING", "INFO"] * 2


async def test_back_it_decides_with_the_buckets_that_it_has(limiter: FallbackRateLimiter, shared: SharedLimiter, clock: Clock) -> None:
    await take(limiter, 30)
    shared.away = True
    await take(limiter, 30)
    shared.away = False
    clock.now += 60.1
    assert (await limiter.take(KEY, SLOW)).remaining == 69
