"""What every rate limiter must promise: the suite of the port. An adapter's test subclasses it and supplies the fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from infra.rate_limit.base import Decision, Limit, RateLimiter
from infra.rate_limit.keys import user_key

KEY = user_key("test-tenant", "user-1", "write")
LIMIT = Limit(100, 60)
# A token in 60 s: what a slow machine takes for a test refills nothing, so the counts are exact on a real clock too.
SLOW = Limit(100, 6_000)
TOKEN_SECONDS = 0.6
Wait = Callable[[float], Awaitable[None]]


async def take(limiter: RateLimiter, times: int, key: str = KEY, limit: Limit = SLOW) -> list[Decision]:
    """One after the other."""
    return [await limiter.take(key, limit) for _ in range(times)]


def allowed(decisions: list[Decision]) -> int:
    return sum(each.allowed for each in decisions)


@pytest.mark.conformance
class RateLimitSuite:
    """Subclass it with `limiter`, `another` on the same store, and `wait`, after which so many seconds have passed for the store."""

    async def test_the_bucket_starts_full_and_the_101st_is_refused(self, limiter: RateLimiter) -> None:
        decisions = await take(limiter, 101)
        assert [each.allowed for each in decisions] == [True] * 100 + [False]
        assert [each.remaining for each in decisions] == [*range(99, -1, -1), 0]
        assert all(each.limit == SLOW for each in decisions)

    async def test_a_hundred_in_sixty_seconds_pass_at_once(self, limiter: RateLimiter) -> None:
        first = await limiter.take(KEY, LIMIT)
        assert first == Decision(True, LIMIT, remaining=99, reset_seconds=1, retry_after_seconds=0)
        assert allowed(await take(limiter, 99, limit=LIMIT)) == 99

    async def test_who_is_refused_is_told_when_a_token_is_there(self, limiter: RateLimiter) -> None:
        await take(limiter, 100, limit=Limit(100, 200))  # a token in 2 s
        refused = await limiter.take(KEY, Limit(100, 200))
        assert not refused.allowed
        assert refused.retry_after_seconds in (1, 2)
        assert refused.reset_seconds in (199, 200)

    @pytest.mark.parametrize(("limit", "seconds"), [(Limit(1, 3_600), 60), (Limit(1, 60), 60), (Limit(1_000, 60), 1)])
    async def test_the_wait_is_a_whole_number_of_seconds_from_1_to_60(self, limiter: RateLimiter, limit: Limit, seconds: int) -> None:
        for _ in range(5_000):
            decision = await limiter.take(KEY, limit)
            if not decision.allowed:
                break
        assert not decision.allowed
        assert decision.retry_after_seconds == seconds

    async def test_refusals_take_nothing(self, limiter: RateLimiter, wait: Wait) -> None:
        limit = Limit(10, 10)
        await take(limiter, 10, limit=limit)
        while (await limiter.take(KEY, limit)).allowed:
            pass
        await take(limiter, 20, limit=limit)
        await wait(1.05)
        assert (await limiter.take(KEY, limit)).allowed

    async def test_tokens_come_back_one_by_one(self, limiter: RateLimiter, wait: Wait) -> None:
        while (await limiter.take(KEY, LIMIT)).allowed:
            pass
        await wait(5 * TOKEN_SECONDS + 0.02)
        assert allowed(await take(limiter, 6, limit=LIMIT)) == 5
        await wait(TOKEN_SECONDS)
        assert (await limiter.take(KEY, LIMIT)).allowed

    async def test_the_bucket_never_holds_more_than_its_limit(self, limiter: RateLimiter, wait: Wait) -> None:
        limit = Limit(5, 1)
        await take(limiter, 5, limit=limit)
        await wait(3.0)
        first = await limiter.take(KEY, limit)
        assert first.remaining == 4
        assert allowed(await take(limiter, 4, limit=limit)) == 4

    async def test_two_limiters_share_the_bucket(self, limiter: RateLimiter, another: RateLimiter) -> None:
        assert allowed(await take(limiter, 60)) == 60
        assert allowed(await take(another, 60)) == 40
        assert not (await limiter.take(KEY, SLOW)).allowed

    async def test_of_200_at_once_exactly_100_pass(self, limiter: RateLimiter, another: RateLimiter) -> None:
        decisions = await asyncio.gather(*(each.take(KEY, SLOW) for each in (limiter, another) for _ in range(100)))
        assert allowed(list(decisions)) == 100
        assert sorted(each.remaining for each in decisions if each.allowed) == list(range(100))

    async def test_each_key_has_its_bucket(self, limiter: RateLimiter) -> None:
        await take(limiter, 101)
        for key in (
            user_key("other", "user-1", "write"),
            user_key("test-tenant", "user-2", "write"),
            user_key("test-tenant", "user-1", "read"),
        ):
            assert (await limiter.take(key, SLOW)).remaining == 99

    async def test_a_changed_limit_keeps_the_share_that_was_used(self, limiter: RateLimiter) -> None:
        await take(limiter, 50)
        more = await limiter.take(KEY, Limit(1_000, 6_000))
        assert more.allowed
        assert more.remaining in (499, 500)
        less = await limiter.take(KEY, Limit(10, 6_000))
        assert less.remaining in (3, 4)

    async def test_a_bucket_of_one(self, limiter: RateLimiter) -> None:
        decisions = await take(limiter, 3, limit=Limit(1, 6_000))
        assert [each.allowed for each in decisions] == [True, False, False]
