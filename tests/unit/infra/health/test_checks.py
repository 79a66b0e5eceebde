"""Each check grades exactly at its limit, and turns what goes wrong into a result."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infra.health.base import ComponentHealth, HealthCheck, HealthStatus
from infra.health.cached import CachedCheck
from infra.health.event_store import EventStoreHealthCheck
from infra.health.kafka import KafkaHealthCheck
from infra.health.measured import MeasuredCheck
from infra.health.postgres import PostgresHealthCheck
from infra.health.redis import RedisHealthCheck

HEALTHY, DEGRADED, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY


class Clock:
    """A clock that moves by what the dependency takes."""

    def __init__(self) -> None:
        self.now = 1_000.1

    def __call__(self) -> float:
        return self.now


class Pool:
    """A pool whose round trip takes `milliseconds`."""

    def __init__(self, clock: Clock, milliseconds: float, error: Exception | None = None) -> None:
        self._clock = clock
        self._milliseconds = milliseconds
        self._error = error
        self.asked: list[str] = []

    @asynccontextmanager
    async def connection(self, timeout: float) -> AsyncIterator["Pool"]:
        yield self

    async def execute(self, query: str) -> None:
        self.asked.append(query)
        self._clock.now += self._milliseconds / 1000
        if self._error:
            raise self._error


class Store:
    """An event store whose head takes `milliseconds` to read."""

    context = "requests"

    def __init__(self, clock: Clock, milliseconds: float) -> None:
        self._clock = clock
        self._milliseconds = milliseconds

    async def head(self) -> int:
        self._clock.now += self._milliseconds / 1000
        return 42


class Redis:
    """As much of a Redis as the check uses."""

    def __init__(self, change: Callable[[str], Any] = lambda value: value.encode()) -> None:
        self.values: dict[str, str] = {}
        self.ttl: list[int] = []
        self._change = change

    async def set(self, key: str, value: str, ex: int) -> None:
        self.values[key] = value
        self.ttl.append(ex)

    async def get(self, key: str) -> Any:
        return self._change(self.values[key])

    async def delete(self, key: str) -> None:
        del self.values[key]


class RoundTrip(KafkaHealthCheck):
    """The broker check with a broker that takes `milliseconds`."""

    def __init__(self, clock: Clock, milliseconds: float) -> None:
        MeasuredCheck.__init__(self, clock)
        self._moving = clock
        self._milliseconds = milliseconds

    async def look(self) -> dict[str, Any]:
        self._moving.now += self._milliseconds / 1000
        return {}


@pytest.mark.parametrize(
    ("milliseconds", "status"), [(0, HEALTHY), (99.999, HEALTHY), (100, DEGRADED), (100.001, DEGRADED), (5_000, DEGRADED)]
)
async def test_the_database_is_slow_from_100_ms_on(milliseconds: float, status: HealthStatus) -> None:
    clock = Clock()
    pool = Pool(clock, milliseconds)
    answer = await PostgresHealthCheck(pool, clock).check()  # type: ignore[arg-type]
    assert (answer.name, answer.status) == ("database", status)
    assert answer.details == {"query_time_ms": pytest.approx(milliseconds)}
    assert answer.response_time_ms == pytest.approx(milliseconds)
    assert pool.asked == ["SELECT 1"]


@pytest.mark.parametrize(("milliseconds", "status"), [(99.999, HEALTHY), (100, DEGRADED)])
async def test_the_event_store_is_slow_from_100_ms_on(milliseconds: float, status: HealthStatus) -> None:
    clock = Clock()
    answer = await EventStoreHealthCheck(Store(clock, milliseconds), clock).check()
    assert (answer.name, answer.status) == ("event_store", status)
    assert answer.details == {"query_time_ms": pytest.approx(milliseconds), "position": 42, "context": "requests"}


@pytest.mark.parametrize(("milliseconds", "status"), [(499.999, HEALTHY), (500, DEGRADED), (4_999, DEGRADED)])
async def test_the_broker_is_slow_from_500_ms_on(milliseconds: float, status: HealthStatus) -> None:
    clock = Clock()
    answer = await RoundTrip(clock, milliseconds).check()
    assert (answer.name, answer.status) == ("message_broker", status)
    assert answer.details == {"round_trip_ms": pytest.approx(milliseconds)}


async def test_a_failing_database_is_a_result_with_the_time_spent_so_far() -> None:
    clock = Clock()
    answer = await PostgresHealthCheck(Pool(clock, 30, OSError("server closed")), clock).check()  # type: ignore[arg-type]
    assert (answer.status, answer.response_time_ms) == (UNHEALTHY, pytest.approx(30))
    assert answer.details == {"error": "OSError: server closed"}


async def test_the_cache_writes_reads_compares_and_deletes_one_key() -> None:
    redis = Redis()
    answer = await RedisHealthCheck(redis).check()  # type: ignore[arg-type]
    assert (answer.name, answer.status) == ("cache", HEALTHY)
    assert list(answer.details) == ["operation_time_ms"]
    assert (redis.values, redis.ttl) == ({}, [10])


@pytest.mark.parametrize("change", [lambda value: b"other", lambda value: None])
async def test_a_cache_that_answers_another_value_is_unhealthy(change: Callable[[str], Any]) -> None:
    answer = await RedisHealthCheck(Redis(change)).check()  # type: ignore[arg-type]
    assert answer.status is UNHEALTHY
    assert "not the value written" in answer.details["error"]


async def test_a_cache_with_text_decoding_is_healthy_however_slow() -> None:
    clock = Clock()

    def slowly(value: str) -> str:
        clock.now += 60
        return value

    assert (await RedisHealthCheck(Redis(slowly), clock).check()).status is HEALTHY  # type: ignore[arg-type]


def test_only_the_cache_is_optional() -> None:
    assert RedisHealthCheck.optional
    assert not any(check.optional for check in (PostgresHealthCheck, KafkaHealthCheck, EventStoreHealthCheck))
    assert isinstance(RedisHealthCheck(Redis()), HealthCheck)  # type: ignore[arg-type]


class Counting:
    """A check that counts how often it is asked."""

    name = "database"
    optional = True

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def check(self) -> ComponentHealth:
        self.asked += 1
        await self.go.wait()
        if self.asked > 2:
            raise RuntimeError("gone")
        return ComponentHealth(name=self.name, status=HEALTHY, response_time_ms=1, message=str(self.asked))


async def test_an_answer_is_kept_for_two_seconds() -> None:
    clock, inner = Clock(), Counting()
    cached = CachedCheck(inner, clock=clock)
    assert (cached.name, cached.optional) == ("database", True)
    await cached.check()
    clock.now += 1.999
    await cached.check()
    assert inner.asked == 1
    clock.now += 0.001
    assert (await cached.check()).message == "2"
    clock.now += 2
    assert (await cached.check()).details == {"error": "RuntimeError: gone"}


async def test_probes_at_the_same_time_share_one_look_and_one_that_gives_up_does_not_end_it() -> None:
    inner = Counting()
    inner.go.clear()
    cached = CachedCheck(inner)
    probes = [asyncio.create_task(cached.check()) for _ in range(5)]
    await asyncio.sleep(0.01)
    probes[0].cancel()
    inner.go.set()
    answers = await asyncio.gather(*probes, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.status for answer in answers[1:] if isinstance(answer, ComponentHealth)} == {HEALTHY}
    assert inner.asked == 1
