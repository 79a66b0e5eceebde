"""The guard around a cache: what fails fast, what is remembered, when it is read again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from infra.cache.base import ABSENT, CacheBehind, Lease
from infra.cache.guarded import GuardedCache
from infra.cache.memory import InMemoryCache
from infra.cache.settings import CacheSettings
from infra.errors import CallTimedOut, CircuitOpen, ConfigurationError, DataError, TransientError
from infra.telemetry.metrics import Metrics
from tests.conformance.cache import KEY
from tests.virtual_time import Clock


class CutCache(InMemoryCache):
    """A cache that can be cut off, and keeps what it had, or hangs; counts the calls that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.asked = 0

    async def _pass(self) -> None:
        self.asked += 1
        await self.hangs.wait()
        if self.error is not None:
            raise self.error

    async def get(self, key: str) -> Any:
        await self._pass()
        return await super().get(key)

    async def set(self, key: str, value: Any, ttl_seconds: int = 60) -> None:
        await self._pass()
        await super().set(key, value, ttl_seconds)

    async def delete(self, key: str) -> bool:
        await self._pass()
        return await super().delete(key)

    async def invalidate(self, pattern: str) -> int:
        await self._pass()
        return await super().invalidate(pattern)


AWAY = TransientError("Redis: away")
SETTINGS = CacheSettings(operation_seconds=0.05, probe_seconds=0.01)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cut() -> CutCache:
    return CutCache()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def guarded(cut: CutCache, clock: Clock, metrics: Metrics) -> AsyncIterator[GuardedCache]:
    cache = GuardedCache(cut, metrics, SETTINGS, clock=clock)
    yield cache
    await cache.close()


async def mended(cache: GuardedCache) -> None:
    deadline = time.monotonic() + 10
    while cache.behind:
        assert time.monotonic() < deadline, "invalidations are missing still"
        await asyncio.sleep(0.005)


async def test_after_five_failures_the_cache_is_left_alone_for_a_minute(
    guarded: GuardedCache, cut: CutCache, clock: Clock, metrics: Metrics
) -> None:
    cut.error = AWAY
    for _ in range(5):
        with pytest.raises(TransientError, match="away"):
            await guarded.get(KEY)
    for _ in range(20):
        with pytest.raises(CircuitOpen, match="the circuit cache is open"):
            await guarded.get(KEY)
    assert cut.asked == 5
    assert metrics.registry.get_sample_value("agentmesh_circuit_state", {"name": "cache"}) == 1.0
    cut.error = None
    clock.now = 60.1
    assert await guarded.get(KEY) is ABSENT
    assert not guarded.behind


async def test_a_cache_that_hangs_costs_its_short_limit(guarded: GuardedCache, cut: CutCache) -> None:
    cut.hangs.clear()
    for _ in range(5):
        with pytest.raises(CallTimedOut):
            await guarded.get(KEY)
    with pytest.raises(CircuitOpen):
        await guarded.get(KEY)


async def test_a_refused_password_opens_the_circuit_too(guarded: GuardedCache, cut: CutCache) -> None:
    cut.error = ConfigurationError("Redis refuses this user")
    for _ in range(5):
        with pytest.raises(ConfigurationError):
            await guarded.get(KEY)
    with pytest.raises(CircuitOpen):
        await guarded.get(KEY)


def deletes(cache: GuardedCache) -> Any:
    return cache.delete(KEY)


def invalidates(cache: GuardedCache) -> Any:
    return cache.invalidate("agent:*")


def sets(cache: GuardedCache) -> Any:
    return cache.set(KEY, "new", 60)


@pytest.mark.parametrize("change", [deletes, invalidates, sets])
async def test_a_change_that_was_missed_is_made_up_for_before_anything_is_read(
    guarded: GuardedCache, cut: CutCache, change: Callable[[GuardedCache], Any]
) -> None:
    await guarded.set(KEY, "old", 60)
    cut.error = AWAY
    with pytest.raises(TransientError, match="away"):
        await change(guarded)
    assert guarded.behind
    for refused in (guarded.get(KEY), guarded.exists(KEY), guarded.lease(KEY, 1), guarded.fill(Lease(KEY, "x"), 1, 1)):
        with pytest.raises(CacheBehind):
            await refused
    with pytest.raises(CacheBehind):
        await guarded.release(Lease(KEY, "x"))
    cut.error = None
    await mended(guarded)
    assert await guarded.get(KEY) is ABSENT


async def test_missed_invalidations_are_made_up_for_past_the_open_circuit(guarded: GuardedCache, cut: CutCache) -> None:
    await guarded.set(KEY, "old", 60)
    cut.error = AWAY
    for _ in range(5):
        with pytest.raises(TransientError, match="away"):
            await guarded.get(KEY)
    with pytest.raises(CircuitOpen):
        await guarded.delete(KEY)
    cut.error = None
    await mended(guarded)
    assert await InMemoryCache.get(cut, KEY) is ABSENT
    with pytest.raises(CircuitOpen):
        await guarded.get(KEY)


async def test_changes_while_others_are_missing_are_made_up_for_too(guarded: GuardedCache, cut: CutCache) -> None:
    for key in ("a", "b", "c"):
        await guarded.set(key, "old", 60)
    cut.error = AWAY
    with pytest.raises(TransientError, match="away"):
        await guarded.delete("a")
    with pytest.raises(CacheBehind):
        await guarded.delete("b")
    cut.error = None
    await mended(guarded)
    assert [await guarded.exists(key) for key in ("a", "b", "c")] == [False, False, True]


async def test_a_change_that_was_cancelled_counts_as_missed(guarded: GuardedCache, cut: CutCache) -> None:
    await guarded.set(KEY, "old", 60)
    cut.hangs.clear()
    deleting = asyncio.create_task(guarded.delete(KEY))
    await asyncio.sleep(0.01)
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    assert guarded.behind
    cut.hangs.set()
    await mended(guarded)
    assert await guarded.get(KEY) is ABSENT


async def test_a_read_that_fails_leaves_nothing_to_make_up_for(guarded: GuardedCache, cut: CutCache) -> None:
    await guarded.set(KEY, "value", 60)
    cut.error = AWAY
    with pytest.raises(TransientError, match="away"):
        await guarded.get(KEY)
    cut.error = None
    assert await guarded.get(KEY) == "value"


async def test_a_value_that_is_refused_is_no_missed_change(guarded: GuardedCache) -> None:
    await guarded.set(KEY, "value", 60)
    with pytest.raises(DataError):
        await guarded.set(KEY, float("nan"), 60)
    with pytest.raises(ValueError, match="ttl_seconds"):
        await guarded.set(KEY, 1, 0)
    assert await guarded.get(KEY) == "value"


async def test_who_distrusts_the_cache_empties_it_first(guarded: GuardedCache, cut: CutCache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await InMemoryCache.set(cut, KEY, "what its predecessor left", 60)
    guarded.distrust()
    with pytest.raises(CacheBehind):
        await guarded.get(KEY)
    await mended(guarded)
    assert await guarded.get(KEY) is ABSENT
    assert [record.levelname for record in caplog.records if "missed" in record.message] == ["WARNING", "INFO"]


async def test_closing_ends_the_making_up(cut: CutCache) -> None:
    cache = GuardedCache(cut, Metrics(), SETTINGS)
    cut.error = AWAY
    cache.distrust()
    await asyncio.sleep(0.03)
    assert cut.asked > 1
    await cache.close()
    asked = cut.asked
    await asyncio.sleep(0.03)
    assert cut.asked == asked
    with pytest.raises(CacheBehind):
        await cache.delete(KEY)
    await asyncio.sleep(0.03)
    assert cut.asked == asked, "nothing begins again"
    await cache.close()
