"""A real Redis killed, halted or cut off, and back again: reads are answered, nothing stale is served, nothing waits for seconds."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from infra.cache.base import ABSENT
from infra.cache.cached import CacheAside
from infra.cache.guarded import GuardedCache
from infra.cache.invalidation import Invalidation
from infra.cache.keys import list_key, tenant_pattern
from infra.cache.redis import RedisCache
from infra.cache.settings import CacheSettings
from infra.errors import CircuitOpen, MeshError
from infra.local_stack.redis import RedisServer
from infra.redis.pool import RedisPool
from infra.redis.settings import RedisPoolSettings
from infra.telemetry.metrics import Metrics
from tests.conformance.cache import KEY, TENANT
from tests.proxy import Proxy, behind, postgres_proxy

pytestmark = pytest.mark.integration

SETTINGS = CacheSettings(operation_seconds=0.3, circuit_recovery_seconds=0.3, probe_seconds=0.1)


class Process:
    """What one process has: a pool, the guarded cache, reads through it, and the truth behind."""

    def __init__(self, url: str, namespace: str, truth: dict[str, str], settings: CacheSettings = SETTINGS) -> None:
        self.pool = RedisPool(url, RedisPoolSettings())
        self.truth = truth
        self.fetched = 0
        self._namespace = namespace
        self._settings = settings

    async def __aenter__(self) -> Process:
        self.answers = await self.pool.start()
        self.bare = RedisCache(self.pool.client, self._namespace)
        self.cache = GuardedCache(self.bare, Metrics(), self._settings)
        self.aside = CacheAside(self.cache, Metrics(), self._settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cache.close()
        await self.pool.close()

    async def read(self, key: str = KEY, ttl_seconds: int = 600) -> str | None:
        async def fetch() -> str:
            self.fetched += 1
            return self.truth[key]

        return await self.aside.read_through(key, fetch, ttl_seconds=ttl_seconds)

    async def change(self, value: str, key: str = KEY) -> None:
        """As a projection does: first the row, then the cache."""
        self.truth[key] = value
        await self.aside.invalidate(Invalidation(keys=frozenset({key})))


async def until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come"
        await asyncio.sleep(0.02)


async def in_use(process: Process) -> None:
    """Wait until the process reads from the cache again."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            await process.cache.exists("nothing")
            await process.cache.exists("nothing")
        except MeshError:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError("the cache is not used again")


@pytest.fixture
def truth() -> dict[str, str]:
    return {KEY: "first"}


@pytest.fixture
async def process(mortal: RedisServer, namespace: str, truth: dict[str, str]) -> AsyncIterator[Process]:
    async with Process(mortal.endpoint(), namespace, truth) as each:
        yield each


async def test_a_killed_redis_costs_reads_nothing_and_is_used_again_when_it_is_back(process: Process, mortal: RedisServer) -> None:
    for _ in range(3):
        assert await process.read() == "first"
    assert process.fetched == 1
    mortal.kill()
    begin = time.monotonic()
    for _ in range(100):
        assert await process.read() == "first"
    assert time.monotonic() - begin < 3.0, "a dead Redis must not cost a time-out for each read"
    assert process.fetched == 101
    await process.change("second")
    assert await process.read() == "second"
    mortal.start()
    await in_use(process)
    process.fetched = 0
    assert [await process.read() for _ in range(5)] == ["second"] * 5
    assert process.fetched == 1


async def test_a_halted_redis_costs_its_short_limit_only_until_the_circuit_opens(mortal: RedisServer, namespace: str) -> None:
    settings = SETTINGS.model_copy(update={"circuit_recovery_seconds": 60.0})
    async with Process(mortal.endpoint(), namespace, {KEY: "first"}, settings) as process:
        await process.read()
        mortal.kill(signal.SIGSTOP)
        try:
            begin = time.monotonic()
            for _ in range(200):
                assert await process.read() == "first"
            assert time.monotonic() - begin < settings.circuit_failures * settings.operation_seconds + 2.0
            with pytest.raises(CircuitOpen):
                await process.cache.get(KEY)
        finally:
            mortal.kill(signal.SIGCONT)


async def test_what_was_changed_while_redis_was_halted_is_not_served_when_it_is_back(process: Process, mortal: RedisServer) -> None:
    """A halted Redis keeps what it had: the old value is there when it goes on."""
    other = "agent:test-tenant:2"
    process.truth[other] = "untouched"
    await process.read()
    await process.read(other)
    mortal.kill(signal.SIGSTOP)
    try:
        await process.change("second")
        assert process.cache.behind
        assert await process.read() == "second"
    finally:
        mortal.kill(signal.SIGCONT)
    seen = []
    while process.cache.behind:
        seen.append(await process.read())
        await asyncio.sleep(0.01)
    await in_use(process)
    seen += [await process.read() for _ in range(3)]
    assert set(seen) == {"second"}
    process.fetched = 0
    assert await process.read(other) == "untouched"
    assert process.fetched == 0, "what nobody changed is still cached"


async def test_a_process_that_was_cut_off_mends_what_others_would_read(mortal: RedisServer, namespace: str, truth: dict[str, str]) -> None:
    pages = [list_key(TENANT, "agents", {"offset": number}) for number in range(3)]
    async with AsyncExitStack() as stack:
        proxy: Proxy = await stack.enter_async_context(postgres_proxy(mortal.endpoint()))
        cut_off = await stack.enter_async_context(Process(behind(mortal.endpoint(), proxy), namespace, truth))
        reader = await stack.enter_async_context(Process(mortal.endpoint(), namespace, truth))
        assert await reader.read() == "first"
        for page in pages:
            await reader.cache.set(page, "old page", 600)
        proxy.cut()
        await cut_off.change("second")
        await cut_off.aside.invalidate(Invalidation(patterns=frozenset({tenant_pattern(TENANT)})))
        assert await cut_off.read() == "second"
        assert await reader.read() == "first", "cut off means that nobody could tell; its life bounds it"
        proxy.mend()
        await until(lambda: not cut_off.cache.behind, "the missed invalidations")
        assert await reader.read() == "second"
        assert [await reader.cache.get(page) for page in pages] == [ABSENT] * 3


async def test_an_answer_that_never_comes_leaves_it_open_and_counts_as_missed(
    mortal: RedisServer, namespace: str, truth: dict[str, str]
) -> None:
    async with AsyncExitStack() as stack:
        proxy: Proxy = await stack.enter_async_context(postgres_proxy(mortal.endpoint()))
        process = await stack.enter_async_context(Process(behind(mortal.endpoint(), proxy), namespace, truth))
        await process.read()
        proxy.hold_answers()
        await process.change("second")
        assert process.cache.behind
        proxy.mend()
        await until(lambda: not process.cache.behind, "the missed invalidation")
        await in_use(process)
        assert await process.read() == "second"


async def test_a_value_does_not_outlive_its_time_while_redis_is_halted(process: Process, mortal: RedisServer) -> None:
    assert await process.read(ttl_seconds=1) == "first"
    mortal.kill(signal.SIGSTOP)
    try:
        process.truth[KEY] = "second"
        await asyncio.sleep(1.2)
    finally:
        mortal.kill(signal.SIGCONT)
    await in_use(process)
    assert await process.bare.get(KEY) is ABSENT
    assert await process.read() == "second"


async def test_what_was_fetched_before_an_outage_is_not_kept_after_it(process: Process, mortal: RedisServer) -> None:
    fetching, go_on = asyncio.Event(), asyncio.Event()

    async def fetch() -> str:
        seen = process.truth[KEY]
        fetching.set()
        await go_on.wait()
        return seen

    reading = asyncio.create_task(process.aside.read_through(KEY, fetch, ttl_seconds=600))
    await fetching.wait()
    mortal.kill()
    await process.change("second")
    mortal.start()
    await until(lambda: not process.cache.behind, "the missed invalidation")
    await in_use(process)
    go_on.set()
    assert await reading == "first"
    assert await process.bare.get(KEY) is ABSENT
    assert await process.read() == "second"


async def test_a_process_that_starts_without_redis_uses_it_once_it_is_there(
    mortal: RedisServer, namespace: str, truth: dict[str, str]
) -> None:
    mortal.kill()
    async with Process(mortal.endpoint(), namespace, truth) as process:
        assert process.answers is False
        process.cache.distrust()
        assert await process.read() == "first"
        mortal.start()
        await until(lambda: not process.cache.behind, "the first invalidation")
        await in_use(process)
        process.fetched = 0
        for _ in range(3):
            await process.read()
        assert process.fetched == 1


async def test_who_distrusts_what_its_predecessor_left_reads_none_of_it(process: Process, mortal: RedisServer, namespace: str) -> None:
    await process.read()
    async with Process(mortal.endpoint(), namespace, {KEY: "second"}) as successor:
        successor.cache.distrust()
        assert await successor.read() == "second"
        await until(lambda: not successor.cache.behind, "the emptied cache")
        assert await successor.read() == "second"
