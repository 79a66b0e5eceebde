"""Rate limits at the door: after sign-in, by user and class of route; a tenant's own number; strangers by their address."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Request

from infra.errors import TransientError
from services.gateway.kept import Kept
from services.gateway.limits import address_of
from tests.unit.services.gateway.arena import CREATE, TENANT, Arena, bearer, view

LIST = "/api/v1/requests"


async def statuses(arena: Arena, count: int, **more: Any) -> list[int]:
    return [(await arena.call("GET", LIST, **more)).status_code for _ in range(count)]


async def test_the_call_above_the_limit_is_429_and_says_when_to_come_again() -> None:
    arena = Arena(calls_per_minute=100)
    first = await arena.call("GET", LIST)
    assert (first.headers["ratelimit-policy"], first.headers["ratelimit"]) == ('"tenant";q=100;w=60', '"tenant";r=99;t=1')
    assert await statuses(arena, 99) == [200] * 99
    refused = await arena.call("GET", LIST)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.headers["ratelimit"] == '"tenant";r=0;t=1'
    assert arena.counts.refused == ["read"]
    assert refused.json()["error"] == {
        "error_type": "RateLimited",
        "message": "Too many calls: try again later.",
        "code": "RATE_LIMITED",
        "details": {},
    }
    assert refused.headers["x-request-id"].startswith("req-")
    arena.clock.wait(0.6)
    assert await statuses(arena, 2) == [200, 429]


async def test_users_tenants_and_classes_of_routes_have_buckets_of_their_own() -> None:
    arena = Arena(calls_per_minute=2)
    arena.settle(shows=view())
    assert await statuses(arena, 3) == [200, 200, 429]
    assert await statuses(arena, 3, role="manager") == [200, 200, 429]
    assert await statuses(arena, 3, role=None, headers=bearer("admin", "other")) == [200, 200, 429]
    writes = [(await arena.call("POST", LIST, json=CREATE)).status_code for _ in range(3)]
    assert writes == [201, 201, 429]


async def test_refused_calls_do_not_reach_the_permission_nor_the_read_model() -> None:
    arena = Arena(calls_per_minute=1)
    assert (await arena.call("DELETE", f"{LIST}/req-1", role="customer")).status_code == 403
    assert (await arena.call("DELETE", f"{LIST}/req-1", role="customer")).status_code == 429
    assert not arena.reads.asked


async def test_strangers_pay_by_their_address_and_leave_who_has_signed_in_alone() -> None:
    arena = Arena(calls_per_minute=2)
    wrong = {"Authorization": "Bearer wrong"}
    assert await statuses(arena, 4, role=None, headers=wrong) == [401, 401, 429, 429]
    assert await statuses(arena, 3, role=None, headers={**wrong, "X-Forwarded-For": "10.0.0.9", "Forwarded": "for=10.0.0.9"}) == [429] * 3
    assert await statuses(arena, 2) == [200, 200]


async def test_a_tenants_own_number_takes_the_place_of_the_default_and_a_change_counts_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    arena = Arena(calls_per_minute=100, tenant_limit_seconds=0)
    arena.tenants.limits[TENANT] = 3
    assert await statuses(arena, 4) == [200, 200, 200, 429]
    arena.tenants.limits[TENANT] = 600
    assert (await arena.call("GET", LIST)).status_code == 429  # the share that was used stays used
    arena.clock.wait(0.1)
    answer = await arena.call("GET", LIST)
    assert (answer.status_code, answer.headers["ratelimit-policy"]) == (200, '"tenant";q=600;w=60')
    assert (await arena.call("GET", LIST, role=None, headers=bearer("admin", "other"))).headers["ratelimit-policy"] == '"tenant";q=100;w=60'


async def test_a_tenants_number_is_read_once_in_a_while_and_holds_while_it_cannot_be_read() -> None:
    arena = Arena(tenant_limit_seconds=3_600)
    arena.tenants.limits[TENANT] = 50
    await statuses(arena, 5)
    assert arena.tenants.asked == [TENANT]
    away = Arena(calls_per_minute=7, tenant_limit_seconds=0)
    away.tenants.limits[TENANT] = 50
    await statuses(away, 1)
    away.tenants.error = TransientError("database away")
    assert (await away.call("GET", LIST)).headers["ratelimit-policy"] == '"tenant";q=50;w=60'
    other = await away.call("GET", LIST, role=None, headers=bearer("admin", "other"))
    assert (other.status_code, other.headers["ratelimit-policy"]) == (200, '"tenant";q=7;w=60')


async def test_what_is_open_to_everybody_costs_nothing() -> None:
    arena = Arena(calls_per_minute=1)
    for path in ("/openapi.json", "/problems/RATE_LIMITED", "/nowhere"):
        answers = [await arena.call("GET", path, role=None) for _ in range(3)]
        assert {answer.status_code for answer in answers} <= {200, 404}
        assert not any("ratelimit" in answer.headers for answer in answers)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "unknown"),
        (None, "unknown"),
    ],
)
def test_an_address_is_that_of_the_connection_and_of_ipv6_the_network(host: str | None, key: str) -> None:
    scope = {"type": "http", "headers": [(b"x-forwarded-for", b"10.0.0.9")], "client": None if host is None else (host, 1)}
    assert address_of(Request(scope)) == key


async def test_values_are_loaded_once_for_all_who_ask_and_the_first_makes_room() -> None:
    now, loads = [0.0], []

    async def load() -> int:
        loads.append(now[0])
        return len(loads)

    kept: Kept[str, int] = Kept(5, most=2, clock=lambda: now[0])
    assert [await kept.get("a", load) for _ in range(3)] == [1, 1, 1]
    now[0] = 5
    assert (kept.old("a"), await kept.get("a", load)) == (1, 2)
    await kept.get("b", load)
    await kept.get("c", load)
    assert (len(kept), kept.old("a"), kept.old("c")) == (2, None, 4)


async def test_a_load_that_fails_is_not_kept() -> None:
    kept: Kept[str, int] = Kept(5)
    answers: list[Any] = [TransientError("away"), 7]

    async def load() -> int:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return int(found)

    with pytest.raises(TransientError):
        await kept.get("a", load)
    assert await kept.get("a", load) == 7
