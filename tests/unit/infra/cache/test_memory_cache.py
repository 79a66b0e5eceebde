"""The cache in memory: the suite of the port, alone and behind its guard, and its bound."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from infra.cache.base import ABSENT, Cache
from infra.cache.guarded import GuardedCache
from infra.cache.memory import InMemoryCache
from infra.cache.settings import CacheSettings
from infra.telemetry.metrics import Metrics
from tests.conformance.cache import CacheSuite, Wait
from tests.virtual_time import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wait(clock: Clock) -> Wait:
    return clock.sleep


class TestInMemoryCache(CacheSuite):
    """Alone."""

    @pytest.fixture
    def cache(self, clock: Clock) -> Cache:
        return InMemoryCache(clock=clock)


class TestGuardedInMemoryCache(CacheSuite):
    """The guard changes no promise."""

    @pytest.fixture
    async def cache(self, clock: Clock) -> AsyncIterator[Cache]:
        guarded = GuardedCache(InMemoryCache(clock=clock), Metrics(), CacheSettings())
        yield guarded
        assert not guarded.behind
        await guarded.close()


async def test_beyond_the_bound_what_was_not_used_longest_goes() -> None:
    cache = InMemoryCache(max_entries=3)
    for key in "abc":
        await cache.set(key, key, 60)
    await cache.get("a")
    await cache.set("d", "d", 60)
    assert len(cache) == 3
    assert [key for key in "abcd" if await cache.exists(key)] == ["a", "c", "d"]


async def test_leases_are_bounded_too() -> None:
    cache = InMemoryCache(max_entries=3)
    leases = [await cache.lease(key, 60) for key in "abcd"]
    filled = [await cache.fill(lease, 1, 60) for lease in leases if lease is not None]
    assert filled == [False, True, True, True]


async def test_the_life_of_a_value_ends_at_its_second_and_not_before() -> None:
    clock = Clock()
    cache = InMemoryCache(clock=clock)
    await cache.set("a", 1, 60)
    clock.now = 59.999
    assert await cache.get("a") == 1
    clock.now = 60.0
    assert await cache.get("a") is ABSENT
