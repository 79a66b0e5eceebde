"""Reads through the cache: hits, misses, absent things, stampedes, failures of the cache, the decorator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from infra.cache import keys
from infra.cache.base import ABSENT, Cache, CacheBehind
from infra.cache.cached import AS_IT_IS, CacheAside, Codec, cached, codec_of
from infra.cache.invalidation import Invalidation
from infra.cache.memory import InMemoryCache
from infra.cache.settings import CacheSettings
from infra.errors import CircuitOpen, TransientError
from infra.telemetry.metrics import Metrics
from tests.conformance.cache import KEY, NOTHINGS, TENANT


class Agent(BaseModel, frozen=True):
    agent_id: str
    level: int = 1


class FailingCache(InMemoryCache):
    """A cache of which the named methods fail."""

    def __init__(self, error: Exception, *names: str) -> None:
        super().__init__()

        async def fail(*_: object) -> Any:
            raise error

        for name in names:
            setattr(self, name, fail)


class Source:
    """What is read through the cache; counts how often it is asked."""

    def __init__(self, value: Any = "value") -> None:
        self.value = value
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def fetch(self) -> Any:
        self.asked += 1
        value = self.value
        await self.open.wait()
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def cache() -> Cache:
    return InMemoryCache()


@pytest.fixture
def aside(cache: Cache, metrics: Metrics) -> CacheAside:
    return CacheAside(cache, metrics, CacheSettings())


def counted(metrics: Metrics, cache_type: str) -> tuple[float, float]:
    """Hits and misses."""
    sample = metrics.registry.get_sample_value
    labels = {"cache_type": cache_type}
    return sample("cache_hits_total", labels) or 0.0, sample("cache_misses_total", labels) or 0.0


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# --- read_through -----------------------------------------------------------------------------------------------------


async def test_a_miss_fetches_and_keeps_and_a_hit_does_not_fetch(aside: CacheAside, metrics: Metrics) -> None:
    source = Source(Agent(agent_id="a-1", level=5))
    for _ in range(3):
        agent = await aside.read_through(KEY, source.fetch, ttl_seconds=keys.AGENT_SECONDS, codec=codec_of(Agent))
        assert agent == Agent(agent_id="a-1", level=5)
        assert isinstance(agent, Agent)
    assert source.asked == 1
    assert counted(metrics, "agent") == (2, 1)


@pytest.mark.parametrize("value", [each for each in NOTHINGS if each is not None], ids=repr)
async def test_zero_false_and_the_empty_values_are_hits(aside: CacheAside, metrics: Metrics, value: Any) -> None:
    source = Source(value)
    assert [await aside.read_through(KEY, source.fetch, ttl_seconds=60) for _ in range(3)] == [value] * 3
    assert source.asked == 1
    assert counted(metrics, "agent") == (2, 1)


async def test_an_absent_thing_is_not_kept_and_nobody_waits_for_it(aside: CacheAside, cache: Cache, metrics: Metrics) -> None:
    source = Source(None)
    assert [await aside.read_through(KEY, source.fetch, ttl_seconds=60) for _ in range(3)] == [None] * 3
    assert source.asked == 3
    assert await cache.get(KEY) is ABSENT
    assert await cache.lease(KEY, 60) is not None
    assert counted(metrics, "agent") == (0, 3)


async def test_a_failed_fetch_reaches_the_reader_and_leaves_no_lease(aside: CacheAside, cache: Cache, metrics: Metrics) -> None:
    with pytest.raises(LookupError, match="gone"):
        await aside.read_through(KEY, Source(LookupError("gone")).fetch, ttl_seconds=60)
    assert await aside.read_through(KEY, Source("value").fetch, ttl_seconds=60) == "value"
    assert await cache.get(KEY) == "value"
    assert counted(metrics, "agent") == (0, 2)


async def test_the_value_lives_as_long_as_was_said(metrics: Metrics) -> None:
    seconds = [0.0]
    aside = CacheAside(InMemoryCache(clock=lambda: seconds[0]), metrics, CacheSettings())
    source = Source()
    for moment in (0.0, 59.9, 60.0):
        seconds[0] = moment
        await aside.read_through(KEY, source.fetch, ttl_seconds=60)
    assert source.asked == 2


async def test_a_hundred_readers_at_once_fetch_once(aside: CacheAside, metrics: Metrics) -> None:
    source = Source()
    source.open.clear()
    readers = [asyncio.create_task(aside.read_through(KEY, source.fetch, ttl_seconds=60)) for _ in range(100)]
    await turns()
    source.open.set()
    assert await asyncio.gather(*readers) == ["value"] * 100
    assert source.asked == 1
    assert counted(metrics, "agent") == (0, 100)


async def test_a_failure_is_shared_and_not_remembered(aside: CacheAside) -> None:
    source = Source(LookupError("gone"))
    readers = [aside.read_through(KEY, source.fetch, ttl_seconds=60) for _ in range(10)]
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert [type(each) for each in answers] == [LookupError] * 10
    assert source.asked == 1
    source.value = "back"
    assert await aside.read_through(KEY, source.fetch, ttl_seconds=60) == "back"


async def test_a_reader_that_is_cancelled_takes_nobody_with_it(aside: CacheAside) -> None:
    source = Source()
    source.open.clear()
    first, second = (asyncio.create_task(aside.read_through(KEY, source.fetch, ttl_seconds=60)) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    source.open.set()
    assert await second == "value"
    assert first.cancelled()
    assert source.asked == 1


async def test_readers_of_several_processes_fetch_once_and_the_others_wait(cache: Cache, metrics: Metrics) -> None:
    source = Source()
    source.open.clear()
    asides = [CacheAside(cache, metrics, CacheSettings(wait_seconds=30.0, poll_seconds=0.001)) for _ in range(20)]
    readers = [asyncio.create_task(each.read_through(KEY, source.fetch, ttl_seconds=60)) for each in asides]
    await asyncio.sleep(0.02)
    source.open.set()
    assert await asyncio.gather(*readers) == ["value"] * 20
    assert source.asked == 1


async def test_of_an_absent_thing_the_next_process_makes_sure_itself(cache: Cache, metrics: Metrics) -> None:
    source = Source(None)
    asides = [CacheAside(cache, metrics, CacheSettings(wait_seconds=30.0, poll_seconds=0.001)) for _ in range(3)]
    assert await asyncio.gather(*(each.read_through(KEY, source.fetch, ttl_seconds=60) for each in asides)) == [None] * 3
    assert source.asked == 3


async def test_who_has_waited_long_enough_fetches_and_keeps_nothing(cache: Cache, metrics: Metrics) -> None:
    assert await cache.lease(KEY, 60) is not None  # of a process that died
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    aside = CacheAside(cache, metrics, CacheSettings(), clock=lambda: now[0], sleep=sleep)
    source = Source()
    assert await aside.read_through(KEY, source.fetch, ttl_seconds=60) == "value"
    assert source.asked == 1
    assert now[0] == pytest.approx(CacheSettings().wait_seconds, abs=CacheSettings().poll_seconds)
    assert await cache.get(KEY) is ABSENT


async def test_what_was_invalidated_while_it_was_fetched_is_not_kept_and_not_joined(aside: CacheAside, cache: Cache) -> None:
    source = Source("old")
    source.open.clear()
    before = asyncio.create_task(aside.read_through(KEY, source.fetch, ttl_seconds=60))
    other = asyncio.create_task(aside.read_through("agent:other:1", source.fetch, ttl_seconds=60))
    await turns()
    source.value = "new"
    await aside.invalidate(Invalidation(keys=frozenset({KEY})))
    after = asyncio.create_task(aside.read_through(KEY, source.fetch, ttl_seconds=60))
    await turns()
    source.open.set()
    assert await asyncio.gather(before, after, other) == ["old", "new", "old"]
    assert await cache.get(KEY) == "new"
    assert await cache.get("agent:other:1") == "old"


async def test_a_pattern_ends_the_reads_that_it_matches(aside: CacheAside, cache: Cache) -> None:
    source = Source("old")
    source.open.clear()
    before = asyncio.create_task(aside.read_through(KEY, source.fetch, ttl_seconds=60))
    await turns()
    source.value = "new"
    await aside.invalidate(Invalidation(patterns=frozenset({keys.tenant_pattern(TENANT)})))
    after = asyncio.create_task(aside.read_through(KEY, source.fetch, ttl_seconds=60))
    await turns()
    source.open.set()
    assert await asyncio.gather(before, after) == ["old", "new"]
    assert await cache.get(KEY) == "new"


async def test_a_value_of_another_shape_is_fetched_anew_and_overwritten(
    aside: CacheAside, cache: Cache, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    await cache.set(KEY, {"name": "from an older version"}, 60)
    source = Source(Agent(agent_id="a-1"))
    for _ in range(2):
        assert await aside.read_through(KEY, source.fetch, ttl_seconds=60, codec=codec_of(Agent)) == Agent(agent_id="a-1")
    assert source.asked == 1
    assert counted(metrics, "agent") == (1, 1)
    assert any("another shape" in record.message and record.levelno == logging.WARNING for record in caplog.records)


async def test_a_value_that_is_not_json_is_a_warning_and_the_reader_gets_it(aside: CacheAside, caplog: pytest.LogCaptureFixture) -> None:
    thing = object()
    assert await aside.read_through(KEY, Source(thing).fetch, ttl_seconds=60) is thing
    assert "only JSON can be cached" in caplog.text
    failing: Codec[Any] = Codec(dump=lambda value: int("x"), load=AS_IT_IS.load)
    assert await aside.read_through(KEY, Source(thing).fetch, ttl_seconds=60, codec=failing) is thing
    assert "the codec cannot turn a object into JSON" in caplog.text


# --- failures of the cache ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["get", "lease", "fill"])
async def test_a_cache_that_fails_is_a_warning_and_the_reader_gets_his_answer(
    metrics: Metrics, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    aside = CacheAside(FailingCache(TransientError("Redis: away"), name), metrics, CacheSettings())
    source = Source()
    assert await aside.read_through(KEY, source.fetch, ttl_seconds=60) == "value"
    assert source.asked == 1
    assert [(record.levelname, record.message) for record in caplog.records] == [("WARNING", "cache: Redis: away")]
    assert counted(metrics, "agent") == (0, 1)


@pytest.mark.parametrize("error", [CircuitOpen("cache", 1.0), CacheBehind()])
async def test_a_call_that_was_not_made_is_no_second_warning(
    metrics: Metrics, caplog: pytest.LogCaptureFixture, error: TransientError
) -> None:
    aside = CacheAside(FailingCache(error, "get"), metrics, CacheSettings())
    assert await aside.read_through(KEY, Source().fetch, ttl_seconds=60) == "value"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_invalidation_that_fails_in_part_does_the_rest(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    class PartlyFailingCache(InMemoryCache):
        async def delete(self, key: str) -> bool:
            if key == KEY:
                raise TransientError("Redis: away")
            return await super().delete(key)

    cache = PartlyFailingCache()
    for key in (KEY, "agent:test-tenant:2", "list:test-tenant:agents:1"):
        await cache.set(key, 1, 60)
    going = Invalidation(frozenset({KEY, "agent:test-tenant:2"}), frozenset({"list:test-tenant:*"}))
    assert await CacheAside(cache, metrics, CacheSettings()).invalidate(going) == 2
    assert "cache: Redis: away" in caplog.text


async def test_an_invalidation_tells_how_many_went(aside: CacheAside, cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for key in (KEY, f"list:{TENANT}:agents:1", f"tenant:{TENANT}:config", "agent:other:1"):
        await cache.set(key, 1, 60)
    assert await aside.invalidate(Invalidation(frozenset({KEY}), frozenset({keys.tenant_pattern(TENANT)}))) == 3
    assert f"cache: 2 keys went by *:{TENANT}:*" in caplog.text
    assert await cache.exists("agent:other:1")


# --- the decorator ----------------------------------------------------------------------------------------------------


Decorated = Callable[..., Awaitable[Any]]


@pytest.fixture
def calls() -> list[Any]:
    return []


@pytest.fixture
def looked_up(aside: CacheAside, calls: list[Any]) -> Decorated:
    @cached(aside, tenant="tenant_id", ttl_seconds=keys.CUSTOMER_SECONDS, prefix="customer")
    async def look_up(tenant_id: str, customer_id: str, *, deep: bool = False, **more: Any) -> Any:
        calls.append((tenant_id, customer_id, deep, more))
        return f"{customer_id} of {tenant_id}"

    return look_up


async def test_arguments_are_the_same_however_they_are_given(looked_up: Decorated, calls: list[Any]) -> None:
    for _ in range(2):
        assert await looked_up("t", "c", deep=False, a=1, b=2) == "c of t"
        assert await looked_up(tenant_id="t", customer_id="c", b=2, a=1) == "c of t"
        assert await looked_up("t", b=2, customer_id="c", a=1, deep=False) == "c of t"
    assert len(calls) == 1


async def test_other_arguments_are_another_call(looked_up: Decorated, calls: list[Any]) -> None:
    await looked_up("t", "c")
    await looked_up("t", "d")
    await looked_up("t", "c", deep=True)
    await looked_up("t", "c", a=1)
    assert len(calls) == 4


async def test_two_tenants_never_share_an_entry(looked_up: Decorated, cache: Cache) -> None:
    assert await looked_up("one", "c") == "c of one"
    assert await looked_up("two", "c") == "c of two"
    assert await cache.invalidate(keys.tenant_pattern("one")) == 1
    assert await cache.invalidate("customer:two:*") == 1


async def test_the_key_is_prefix_tenant_and_digest(looked_up: Decorated, cache: Cache, metrics: Metrics) -> None:
    await looked_up("t", "c")
    rest = keys.digest({"customer_id": "c", "deep": False, "more": {}})
    assert await cache.exists(f"customer:t:{rest}")
    assert counted(metrics, "customer") == (0, 1)


async def test_the_default_prefix_names_module_and_function(aside: CacheAside, cache: Cache) -> None:
    @cached(aside, tenant="tenant_id")
    async def find(tenant_id: str) -> int:
        return 0

    assert await find("t") == 0
    kind = f"cache:{__name__}.test_the_default_prefix_names_module_and_function.<locals>.find"
    assert await cache.exists(f"{kind}:t:{keys.digest({})}")
    assert await cache.invalidate(keys.tenant_pattern("t")) == 1


async def test_a_decorated_function_lives_for_300_seconds(metrics: Metrics) -> None:
    seconds = [0.0]
    aside = CacheAside(InMemoryCache(clock=lambda: seconds[0]), metrics, CacheSettings())
    asked = []

    @cached(aside, tenant="tenant_id")
    async def find(tenant_id: str) -> int:
        asked.append(seconds[0])
        return 0

    for moment in (0.0, 299.9, 300.0):
        seconds[0] = moment
        await find("t")
    assert asked == [0.0, 300.0]


class Agents:
    """A reader with a method that is cached."""

    def __init__(self, aside: CacheAside) -> None:
        self.aside = aside
        self.asked = 0

    @cached(
        lambda self: self.aside, tenant="tenant_id", prefix="agent", key=lambda self, tenant_id, agent_id: agent_id, codec=codec_of(Agent)
    )
    async def find(self, tenant_id: str, agent_id: str) -> Agent | None:
        self.asked += 1
        return Agent(agent_id=agent_id)


async def test_a_method_has_a_key_builder_and_objects_share_the_entry(aside: CacheAside, cache: Cache) -> None:
    first, second = Agents(aside), Agents(aside)
    assert await first.find(TENANT, "a-1") == await second.find(TENANT, agent_id="a-1") == Agent(agent_id="a-1")
    assert (first.asked, second.asked) == (1, 0)
    assert await cache.exists(keys.agent_key(TENANT, "a-1"))


def test_a_method_without_a_key_builder_is_refused(aside: CacheAside) -> None:
    async def find(self: object, tenant_id: str) -> int:
        return 0

    with pytest.raises(TypeError, match=r"find is a method, and self is no stable key: give a key builder"):
        cached(aside, tenant="tenant_id")(find)


def test_a_function_that_does_not_name_its_tenant_is_refused(aside: CacheAside) -> None:
    async def find(agent_id: str) -> int:
        return 0

    with pytest.raises(TypeError, match=r"find has no parameter 'tenant_id'"):
        cached(aside, tenant="tenant_id")(find)


def test_a_function_has_no_self_to_ask_for_its_cache(aside: CacheAside) -> None:
    async def find(tenant_id: str) -> int:
        return 0

    with pytest.raises(TypeError, match="find is no method, so its aside cannot be a function of self"):
        cached(lambda self: aside, tenant="tenant_id")(find)


def test_a_plain_function_is_refused(aside: CacheAside) -> None:
    def find(tenant_id: str) -> int:
        return 0

    with pytest.raises(TypeError, match=r"find: only an async function can be cached"):
        cached(aside, tenant="tenant_id")(find)  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [("t", object()), ("a:b", "c"), (None, "c")], ids=["no JSON", "no tenant", "None"])
async def test_a_call_without_a_key_is_a_warning_and_is_answered(
    looked_up: Decorated, calls: list[Any], caplog: pytest.LogCaptureFixture, arguments: tuple[Any, Any]
) -> None:
    assert await looked_up(*arguments) == f"{arguments[1]} of {arguments[0]}"
    await looked_up(*arguments)
    assert len(calls) == 2
    assert "cache: a call of customer is not cached" in caplog.text


async def test_a_wrong_call_fails_as_the_function_itself_does(looked_up: Decorated) -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'customer_id'"):
        await looked_up("t")
