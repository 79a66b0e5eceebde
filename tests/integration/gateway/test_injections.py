"""Strings that mean something to a database, a shell or a template, in every parameter of every route: read as plain text, by all of them.

The routes and their parameters come from the route table, so a new route is tried without a line here. Each place is tried with each third
string, beginning at another one, so that every string is tried in a third of all places; with AGENTMESH_CHAOS=long each with all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from fastapi.routing import APIRoute

from projections.agents.projection import AGENTS
from projections.approvals.projection import APPROVALS
from projections.customers.projection import CUSTOMERS
from projections.tasks.projection import TASKS
from projections.tenants.projection import TENANTS
from projections.timeline.projection import TIMELINE
from tests.integration.gateway.conftest import LIST, Caller, OpenCaller, bearer, serve
from tests.mesh import Mesh
from tests.unit.services.gateway.arena import Arena

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
AT_A_TIME = 8
EACH = 1 if os.environ.get("AGENTMESH_CHAOS") == "long" else 3
STREAM = "text/event-stream"
SQL = (
    "' OR '1'='1",
    "' OR 1=1 --",
    '" OR ""="',
    "1; DROP TABLE read_requests.requests; --",
    "'; SELECT pg_sleep(10); --",
    "' UNION SELECT NULL, NULL, NULL --",
    "x') OR ('a'='a",
    "$$; SELECT 1; $$",
    "%(tenant)s",
    "%s %d {0} :tenant $1",
    "E'\\x27'",
)
PATTERNS = ("*", "?", "[a-z]*", "**/*", "%", "_", "%%", "\\%", "req-%", ".*", "(a+)+$", "^(?=a)*")
PATHS = ("$.store.*", "$..*", "@.length-1", "../../etc/passwd", "..\\..\\x", "/etc/passwd", "file:///etc/passwd", "//evil.example/x")
OTHERS = (
    "*)(uid=*))(|(uid=*",
    "{{7*7}}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "${jndi:ldap://127.0.0.1/a}",
    "; ls -la",
    "| id",
    "`id`",
    "$(id)",
    "& ping -c 1 127.0.0.1 &",
    "<script>alert(1)</script>",
    "\x00",
    "a\x00b",
    "a\r\nX-Injected: yes",
    "\u202e\ufeff",
    "\U0001f600" * 10,
    "x" * 3_000,
    "NaN",
    "1e400",
    "-1",
    "9" * 100,
    "null",
    "[]",
    "{}",
    '{"$gt": ""}',
    "__proto__",
    " ",
)
STRINGS = (*SQL, *PATTERNS, *PATHS, *OTHERS)
HEADERS = ("Idempotency-Key", "Prefer", "Accept", "X-Correlation-ID", "traceparent", "X-Tenant-ID", "Accept-Language", "If-Match")


class Trial(NamedTuple):
    """One call with a string in one place."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    place: str


def routes() -> list[APIRoute]:
    """Every route of the API."""
    return [route for router in Arena().routers for route in router.routes if isinstance(route, APIRoute)]


def path_of(route: APIRoute, name: str = "", value: str = "") -> str:
    """The route's path with an id of nobody in each place, and the value in one."""
    names = [field.alias for field in route.dependant.path_params]
    return route.path.format(**{each: quote(value, safe="") if each == name else "nobody-1" for each in names})


def strings_at(place: int) -> tuple[str, ...]:
    """What is tried in one place."""
    return STRINGS[place % EACH :: EACH]


def trials() -> Iterator[tuple[Trial, str]]:
    """The strings in each path and query parameter of each route."""
    place = 0
    for route in routes():
        (method,) = route.methods
        for field in route.dependant.path_params:
            for value in strings_at(place := place + 1):
                yield Trial(method, path_of(route, field.alias, value), {}, {}, f"path {field.alias}"), value
        for field in route.dependant.query_params:
            for value in strings_at(place := place + 1):
                yield Trial(method, path_of(route), {field.alias: value}, {}, f"query {field.alias}"), value
    for value in STRINGS:
        yield Trial("GET", LIST, {"unknown": value}, {}, "query unknown"), value


@pytest.fixture
async def everything(mesh: Mesh, open_caller: OpenCaller) -> Caller:
    """A caller of a gateway whose read models are all there, with two requests in them."""
    await mesh.start_all()
    await mesh.start(*(mesh.projection(model) for model in (AGENTS, APPROVALS, CUSTOMERS, TASKS, TENANTS, TIMELINE)))
    call = await open_caller((await serve(mesh))._own.url)
    for _ in range(2):
        await call.created()
    return call


def items_of(answer: Any) -> list[Any]:
    """What a list has shown."""
    body = answer.json()
    return body if isinstance(body, list) else body.get("items", [])


def fault_of(trial: Trial, value: str, answer: Any) -> str:
    """What is wrong with an answer, or an empty text.

    A string in a path names nothing: 404, or 422 where it cannot be an id. In a query it is no value of the parameter, 422, or one that
    nothing has: an empty list. What a route does not know is not looked at. Nothing of it comes back as a header."""
    allowed = {404, 422, 400} if trial.place.startswith("path") or "nobody-1" in trial.path else {200, 422}
    if trial.method != "GET":
        allowed |= {415}
    if answer.status_code not in allowed:
        return f"status {answer.status_code}"
    if "x-injected" in answer.headers:
        return "a header was injected"
    if answer.headers.get("content-type", "").startswith(STREAM):
        return ""
    filtered = trial.place.startswith("query") and trial.place != "query unknown"
    if answer.status_code == 200 and filtered and items_of(answer):
        return f"{len(items_of(answer))} items"
    if any(word in answer.text for word in ("Traceback", "psycopg", "syntax error", "sqlstate", "relation ")):
        return "it tells of its inside"
    return ""


async def test_no_string_in_any_parameter_of_any_route_is_more_than_text(mesh: Mesh, everything: Caller) -> None:
    before = await mesh.rows("SELECT originator_id::text, originator_version FROM requests.stored_events ORDER BY notification_id")
    gate = asyncio.Semaphore(AT_A_TIME)
    wrong: list[str] = []
    signed = bearer("admin")

    async def attempt(trial: Trial, value: str) -> None:
        async with gate:
            body = {} if trial.method == "GET" else {"json": {}}
            async with everything.client.stream(trial.method, trial.path, params=trial.query, headers=signed, **body) as answer:
                if not answer.headers.get("content-type", "").startswith(STREAM):  # which has no end
                    await answer.aread()
                fault = fault_of(trial, value, answer)
        if fault:
            wrong.append(f"{trial.method} {trial.path} {trial.place} {value!r:.40}: {fault}")

    every = list(trials())
    await asyncio.gather(*(attempt(*each) for each in every))
    assert not wrong, "\n".join(sorted(wrong)[:40])
    assert len(every) > 1_000
    assert {value for each, value in every if each.place != "query unknown"} == set(STRINGS)
    assert len({place for each, _ in every if (place := each.place).startswith("query")}) > 5
    assert before == await mesh.rows("SELECT originator_id::text, originator_version FROM requests.stored_events ORDER BY notification_id")
    assert len((await everything("GET", LIST)).json()["items"]) == 2


async def test_no_string_in_a_header_is_more_than_text(everything: Caller) -> None:
    wrong = []
    signed = bearer("admin")
    for place, name in enumerate(HEADERS):
        for value in strings_at(place):
            if not value.isascii() or not value.isprintable() or not value.strip():  # no client sends these; raw bytes are tried elsewhere
                continue
            for method, path, body in (("GET", LIST, {}), ("PATCH", f"{LIST}/nobody-1", {"json": {"priority": 3}})):
                answer = await everything.client.request(method, path, headers={**signed, name: value}, **body)
                expected = {200, 406} if method == "GET" else {404, 406, 422}
                if answer.status_code not in expected or "x-injected" in answer.headers:
                    wrong.append((method, name, value, answer.status_code))
    assert not wrong
