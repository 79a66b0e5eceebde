"""What every cache must promise: the suite of the port. An adapter's test subclasses it and supplies the fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from infra.cache.base import ABSENT, Cache, Lease
from infra.cache.globs import escaped
from infra.cache.keys import agent_key, list_pattern, tenant_pattern
from infra.errors import DataError

TENANT = "test-tenant"
KEY = agent_key(TENANT, "agent-1")
Wait = Callable[[float], Awaitable[None]]

NOTHINGS: list[Any] = [None, 0, False, "", [], {}, 0.0]
VALUES: list[Any] = [*NOTHINGS, -(2**70), 1.5, True, 'é ☃ \\ " \n\x00', [1, [None, {"a": []}]], {"": 1, "käse": {"x": [0]}}]

# pattern, what it matches, what it does not: as Redis' own documentation and source have it
PATTERNS: list[tuple[str, list[str], list[str]]] = [
    ("*", ["", "a", "a:b:c", "ä"], []),
    ("a*", ["a", "ab", "a:b"], ["ba", "A"]),
    ("a?c", ["abc", "a?c", "a:c"], ["ac", "abbc", "aäc"]),
    ("a??c", ["abbc", "aäc"], ["abc"]),  # a question mark is one byte, and ä has two
    ("h[ae]llo", ["hallo", "hello"], ["hillo", "haello"]),
    ("h[^e]llo", ["hallo", "h^llo"], ["hello"]),
    ("h[a-c]llo", ["hallo", "hbllo", "hcllo"], ["hdllo", "h-llo"]),
    ("h[c-a]llo", ["hallo", "hcllo"], ["hdllo"]),
    ("h[!a]llo", ["h!llo", "hallo"], ["hbllo"]),  # not the negation that shells know
    ("a\\*b", ["a*b"], ["axb", "a\\*b"]),
    ("a\\?\\[\\]b", ["a?[]b"], ["ax[]b"]),
    ("a\\\\b", ["a\\b"], ["ab"]),
    ("[\\]x]", ["]", "x"], ["\\"]),
    ("x[]", [], ["x", "x[]", "x]"]),
    ("x[ab", ["xa", "xb"], ["x", "x[ab"]),
    ("a.c", ["a.c"], ["abc"]),
    ("a\nb*", ["a\nb", "a\nb\n"], ["a"]),
    ("a\\", ["a\\"], ["a"]),
]


@pytest.mark.conformance
class CacheSuite:
    """Subclass it with the fixtures `cache`, empty, and `wait`, after which so many seconds have passed for the cache."""

    async def test_an_empty_one_has_nothing(self, cache: Cache) -> None:
        assert await cache.get(KEY) is ABSENT
        assert await cache.exists(KEY) is False
        assert await cache.delete(KEY) is False
        assert await cache.invalidate("*") == 0

    @pytest.mark.parametrize("value", VALUES, ids=repr)
    async def test_a_value_comes_back_as_it_was(self, cache: Cache, value: Any) -> None:
        await cache.set(KEY, value, 60)
        found = await cache.get(KEY)
        assert found == value
        assert type(found) is type(value)
        assert await cache.exists(KEY) is True

    @pytest.mark.parametrize(
        "value", [float("nan"), float("inf"), object(), {1, 2}, b"x", [object()]], ids=["nan", "inf", "object", "set", "bytes", "list"]
    )
    async def test_what_is_not_json_is_refused_and_changes_nothing(self, cache: Cache, value: Any) -> None:
        await cache.set(KEY, "before", 60)
        with pytest.raises(DataError, match="value: only JSON can be cached"):
            await cache.set(KEY, value, 60)
        lease = await taken(cache)
        with pytest.raises(DataError, match="value: only JSON can be cached"):
            await cache.fill(lease, value, 60)
        assert await cache.get(KEY) == "before"

    @pytest.mark.parametrize("ttl", [0, -1, 1.5, True, None])
    async def test_a_life_of_no_whole_seconds_is_refused(self, cache: Cache, ttl: Any) -> None:
        with pytest.raises(ValueError, match="ttl_seconds: should be a whole number of seconds"):
            await cache.set(KEY, 1, ttl)
        lease = await taken(cache)
        with pytest.raises(ValueError, match="ttl_seconds: should be a whole number of seconds"):
            await cache.fill(lease, 1, ttl)
        assert await cache.get(KEY) is ABSENT

    async def test_a_value_lives_as_long_as_was_said(self, cache: Cache, wait: Wait) -> None:
        await cache.set("a", 1, 2)
        await cache.set("b", 1, 60)
        await cache.fill(await taken(cache, "c"), 1, 2)
        await wait(0.5)
        assert [await cache.exists(key) for key in "abc"] == [True, True, True]
        await wait(2.0)
        assert [await cache.exists(key) for key in "abc"] == [False, True, False]
        assert await cache.get("a") is ABSENT
        assert await cache.delete("a") is False
        assert await cache.invalidate("[ac]") == 0

    async def test_setting_again_begins_a_new_life(self, cache: Cache, wait: Wait) -> None:
        await cache.set(KEY, "first", 2)
        await wait(1.2)
        await cache.set(KEY, "second", 2)
        await wait(1.2)
        assert await cache.get(KEY) == "second"

    async def test_a_value_lives_for_an_hour_unless_told_otherwise(self, cache: Cache, wait: Wait) -> None:
        await cache.set(KEY, 1)
        await wait(1.1)
        assert await cache.exists(KEY)

    async def test_deleting_says_whether_there_was_something(self, cache: Cache) -> None:
        await cache.set(KEY, None, 60)
        assert await cache.delete(KEY) is True
        assert await cache.delete(KEY) is False
        assert await cache.get(KEY) is ABSENT

    async def test_what_was_given_and_what_was_got_can_be_changed_without_harm(self, cache: Cache) -> None:
        value: dict[str, Any] = {"names": ["a"]}
        await cache.set(KEY, value, 60)
        value["names"].append("b")
        found = await cache.get(KEY)
        assert isinstance(found, dict)
        found.clear()
        assert await cache.get(KEY) == {"names": ["a"]}

    # --- patterns -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("pattern", "inside", "outside"), PATTERNS, ids=[pattern for pattern, _, _ in PATTERNS])
    async def test_a_pattern_takes_what_redis_takes(self, cache: Cache, pattern: str, inside: list[str], outside: list[str]) -> None:
        for key in (*inside, *outside):
            await cache.set(key, 1, 60)
        assert await cache.invalidate(pattern) == len(inside)
        assert [key for key in (*inside, *outside) if await cache.exists(key)] == outside

    async def test_a_tenants_pattern_takes_all_of_the_tenant_and_of_nobody_else(self, cache: Cache) -> None:
        own = [f"agent:{TENANT}:1", f"cache:module.function:{TENANT}:abc", f"list:{TENANT}:agents:abc", f"tenant:{TENANT}:config"]
        others = ["agent:test-tenant-2:1", "agent:other:1", f"agent:x{TENANT}:1", "agent:testAtenant:1"]
        for key in (*own, *others):
            await cache.set(key, 1, 60)
        assert await cache.invalidate(tenant_pattern(TENANT)) == len(own)
        assert [key for key in (*own, *others) if await cache.exists(key)] == others

    @pytest.mark.parametrize("tenant", ["*", "t?", "[a-z]", "a\\", "a*b[c]?"])
    async def test_glob_characters_of_a_tenant_id_mean_themselves(self, cache: Cache, tenant: str) -> None:
        own, other = f"list:{tenant}:agents:1", "list:t1:agents:1"
        for key in (own, other):
            await cache.set(key, 1, 60)
        assert await cache.invalidate(list_pattern(tenant, "agents")) == 1
        assert await cache.exists(other)
        await cache.set(own, 1, 60)
        assert await cache.invalidate(tenant_pattern(tenant)) == 1
        assert await cache.exists(other)
        assert await cache.invalidate(escaped(other)) == 1

    async def test_many_keys_go_by_one_pattern_and_are_counted(self, cache: Cache) -> None:
        for page in range(50):
            await asyncio.gather(*(cache.set(f"list:{TENANT}:{page}:{number}", number, 60) for number in range(50)))
        await cache.set("list:other:1", 1, 60)
        assert await cache.invalidate(f"list:{TENANT}:*") == 2_500
        assert await cache.invalidate("*") == 1

    # --- leases -------------------------------------------------------------------------------------------------------

    async def test_one_of_many_gets_the_lease(self, cache: Cache) -> None:
        leases = await asyncio.gather(*(cache.lease(KEY, 60) for _ in range(50)))
        assert len([each for each in leases if each is not None]) == 1
        assert await cache.lease("another", 60) is not None

    async def test_a_fill_under_the_lease_keeps_the_value_and_ends_the_lease(self, cache: Cache) -> None:
        lease = await taken(cache)
        assert await cache.fill(lease, "value", 60) is True
        assert await cache.get(KEY) == "value"
        assert await cache.fill(lease, "late", 60) is False
        assert await cache.lease(KEY, 60) is not None
        assert await cache.get(KEY) == "value"

    async def test_a_lease_that_was_given_back_fills_nothing(self, cache: Cache) -> None:
        lease = await taken(cache)
        await cache.release(lease)
        assert await cache.fill(lease, "value", 60) is False
        second = await taken(cache)
        await cache.release(lease)
        assert await cache.fill(second, "second", 60) is True

    async def test_a_lease_ends_with_its_time(self, cache: Cache, wait: Wait) -> None:
        lease = await taken(cache, seconds=0.3)
        await wait(0.4)
        second = await taken(cache)
        assert await cache.fill(lease, "late", 60) is False
        assert await cache.fill(second, "value", 60) is True

    @pytest.mark.parametrize("change", ["set", "delete", "key", "pattern"])
    async def test_what_was_fetched_before_a_change_is_not_kept_after_it(self, cache: Cache, change: str) -> None:
        lease = await taken(cache)
        if change == "set":
            await cache.set(KEY, "new", 60)
        elif change == "delete":
            assert await cache.delete(KEY) is False
        else:
            assert await cache.invalidate(escaped(KEY) if change == "key" else tenant_pattern(TENANT)) == 0
        assert await cache.fill(lease, "old", 60) is False
        assert await cache.get(KEY) == ("new" if change == "set" else ABSENT)

    async def test_a_pattern_that_does_not_match_leaves_the_lease(self, cache: Cache) -> None:
        lease = await taken(cache)
        await cache.invalidate(tenant_pattern("other"))
        assert await cache.fill(lease, "value", 60) is True

    async def test_an_invalidation_is_never_passed_by_a_fill_from_before(self, cache: Cache) -> None:
        """Fetch the state, invalidate after its change, fill: whatever the order, no old state stays."""
        state = 0

        async def read() -> None:
            lease = await cache.lease(KEY, 60)
            if lease is not None:
                seen = state
                await asyncio.sleep(0)
                await cache.fill(lease, seen, 60)

        async def change() -> None:
            nonlocal state
            state += 1
            await cache.invalidate(tenant_pattern(TENANT))

        for _ in range(100):
            await asyncio.gather(read(), change(), read(), read())
            assert await cache.get(KEY) in (ABSENT, state)


async def taken(cache: Cache, key: str = KEY, seconds: float = 60) -> Lease:
    """The lease of a key that nobody has."""
    lease = await cache.lease(key, seconds)
    assert lease is not None
    return lease
