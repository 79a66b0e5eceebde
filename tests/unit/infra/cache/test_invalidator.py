"""The invalidator beside a projection: what is noted goes, together and soon; a cache that is away holds nothing up and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts.envelope import Metadata, RecordedEvent
from infra.cache.base import ABSENT
from infra.cache.cached import CacheAside
from infra.cache.guarded import GuardedCache
from infra.cache.invalidator import MOST_EVENTS, MOST_PATTERNS, CacheInvalidator, has_cached
from infra.cache.keys import agent_key, customer_key, list_key
from infra.cache.memory import InMemoryCache
from infra.cache.settings import CacheSettings
from infra.errors import TransientError
from infra.telemetry.metrics import Metrics
from projections.catalogue import read_models
from tests.mesh import TENANT, wait_for

MINE, OTHERS = agent_key(TENANT, "a"), agent_key("other", "a")
LIST = list_key(TENANT, "agents", {})


class Away(InMemoryCache):
    """A cache that can be away, or not answer; notes what it was asked to drop."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.dropped: list[str] = []
        self._walking = False

    async def _reached(self, what: str) -> None:
        await self.answers.wait()
        if self.away:
            raise TransientError("gone")
        if not self._walking:
            self.dropped.append(what)

    async def delete(self, key: str) -> bool:
        await self._reached(key)
        return await super().delete(key)

    async def invalidate(self, pattern: str) -> int:
        await self._reached(pattern)
        self._walking = True
        try:
            return await super().invalidate(pattern)  # which deletes key by key
        finally:
            self._walking = False


@pytest.fixture
def cache() -> Away:
    return Away()


@pytest.fixture
async def invalidator(cache: Away) -> AsyncIterator[CacheInvalidator]:
    settings = CacheSettings(probe_seconds=0.02, operation_seconds=0.1)
    guarded = GuardedCache(cache, Metrics(), settings)
    found = CacheInvalidator("agents", CacheAside(guarded, Metrics(), settings), gather_seconds=0.05)
    found.start()
    yield found
    cache.away = False
    cache.answers.set()
    await found.close()
    await guarded.close()


def changed(agent_id: str, tenant: str = TENANT) -> RecordedEvent:
    metadata = Metadata("id", "agentmesh.agents.X.v1", "/x", agent_id, "2026-01-02T00:00:00Z", tenant, "user", "u", "c", "c")
    return RecordedEvent(metadata, b"{}", 1, 1, "agents")


async def keep(cache: Away, *keys: str) -> None:
    for key in keys:
        await cache.set(key, key)


async def gone(cache: Away, *keys: str) -> None:
    async def look() -> bool:
        return all([await cache.get(key) is ABSENT for key in keys])

    await wait_for(look, 5, f"the end of {keys}")


async def test_what_changed_goes_and_nothing_else(cache: Away, invalidator: CacheInvalidator) -> None:
    await keep(cache, MINE, OTHERS, LIST, customer_key(TENANT, "cust-0001"))
    invalidator.changed([changed("a")])
    await gone(cache, MINE, LIST)
    assert await cache.exists(OTHERS)
    assert await cache.exists(customer_key(TENANT, "cust-0001"))


async def test_events_that_come_meanwhile_are_one_round(cache: Away, invalidator: CacheInvalidator) -> None:
    invalidator.changed([changed("first")])
    await wait_for(lambda: _has(cache, 2), 5, "the first round")
    for _ in range(50):
        invalidator.changed([changed("a"), changed("b")])
    await wait_for(lambda: _has(cache, 5), 5, "the second round")
    await asyncio.sleep(0.15)
    assert sorted(cache.dropped[2:]) == ["agent:test-tenant:a", "agent:test-tenant:b", "list:test-tenant:agents:*"]


async def _has(cache: Away, count: int) -> bool:
    return len(cache.dropped) >= count


async def test_many_events_and_many_tenants_are_a_walk_or_two(cache: Away, invalidator: CacheInvalidator) -> None:
    await keep(cache, MINE, OTHERS, LIST)
    invalidator.changed([changed(f"agent-{number}") for number in range(MOST_EVENTS + 1)])
    await gone(cache, MINE, OTHERS, LIST)
    assert sorted(cache.dropped) == ["agent:*:*", "list:*:agents:*"]
    cache.dropped.clear()
    await asyncio.sleep(0.1)
    invalidator.changed([changed("a", f"tenant-{number}") for number in range(MOST_PATTERNS + 1)])
    await wait_for(lambda: _has(cache, 2), 5, "the second round")
    assert sorted(cache.dropped) == ["agent:*:*", "list:*:agents:*"]


async def test_a_cache_that_is_away_holds_nobody_up_and_makes_up_for_what_it_missed(cache: Away, invalidator: CacheInvalidator) -> None:
    await keep(cache, MINE, LIST)
    cache.away = True
    for _ in range(1_000):
        invalidator.changed([changed("a")])
    await asyncio.sleep(0.2)
    assert await cache.exists(MINE)
    cache.away = False
    await gone(cache, MINE, LIST)


async def test_one_that_hangs_holds_nobody_up_either(cache: Away, invalidator: CacheInvalidator) -> None:
    await keep(cache, MINE, LIST)
    cache.answers.clear()
    invalidator.changed([changed("a")])
    await asyncio.sleep(0.3)
    invalidator.changed([changed("b")])
    cache.answers.set()
    await gone(cache, MINE, LIST)


async def test_whoever_takes_over_drops_what_the_one_before_may_have_left(cache: Away, invalidator: CacheInvalidator) -> None:
    await keep(cache, MINE, OTHERS, LIST, customer_key(TENANT, "cust-0001"))
    invalidator.everything()
    await gone(cache, MINE, OTHERS, LIST)
    assert await cache.exists(customer_key(TENANT, "cust-0001"))


async def test_an_event_that_cannot_be_read_costs_the_whole_kind_and_not_the_work(
    cache: Away, invalidator: CacheInvalidator, caplog: pytest.LogCaptureFixture
) -> None:
    await keep(cache, MINE, OTHERS)
    invalidator.changed([changed("a", tenant="no tenant:*")])
    await gone(cache, MINE, OTHERS)
    assert "could not be invalidated event by event" in caplog.text
    await keep(cache, MINE)
    invalidator.changed([changed("a")])
    await gone(cache, MINE)


async def test_what_was_noted_goes_before_the_end(cache: Away, invalidator: CacheInvalidator) -> None:
    invalidator.changed([changed("first")])
    await gone(cache, agent_key(TENANT, "first"))
    await keep(cache, MINE, LIST)
    invalidator.changed([changed("a")])
    await invalidator.close()
    assert await cache.get(MINE) is await cache.get(LIST) is ABSENT


def test_every_read_model_that_the_cache_is_filled_from_is_one_of_the_catalogue() -> None:
    assert {model.name for model in read_models() if has_cached(model.name)} == {"agents", "customers", "tasks", "tenants"}
