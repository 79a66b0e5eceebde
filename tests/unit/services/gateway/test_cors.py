"""CORS is closed by default, open for named origins, and told on every answer, refusals of the edge too."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.services.gateway.arena import Arena

LIST = "/api/v1/requests"
DESK = "https://desk.example"
PREFLIGHT = {"Origin": DESK, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, idempotency-key"}


def fields(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


@pytest.mark.parametrize("headers", [{"Origin": DESK}, PREFLIGHT])
async def test_by_default_no_page_of_another_origin_is_told_anything(headers: dict[str, str]) -> None:
    arena = Arena()
    for method in ("GET", "OPTIONS"):
        assert not fields(await arena.call(method, LIST, headers=headers))


async def test_a_named_origin_may_call_and_read() -> None:
    arena = Arena(cors_origins="https://desk.example, http://localhost:3000")
    answer = await arena.call("GET", LIST, headers={"Origin": DESK})
    assert fields(answer)["access-control-allow-origin"] == DESK
    assert {"Location", "Retry-After", "X-Request-ID"} <= set(fields(answer)["access-control-expose-headers"].split(", "))
    assert "access-control-allow-credentials" not in fields(answer)
    assert "Origin" in answer.headers["vary"]
    preflight = await arena.call("OPTIONS", LIST, role=None, headers=PREFLIGHT)
    assert (preflight.status_code, fields(preflight)["access-control-allow-origin"]) == (200, DESK)
    assert preflight.headers["x-request-id"].startswith("req-")
    assert not arena.reads.asked[1:]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://desk.example.evil.example", "http://desk.example", "null", "*"])
async def test_another_origin_may_not(origin: str) -> None:
    arena = Arena(cors_origins=DESK, cors_credentials=True)
    assert "access-control-allow-origin" not in fields(await arena.call("GET", LIST, headers={"Origin": origin}))
    refused = await arena.call("OPTIONS", LIST, headers={**PREFLIGHT, "Origin": origin})
    assert (refused.status_code, "access-control-allow-origin" in fields(refused)) == (400, False)


async def test_refusals_are_readable_too() -> None:
    arena = Arena(cors_origins=DESK, body_limit_bytes=1_024)
    origin = {"Origin": DESK}
    large = {"content": b"x" * 2_000, "headers": {**origin, "Content-Type": "application/json"}}
    arena.reads.error = RuntimeError("boom")
    answers = [
        await arena.call("GET", LIST, role=None, headers=origin),
        await arena.call("GET", "/nowhere", headers=origin),
        await arena.call("POST", LIST, **large),
        await arena.call("GET", LIST, headers=origin),
        await arena.call("GET", "/" + "x" * 9_000, headers=origin),
    ]
    assert [answer.status_code for answer in answers] == [401, 404, 413, 500, 414]
    assert {fields(answer).get("access-control-allow-origin") for answer in answers} == {DESK}


async def test_credentials_are_allowed_to_named_origins_where_the_setting_says_so() -> None:
    answer = await Arena(cors_origins=DESK, cors_credentials=True).call("GET", LIST, headers={"Origin": DESK})
    assert fields(answer)["access-control-allow-credentials"] == "true"
