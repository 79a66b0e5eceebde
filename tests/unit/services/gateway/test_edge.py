"""What every call and every answer has: ids, headers, limits, its place in the metrics."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from infra.telemetry.context import bind, current
from services.gateway.calls import call_of_scope
from services.gateway.edge import Edge
from services.gateway.settings import GatewaySettings
from tests.unit.services.gateway.arena import BASE, CREATE, Arena, Counts, view

LIST = "/api/v1/requests"
# (method, path, role, more): an answer of every kind
CALLS: list[tuple[str, str, str | None, dict[str, Any]]] = [
    ("GET", LIST, "admin", {}),
    ("GET", LIST, None, {}),
    ("GET", LIST, "root", {}),
    ("GET", f"{LIST}/req-9", "admin", {}),
    ("GET", "/nowhere", "admin", {}),
    ("PUT", LIST, "admin", {}),
    ("POST", LIST, "admin", {"json": {}}),
    ("POST", LIST, "admin", {"content": b"x" * 300_000}),
    ("GET", "/openapi.json", None, {}),
    ("GET", LIST, "admin", {"headers": {"Accept": "application/vnd.agentmesh.v9+json"}}),
]


@pytest.mark.parametrize(("method", "path", "role", "more"), CALLS)
async def test_every_answer_has_both_ids_and_the_security_headers(method: str, path: str, role: str | None, more: dict[str, Any]) -> None:
    headers = {"X-Correlation-ID": "order-7.A_b", "X-Request-ID": "mine", **more.get("headers", {})}
    answer = await Arena().call(method, path, role=role, **{**more, "headers": headers})
    found = answer.headers
    assert found["x-correlation-id"] == "order-7.A_b"
    assert uuid.UUID(found["x-request-id"].removeprefix("req-")).version == 4
    assert found["x-content-type-options"] == "nosniff"
    assert found["x-frame-options"] == "DENY"
    assert found["cache-control"] == "no-store"
    assert found["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert found["strict-transport-security"] == "max-age=31536000"
    assert "server" not in found


async def test_a_failure_of_ours_has_the_headers_too() -> None:
    arena = Arena()
    arena.reads.error = RuntimeError("boom")
    answer = await arena.call("GET", LIST, headers={"X-Correlation-ID": "c-1"})
    assert (answer.status_code, answer.headers["x-correlation-id"], answer.headers["cache-control"]) == (500, "c-1", "no-store")


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "a\x07", "ä", "a,b", "<script>", None])
async def test_a_correlation_id_of_another_form_is_replaced(given: str | None) -> None:
    headers: Any = [] if given is None else [(b"x-correlation-id", given.encode("latin-1"))]
    scope = {"method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": headers}
    assert uuid.UUID(call_of_scope(scope, BASE).correlation_id).version == 4


async def test_the_id_of_a_call_is_always_new() -> None:
    arena = Arena()
    found = {(await arena.call("GET", LIST, headers={"X-Request-ID": "req-1"})).headers["x-request-id"] for _ in range(3)}
    assert len(found) == 3
    assert "req-1" not in found


async def test_the_id_of_a_call_is_never_that_of_a_request() -> None:
    arena = Arena()
    arena.settle(shows=view())
    answer = await arena.call("POST", LIST, json=CREATE)
    assert answer.json()["request_id"] != answer.headers["x-request-id"]
    assert answer.headers["x-request-id"] not in str(arena.published.commands)


async def test_without_tls_no_browser_is_told_to_use_it() -> None:
    arena = Arena()
    plain = Edge(arena.app._app, GatewaySettings(base_url="http://mesh.example"), arena.counts, bind)
    arena.app = plain
    assert "strict-transport-security" not in (await arena.call("GET", LIST)).headers


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_413(chunked: bool) -> None:
    body = json.dumps({**CREATE, "message": "x" * 2_000}).encode()

    async def pieces() -> Any:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    arena = Arena(body_limit_bytes=1_024)
    content: Any = pieces() if chunked else body
    answer = await arena.call("POST", LIST, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error"]["details"] == {"limit_bytes": 1_024}
    assert not arena.published.commands


async def test_the_largest_legal_body_is_read() -> None:
    arena = Arena()
    arena.settle(shows=view())
    message = "\U0001f600" + "x" * 9_999
    body = json.dumps({**CREATE, "message": message, "metadata": {"k": "ü" * 9_990}}).encode()
    assert 60_000 < len(body) < 256 * 1024
    answer = await arena.call("POST", LIST, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


async def hanging(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def reading(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await asyncio.Event().wait()


def impatient(app: Any, **changes: Any) -> tuple[Arena, Counts]:
    arena = Arena(request_timeout_seconds=0.1, wait_seconds=0, longest_wait_seconds=0, publish_timeout_seconds=0.05, **changes)
    arena.app = Edge(app, arena.settings, arena.counts, bind)
    return arena, arena.counts


async def test_a_call_that_takes_too_long_is_503() -> None:
    arena, _ = impatient(reading)
    answer = await arena.call("POST", LIST, json=CREATE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_a_body_that_does_not_come_is_408() -> None:
    arena, _ = impatient(hanging)
    answer = await arena.call("POST", LIST, json=CREATE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "REQUEST_TIMEOUT")


async def test_more_calls_than_allowed_are_refused_and_the_next_ones_are_not() -> None:
    arena, counts = impatient(hanging, most_in_flight=2)
    answers = await asyncio.gather(*(arena.call("GET", LIST) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [408, 408, 503, 503, 503]
    assert counts.active == 0
    assert (await arena.call("GET", LIST)).status_code == 408


async def test_calls_are_counted_by_the_template_of_their_route() -> None:
    arena = Arena()
    await arena.call("GET", f"{LIST}/req-1")
    await arena.call("GET", "/wp-admin")
    await arena.call("BREW", "/pot")
    assert arena.counts.ended_calls == [
        ("GET", "/api/v1/requests/{request_id}", 404),
        ("GET", "unknown", 404),
        ("other", "unknown", 404),
    ]
    assert arena.counts.active == 0


async def test_log_lines_of_a_call_carry_its_correlation_id_and_trace() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    arena, _ = impatient(app)
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    await arena.call("GET", LIST, headers={"X-Correlation-ID": "c-7", "traceparent": trace})
    assert (seen[0].correlation_id, seen[0].traceparent) == ("c-7", trace)
    assert current().correlation_id is None


async def test_an_answer_that_breaks_off_is_not_answered_twice() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("boom")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    arena, _ = impatient(app)
    scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    await arena.app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_nothing_but_http_is_served() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("nothing is read or sent")

    await Arena().app({"type": "websocket", "path": "/"}, never, never)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("", 200),
        ("text/html", 200),
        ("application/vnd.agentmesh.v1+json", 200),
        ("application/vnd.agentmesh.v9+json", 406),
        ("application/vnd.agentmesh.v9+json, text/html", 406),
        ("application/vnd.agentmesh.v9+json, application/json;q=0.1", 200),
        ("application/vnd.agentmesh.v9+json, application/vnd.agentmesh.v1+json", 200),
        ("APPLICATION/VND.AGENTMESH.V9+JSON", 406),
    ],
)
async def test_an_unknown_version_is_not_acceptable(accept: str, status: int) -> None:
    assert (await Arena().call("GET", LIST, headers={"Accept": accept})).status_code == status


async def test_a_method_that_a_path_does_not_have_is_405_with_all_that_it_has() -> None:
    answer = await Arena().call("PUT", "/api/v1/requests/req-1", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"
