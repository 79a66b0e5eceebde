"""Every route of the running gateway × every role × two tenants: what belongs to the other tenant is neither shown nor changed.

The routes are those of the worker's own application, so a new one is tried without a word here; one whose path holds an id of which this
file knows none fails the test.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from contracts.message import Command
from contracts.requests.commands import DeleteRequest
from contracts.topics import CONTEXTS
from infra.identity.base import Permission
from infra.identity.permissions import ROLES, permits
from infra.postgres.tenant_reads import PostgresTenantReads
from projections.catalogue import read_models
from projections.listing import Listing, Slice
from services.agents.worker import build as build_agents
from services.customers.worker import build as build_customers
from services.gateway.access import requirement_of
from services.gateway.app import OPENAPI_PATH
from services.gateway.console.session import PREFIX
from services.gateway.worker import ROUTES, GatewayWorker
from services.tasks.worker import build as build_tasks
from services.tenants.worker import build as build_tenants
from tests.integration.gateway.conftest import AT_ONCE, OWN, PATIENT, OpenCaller, bearer, body, serve
from tests.mesh import TENANT, Mesh, wait_for
from tests.unit.services.gateway.arena import principal

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
OTHER, EMPTY = "other", "tenant-of-nothing"
ORDERED_BY = "admin-of-the-other"
MARK = "only-the-other-tenant-reads-this"
EVERY_ROLE = (*ROLES, "root")
SHOWN = ("requests", "approvals", "timeline", "analytics", "tasks", "agents", "customers", "tenants")
MESH_WIDE = frozenset({Permission.PROJECTION_READ, Permission.PROJECTION_REBUILD})
"""Routes that show and change the mesh itself, of no tenant: the mark must not be there, but they are the same for all."""
MESH_IDS = frozenset({"name", "order_id"})
"""Ids of what is the mesh's."""
STREAM_SECONDS = 0.5
FROM_THE_BEGINNING = {"from": "beginning"}
"""Of a stream, all that there ever was; a list knows no such thing."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path, and what the document says of it."""

    method: str
    path: str
    permission: Permission
    body: Any
    query: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the ids in its path."""
        return tuple(re.findall(r"{(\w+)}", self.path))


def routes_of(worker: GatewayWorker) -> list[Route]:
    """Every route of the application that asks for a permission; the others are open to all, and the start refuses any that is neither."""
    app: Any = worker._app
    while not isinstance(app, FastAPI):  # what stands around it adds no route that asks for a permission
        app = app._app
    document = app.openapi()["paths"]
    found = []
    for route in flat(app.routes):
        requirement = requirement_of(route)
        if requirement is None or route.path.startswith(PREFIX):  # pages: test_console.py tries them, by cookie and form
            continue
        said = document.get(route.path) or document.get(f"{route.path}/") or {}
        for method in sorted(route.methods):
            operation = said.get(method.lower(), {})
            query = tuple(each["name"] for each in operation.get("parameters", ()) if each["in"] == "query" and is_text(each["schema"]))
            found.append(Route(method, route.path, requirement.permission, example_of(operation), query))
    return found


def flat(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """The routes of an application and of the routers in it."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from flat(route.original_router.routes)
        else:
            assert route.path == OPENAPI_PATH, f"{route!r}: a route of a kind that this file does not know"


def example_of(operation: Mapping[str, Any]) -> Any:
    """The first body that the document gives as an example; None where it has no body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = [each["value"] for each in content.get("examples", {}).values()]
    return next(iter(examples), content.get("example"))


def is_text(schema: Mapping[str, Any]) -> bool:
    """Whether a parameter takes what a caller likes, as an id or a cursor."""
    kinds = schema.get("anyOf", [schema])
    return any(each.get("type") == "string" and "enum" not in each and "format" not in each for each in kinds)


@dataclass
class Tried:
    """What came of it."""

    calls: int = 0
    routes: set[tuple[str, str]] = field(default_factory=set)
    leaks: list[str] = field(default_factory=list)


class Matrix:
    """Tries routes as callers of one tenant with what belongs to the other."""

    def __init__(self, client: httpx2.AsyncClient, theirs: Mapping[str, str]) -> None:
        self._client = client
        self._theirs = theirs
        self.tried = Tried()

    async def answer(self, method: str, path: str, role: str, tenant: str = TENANT, **more: Any) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers; of a stream what comes in a moment."""
        headers = {**bearer(role, tenant), **more.pop("headers", {})}
        async with self._client.stream(method, path, headers=headers, **more) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                return response.status_code, (await response.aread()).decode(), response.headers
            text = ""
            try:
                async with asyncio.timeout(STREAM_SECONDS):
                    async for piece in response.aiter_text():
                        text += piece
            except TimeoutError:
                pass
            return response.status_code, text, response.headers

    def path_of(self, route: Route) -> str:
        """The path with the other tenant's ids."""
        unknown = set(route.ids) - set(self._theirs)
        assert not unknown, f"{route.method} {route.path}: say in `world` which {unknown} of the other tenant is to be tried"
        return route.path.format(**self._theirs)

    async def one(self, route: Route, role: str, path: str, may: set[int], **more: Any) -> None:
        """One call; what the caller sent himself may come back to him, all else of the other tenant may not."""
        headers = more.pop("headers", AT_ONCE)
        status, text, answered = await self.answer(route.method, path, role, headers={**headers, "X-Tenant-ID": OTHER}, **more)
        self.tried.calls += 1
        self.tried.routes.add((route.method, route.path))
        sent = path + json.dumps(more)
        secrets = [MARK, ORDERED_BY, *(each for name, each in self._theirs.items() if len(each) > 10 and name not in MESH_IDS)]
        shown = [each for each in secrets if each in text + str(answered) and each not in sent]
        expected = may if permits(principal(role), route.permission) else {403}
        if shown or status not in expected:
            self.tried.leaks.append(f"{role}: {route.method} {path} {more}: {status}, not {expected}; shown: {shown}; {text[:300]}")

    async def one_thing(self, route: Route) -> None:
        """A route about one thing, with the other tenant's: there is no such thing; what is the mesh's is there for both."""
        sent = {} if route.body is None else {"json": route.body}
        there = {200, 202} if route.permission in MESH_WIDE else {404}
        for role in EVERY_ROLE:
            await self.one(route, role, self.path_of(route), there, **sent)
            await self.one(route, role, f"{self.path_of(route)}?tenant_id={OTHER}", there, headers={**PATIENT, "Tenant": OTHER}, **sent)

    async def a_list(self, route: Route) -> None:
        """A route that shows many: filtered by what the other tenant has, and from its cursors on."""
        _, text, headers = await self.answer("GET", f"{route.path}?limit=1", "admin", OTHER)
        cursor = headers.get("x-next-cursor") or (json.loads(text).get("next_cursor") if text.startswith("{") else None)
        values = {name: self._theirs.get(name, MARK) for name in route.query} | ({"cursor": cursor} if cursor else {})
        queries = [{}, {"tenant_id": OTHER}, *({name: value} for name, value in values.items())]
        for role in EVERY_ROLE:
            for query in queries:
                # A filter may have a form that what is not an id does not have.
                may = {200, 422} if query.keys() & route.query else {200}
                await self.one(route, role, route.path, may, params={**query, **FROM_THE_BEGINNING})

    async def a_command(self, route: Route) -> None:
        """A route that begins something, or marks many: the tenant is the token's, whatever the body says."""
        for role in EVERY_ROLE:
            if isinstance(route.body, dict):
                await self.one(route, role, route.path, {422}, json={**route.body, "tenant_id": OTHER})
            sent = {} if route.body is None else {"json": route.body}
            await self.one(route, role, f"{route.path}?tenant_id={OTHER}", {200, 201, 202, 422}, **sent)

    async def run(self, routes: Iterable[Route]) -> Tried:
        """Try them all."""
        for route in routes:
            if route.ids:
                await self.one_thing(route)
            elif route.method == "GET":
                await self.a_list(route)
            else:
                await self.a_command(route)
        return self.tried

    async def seen_by_nobody(self, routes: Iterable[Route]) -> dict[str, str]:
        """What a tenant that has nothing is shown, without what differs from call to call."""
        found = {}
        for route in routes:
            if route.method == "GET" and not route.ids and route.permission not in MESH_WIDE:
                _, text, headers = await self.answer("GET", route.path, "admin", EMPTY)
                if headers.get("content-type", "").startswith("text/event-stream"):
                    continue  # its ids tell how far the logs are, which is nobody's
                found[route.path] = _TIME.sub("TIME", text.replace("%3A", ":"))
        return found


# -- the two tenants --------------------------------------------------------------------------------------------------------------


def boom(*_: object) -> Any:
    raise RuntimeError("planted, so that there is a dead letter")


@pytest.fixture
async def matrix(mesh: Mesh, open_caller: OpenCaller) -> tuple[GatewayWorker, Matrix]:
    """A gateway over a whole mesh, in which the other tenant has one of everything."""
    planted: dict[type[Command], Any] = {DeleteRequest: boom}
    await mesh.start(mesh.planted(planted), mesh.relay())
    await mesh.start(*(build(mesh.settings, mesh.telemetry) for build in (build_agents, build_customers, build_tasks, build_tenants)))
    await mesh.start(*(mesh.projection(model) for model in read_models() if model.name in SHOWN))
    worker = await serve(mesh)
    caller = await open_caller(worker._own.url)
    nothing = await Matrix(caller.client, {}).seen_by_nobody(routes_of(worker))
    theirs = await world(mesh, Matrix(caller.client, {}))
    await caller.created()
    made = Matrix(caller.client, theirs)
    await its_owner_sees_it(made, routes_of(worker))
    assert await made.seen_by_nobody(routes_of(worker)) == nothing
    return worker, made


async def world(mesh: Mesh, matrix: Matrix) -> dict[str, str]:
    """One of everything of the other tenant, by the names of the ids in paths and queries."""
    about = {"tenant_id": OTHER}
    customer = "cust-of-the-other"
    await mesh.do_in("customers", "RegisterCustomer", customer, {**about, "customer_id": customer, "tier": "premium", "name": MARK})
    await mesh.do_in("tenants", "CreateTenant", OTHER, {**about, "name": MARK, "settings": {}})
    agent = {"agent_id": "agent-of-the-other", "name": MARK, "kind": "general", "capabilities": [{"name": "billing", "level": 3}]}
    await mesh.do_in("agents", "RegisterAgent", agent["agent_id"], {**about, **agent})  # type: ignore[arg-type]
    request = body(customer_id=customer, message=MARK, category="refund", metadata={"amount": "1500.00", "order_id": "ORD-1"})
    status, text, _ = await matrix.answer("POST", "/api/v1/requests", "admin", OTHER, headers=PATIENT, json=request)
    assert status == 201, text
    request_id = str(json.loads(text)["request_id"])
    triage = {"category": "refund", "priority": 2, "confidence": 0.9}
    for name, payload in (("TriageRequest", triage), ("StartResearch", {}), ("RequireApproval", {"findings": {"order": MARK}})):
        await mesh.do(name, request_id, {**about, **payload})
    task = {"task_id": "task-of-the-other", "task_type": "triage", "kind": "general", "subject_id": request_id, "input": {}}
    await mesh.do_in("tasks", "RequestTask", "task-of-the-other", {**about, **task})
    second = await matrix.answer("POST", "/api/v1/requests", "admin", OTHER, headers=PATIENT, json=request)
    gone = str(json.loads(second[1])["request_id"])
    await mesh.publish("DeleteRequest", gone, {**about, "request_id": gone, "reason": MARK})
    (letter,) = await mesh.letters(count=1)
    signed = bearer("admin", OTHER, name=ORDERED_BY)
    status, text, _ = await matrix.answer("POST", "/api/v1/projections/requests/rebuild", "admin", OTHER, headers=signed)
    assert status == 202, text
    return {
        "request_id": request_id,
        "subject_id": request_id,
        "aggregate_id": gone,
        "task_id": "task-of-the-other",
        "agent_id": agent["agent_id"],  # type: ignore[dict-item]
        "customer_id": customer,
        "tenant_id": OTHER,
        "context": "requests",
        "position": str(letter.position),
        "name": "requests",
        "order_id": str(json.loads(text)["order_id"]),
    }


async def its_owner_sees_it(matrix: Matrix, routes: Iterable[Route]) -> None:
    """What the matrix asks for is there: its own tenant is shown every single thing."""
    for route in routes:
        if route.method == "GET" and route.ids:

            async def shown(path: str = matrix.path_of(route)) -> bool:
                return (await matrix.answer("GET", path, "admin", OTHER))[0] == 200

            await wait_for(shown, 10, f"{route.path} for its own tenant")


async def everything_of_the_other(mesh: Mesh) -> dict[str, Any]:
    """All that is recorded and shown of the other tenant."""
    found: dict[str, Any] = {}
    for context in CONTEXTS:
        events, _ = await mesh.store_of(context).read_events(0, 10_000)
        found[context] = [(each.position, each.metadata.message_id) for each in events if each.metadata.tenant_id == OTHER]
        found[f"{context}.dead_letters"] = await mesh.store_of(context).dead_letters(limit=100)
    for model in read_models():
        for table in model.tables:
            name = f"{model.schema}.{table.name}"
            rows = await mesh.rows(f"SELECT t::text FROM {name} t WHERE tenant_id = %(tenant)s ORDER BY 1", tenant=OTHER)
            found[name] = [row[0] for row in rows]
    return found


async def test_no_route_shows_or_changes_anything_of_another_tenant(
    mesh: Mesh, matrix: tuple[GatewayWorker, Matrix], capsys: pytest.CaptureFixture[str]
) -> None:
    worker, made = matrix
    routes = routes_of(worker)
    before = await everything_of_the_other(mesh)
    assert all(before[f"read_{model}.{model}"] for model in SHOWN if model not in ("analytics", "timeline")), "nothing to be shown"
    assert len(before["requests.dead_letters"]) == 1
    tried = await made.run(routes)
    await asyncio.sleep(0.5)
    assert await everything_of_the_other(mesh) == before
    with capsys.disabled():
        print(f"\ntenants: {len(tried.routes)} routes x {len(EVERY_ROLE)} roles x 2 tenants, {tried.calls} calls, leaks {len(tried.leaks)}")
    assert tried.leaks == []
    assert len(routes) > 2 * len(ROUTES)
    assert tried.routes == {(route.method, route.path) for route in routes}


async def test_the_matrix_finds_a_leak_that_was_planted(
    mesh: Mesh, matrix: tuple[GatewayWorker, Matrix], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads that no policy holds, and queries that forgot the tenant."""
    worker, made = matrix
    page = Listing.page

    async def find_anywhere(self: Listing, port: Any, tenant_id: str, id_: str) -> Any:
        rows = await port.fetch(f"SELECT {self.columns} FROM {self.table} WHERE {self.id} = %(id)s".encode(), {"id": id_})
        return rows[0] if rows else None

    async def page_of_all(self: Listing, port: Any, tenant_id: str | None, wanted: Slice, *more: str, **equal: object) -> Any:
        return await page(self, port, None, wanted, *more, **equal)

    monkeypatch.setattr(PostgresTenantReads, "of", lambda self, tenant_id: mesh.database)
    monkeypatch.setattr(Listing, "find", find_anywhere)
    monkeypatch.setattr(Listing, "page", page_of_all)
    paths = ("/api/v1/requests", "/api/v1/requests/{request_id}", "/api/v1/tasks/{task_id}")
    planted = [route for route in routes_of(worker) if route.method == "GET" and route.path in paths]
    leaks = (await made.run(planted)).leaks
    for path in paths:
        assert any(f"GET {made.path_of(route)}" in leak for leak in leaks for route in planted if route.path == path), path
    assert OWN not in made._theirs.values()
