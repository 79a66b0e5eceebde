"""API keys at the door: both headers, refusals that tell nothing, one credential a call, and how long a key is believed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from infra.errors import TransientError
from tests.unit.services.gateway.arena import CREATE, Arena, bearer, view

LIST = "/api/v1/requests"


async def with_key(text: str, arena: Arena, **more: Any) -> Any:
    return await arena.call("GET", LIST, role=None, headers={"X-API-Key": text}, **more)


async def arena_with_key(ends: datetime | None = None, **more: Any) -> tuple[Arena, str]:
    arena = Arena(**more)
    await arena.world.user(role="agent")
    return arena, await arena.world.key(ends)


@pytest.mark.parametrize("header", [{"X-API-Key": "{}"}, {"Authorization": "ApiKey {}"}, {"authorization": "apikey  {}"}])
async def test_a_key_acts_as_its_owner_in_either_header(header: Mapping[str, str]) -> None:
    arena, key = await arena_with_key()
    arena.settle(shows=view(tenant_id="acme"))
    headers = {name: value.format(key) for name, value in header.items()}
    assert (await arena.call("GET", LIST, role=None, headers=headers)).status_code == 200
    assert (await arena.call("DELETE", f"{LIST}/req-1", role=None, headers=headers)).status_code == 403
    assert (await arena.call("POST", LIST, role=None, headers=headers, json=CREATE)).status_code == 201
    (command,) = arena.published.commands
    assert (command.metadata.auth_type, command.metadata.tenant_id) == ("api_key", "acme")


@pytest.mark.parametrize(
    "text", ["am_abcdefgh_" + "x" * 43, "am_abcdefgh", "' OR 1=1 --", "x" * 5_000, "Bearer x", "%00", "am_abcdefgh_" + "x" * 44]
)
async def test_every_key_that_is_none_is_refused_alike(text: str) -> None:
    arena, key = await arena_with_key()
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    for each in (text, wrong):
        answer = await with_key(each, arena)
        assert (answer.status_code, answer.json()["error"]["message"]) == (401, "Invalid API key")
        assert each not in answer.text
    assert not arena.reads.asked


async def test_a_key_that_ends_ends_at_once_even_where_it_is_believed() -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    arena, key = await arena_with_key(ends, api_key_seconds=300)
    assert (await with_key(key, arena)).status_code == 200
    arena.access._now = lambda: ends
    assert (await with_key(key, arena)).status_code == 401


async def test_a_revoked_key_is_believed_for_as_long_as_the_setting_says_and_no_longer() -> None:
    arena, key = await arena_with_key(api_key_seconds=300)
    other, its_key = await arena_with_key(api_key_seconds=0)
    for each, text in ((arena, key), (other, its_key)):
        assert (await with_key(text, each)).status_code == 200
        await each.world.administration.revoke_key("acme", text, "ops")
    assert (await with_key(key, arena)).status_code == 200
    assert (await with_key(its_key, other)).status_code == 401


async def test_a_key_that_is_believed_costs_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    arena, key = await arena_with_key()
    assert (await with_key(key, arena)).status_code == 200

    async def away(_: str) -> Any:
        raise TransientError("database away")

    monkeypatch.setattr(arena.world.sign_in, "api_key", away)
    assert (await with_key(key, arena)).status_code == 200
    unknown = await with_key("am_abcdefgh_" + "x" * 43, arena)
    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize("pair", [("authorization", "authorization"), ("authorization", "x-api-key"), ("x-api-key", "x-api-key")])
async def test_more_than_one_credential_is_refused_though_each_is_right(pair: tuple[str, str]) -> None:
    arena, key = await arena_with_key()
    values = {"authorization": bearer()["Authorization"], "x-api-key": key}
    async with arena.client() as client:
        answer = await client.get(LIST, headers=httpx2.Headers([(name, values[name]) for name in pair]))
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, "More than one credential")


async def test_an_empty_key_is_a_missing_credential() -> None:
    assert (await with_key("", Arena())).json()["error"]["message"] == "Missing bearer token"
