"""Buckets in memory: the suite of the port, the boundaries to the nanosecond, and the bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.rate_limit.base import Limit, RateLimiter
from infra.rate_limit.memory import SECOND, InMemoryRateLimiter
from tests.conformance.rate_limit import KEY, LIMIT, RateLimitSuite, Wait, allowed, take

TOKEN = 600_000_000  # ns, at 100/60 per second


class Clock:
    """Nanoseconds that stand still until told."""

    def __init__(self) -> None:
        self.now = 5 * SECOND

    def __call__(self) -> int:
        return self.now

    async def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestInMemoryRateLimiter(RateLimitSuite):
    """In one process two limiters are one."""

    @pytest.fixture
    def limiter(self, clock: Clock) -> RateLimiter:
        return InMemoryRateLimiter(clock=clock)

    @pytest.fixture
    def another(self, limiter: RateLimiter) -> RateLimiter:
        return limiter

    @pytest.fixture
    def wait(self, clock: Clock) -> Wait:
        return clock.wait


async def test_at_one_instant_exactly_a_hundred_pass(clock: Clock) -> None:
    limiter = InMemoryRateLimiter(clock=clock)
    assert [each.allowed for each in await take(limiter, 200, limit=LIMIT)] == [True] * 100 + [False] * 100


async def test_a_token_is_back_after_six_tenths_of_a_second_and_not_a_nanosecond_before(clock: Clock) -> None:
    limiter = InMemoryRateLimiter(clock=clock)
    await take(limiter, 100, limit=LIMIT)
    clock.now += TOKEN - 1
    refused = await limiter.take(KEY, LIMIT)
    assert (refused.allowed, refused.retry_after_seconds) == (False, 1)
    clock.now += 1
    assert (await limiter.take(KEY, LIMIT)).allowed
    assert not (await limiter.take(KEY, LIMIT)).allowed


@pytest.mark.parametrize(("seconds", "tokens"), [(0.6, 1), (1.19, 1), (1.2, 2), (30.0, 50), (59.9, 99), (60.0, 100), (3_600.0, 100)])
async def test_refill_is_continuous_and_capped(clock: Clock, seconds: float, tokens: int) -> None:
    limiter = InMemoryRateLimiter(clock=clock)
    await take(limiter, 100, limit=LIMIT)
    await clock.wait(seconds)
    assert allowed(await take(limiter, 150, limit=LIMIT)) == tokens


async def test_the_wait_grows_with_the_interval_and_ends_at_sixty(clock: Clock) -> None:
    limiter = InMemoryRateLimiter(clock=clock)
    waits = []
    for seconds in (1, 2, 59, 60, 61, 3_600):
        limit = Limit(1, seconds)
        await limiter.take(str(seconds), limit)
        waits.append((await limiter.take(str(seconds), limit)).retry_after_seconds)
    assert waits == [1, 2, 59, 60, 60, 60]


@given(st.integers(1, 2_000), st.integers(1, 3_600), st.lists(st.integers(0, 10 * SECOND), max_size=40))
async def test_no_sequence_of_waits_lets_more_through_than_burst_and_refill(requests: int, window: int, pauses: list[int]) -> None:
    clock = Clock()
    limiter = InMemoryRateLimiter(clock=clock)
    limit = Limit(requests, window)
    begin, passed = clock.now, 0
    for pause in pauses:
        clock.now += pause
        passed += allowed(await take(limiter, 20, limit=limit))
    interval = window * SECOND // requests
    assert passed <= requests + (clock.now - begin) // interval


async def test_buckets_are_bounded_and_the_one_not_used_longest_goes(clock: Clock) -> None:
    limiter = InMemoryRateLimiter(max_keys=3, clock=clock)
    for key in "abc":
        await take(limiter, 2, key=key, limit=LIMIT)
    await limiter.take("a", LIMIT)
    await limiter.take("d", LIMIT)
    assert len(limiter) == 3
    assert (await limiter.take("a", LIMIT)).remaining == 96
    assert (await limiter.take("b", LIMIT)).remaining == 99


async def test_full_buckets_are_forgotten(clock: Clock) -> None:
    limiter = InMemoryRateLimiter(clock=clock)
    for number in range(50):
        await limiter.take(str(number), LIMIT)
    assert len(limiter) == 50
    clock.now += TOKEN
    await limiter.take("another", LIMIT)
    assert len(limiter) == 1


@pytest.mark.parametrize("limit", [(0, 60), (-1, 60), (1.5, 60), (True, 60), (100, 0), (100, None)])
def test_a_limit_of_no_whole_numbers_is_refused(limit: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="should be a whole number, 1 or more"):
        Limit(*limit)
