"""Who may call what: 401 for who is not known, 403 that names the permission, a start refused for a route without one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import APIRouter, Depends, Request, Response

from infra.errors import ConfigurationError
from infra.identity.base import Permission, Principal
from infra.identity.permissions import permits
from infra.telemetry.context import bind
from services.gateway.access import check_routes, requirement_of
from services.gateway.app import build_app
from tests.unit.services.gateway.arena import CREATE, ISSUER, OTHERS, OWN, TENANT, Arena, bearer, principal, view

ROLES = ("admin", "manager", "agent", "customer")
# method, path, permission: written down a second time, against the routes' own table
ROUTES = (
    ("POST", "/api/v1/requests", "request:create"),
    ("GET", "/api/v1/requests", "request:read"),
    ("GET", "/api/v1/requests/{request_id}", "request:read"),
    ("PATCH", "/api/v1/requests/{request_id}", "request:update"),
    ("DELETE", "/api/v1/requests/{request_id}", "request:delete"),
    ("POST", "/api/v1/requests/{request_id}/approve", "request:approve"),
    ("GET", "/api/v1/requests/{request_id}/history", "request:read"),
)
AGENT_LIST = (("POST", "agent:create"), ("GET", "agent:read"))
ONE_AGENT = (
    ("GET", "", "agent:read"),
    ("DELETE", "", "agent:terminate"),
    ("POST", "/suspend", "agent:manage"),
    ("POST", "/resume", "agent:manage"),
    ("POST", "/drain", "agent:manage"),
    ("PUT", "/capabilities", "agent:manage"),
)
OTHER_ROUTES = (
    ("GET", "/api/v1/requests/{request_id}/decisions", "request:read"),
    ("GET", "/api/v1/requests/{request_id}/timeline", "task:read"),
    ("GET", "/api/v1/approvals", "request:approve"),
    ("GET", "/api/v1/approvals/{request_id}", "request:approve"),
    ("POST", "/api/v1/approvals/{request_id}/delegate", "request:approve"),
    ("POST", "/api/v1/approvals/{request_id}/question", "request:approve"),
    ("POST", "/api/v1/approvals/{request_id}/answer", "request:update"),
    ("GET", "/api/v1/tasks", "task:read"),
    ("GET", "/api/v1/tasks/{task_id}", "task:read"),
    ("POST", "/api/v1/tasks/{task_id}/cancel", "task:cancel"),
    *((method, path, permission) for path in ("/api/v1/agents/", "/api/v1/agents", "/api/v2/agents") for method, permission in AGENT_LIST),
    *((method, f"/api/v{version}/agents/{{agent_id}}{more}", permission) for version in (1, 2) for method, more, permission in ONE_AGENT),
    ("GET", "/api/v1/analytics", "analytics:view"),
    ("GET", "/api/v1/dead-letters", "dlq:read"),
    ("GET", "/api/v1/dead-letters/{context}/{position}", "dlq:read"),
    ("POST", "/api/v1/dead-letters/requeue", "dlq:requeue"),
    ("POST", "/api/v1/dead-letters/{context}/{position}/requeue", "dlq:requeue"),
    ("POST", "/api/v1/dead-letters/{context}/{position}/discard", "dlq:discard"),
    ("GET", "/api/v1/projections", "projection:read"),
    ("POST", "/api/v1/projections/{name}/rebuild", "projection:rebuild"),
    ("GET", "/api/v1/projections/{name}/rebuilds/{order_id}", "projection:read"),
    ("GET", "/api/v1/customers", "customer:read"),
    ("POST", "/api/v1/customers", "customer:write"),
    ("GET", "/api/v1/customers/{customer_id}", "customer:read"),
    ("PUT", "/api/v1/customers/{customer_id}/tier", "customer:write"),
    ("PUT", "/api/v1/customers/{customer_id}/contact", "customer:write"),
    ("GET", "/api/v1/tenants", "tenant:read"),
    ("POST", "/api/v1/tenants", "tenant:write"),
    ("GET", "/api/v1/tenants/{tenant_id}", "tenant:read"),
    ("PATCH", "/api/v1/tenants/{tenant_id}", "tenant:write"),
)
BODIES = {"request:create": CREATE, "request:update": {"priority": 3}, "request:approve": {"approved": True}}


def asked(permission: str) -> dict[str, object]:
    return {"json": BODIES[permission]} if permission in BODIES else {}


def test_each_route_asks_for_the_permission_of_the_requirements() -> None:
    routes = [route for router in Arena().routers for route in router.routes]
    found = {(next(iter(route.methods)), route.path, requirement_of(route).permission.value) for route in routes}  # type: ignore[union-attr, attr-defined]
    assert found == {*ROUTES, *OTHER_ROUTES}


@pytest.mark.parametrize(("method", "path", "permission"), OTHER_ROUTES)
@pytest.mark.parametrize("role", [*ROLES, "root"])
async def test_a_role_without_the_permission_reads_and_publishes_nothing(role: str, method: str, path: str, permission: str) -> None:
    if permits(principal(role), Permission(permission)):
        return
    arena = Arena()
    ids = {"request_id": "req-1", "task_id": "task-1", "agent_id": "agent-1", "customer_id": OWN, "tenant_id": TENANT}
    path = path.format(**ids, context="requests", position=1, name="requests", order_id="6f0d1a52-3c3b-4b9e-9d51-7e8f9a0b1c2d")
    answer = await arena.call(method, path, role=role, json={} if method != "GET" else None)
    assert (answer.status_code, answer.json()["error"]["details"]) == (403, {"required_permission": permission})
    assert arena.counts.refused == [permission]
    assert not arena.published.commands
    assert not arena.reads.asked


@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
@pytest.mark.parametrize("role", [*ROLES, "root"])
async def test_a_role_without_the_permission_is_refused_and_told_which_one(role: str, method: str, path: str, permission: str) -> None:
    arena = Arena()
    arena.reads.put(view())
    arena.settle(shows=view())
    answer = await arena.call(method, path.format(request_id="req-1"), role=role, **asked(permission))
    may = permits(principal(role), Permission(permission))
    assert (answer.status_code == 403) is not may
    if not may:
        assert answer.json()["error"] == {
            "error_type": "Forbidden",
            "message": f"The permission {permission} is required.",
            "code": "FORBIDDEN",
            "details": {"required_permission": permission},
        }
        assert not arena.published.commands
        assert not arena.reads.asked


@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        (None, "Missing bearer token"),
        ("", "Missing bearer token"),
        ("Bearer", "Missing bearer token"),
        ("Bearer ", "Missing bearer token"),
        ("Basic dXNlcjpwYXNz", "Missing bearer token"),
        ("Bearer garbage", "Invalid token"),
        ("Bearer a.b.c", "Invalid token"),
        ("Bearer " + ISSUER.issue(principal(), datetime.now(UTC) - timedelta(days=1)), "Token has expired"),
    ],
)
async def test_who_is_not_known_gets_401(method: str, path: str, permission: str, authorization: str | None, said: str) -> None:
    arena = Arena()
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await arena.call(method, path.format(request_id="req-1"), role=None, headers=headers, **asked(permission))
    assert answer.status_code == 401
    assert answer.json()["error"] == {"error_type": "Unauthorized", "message": said, "code": "UNAUTHORIZED", "details": {}}
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert not arena.published.commands
    assert not arena.reads.asked


async def test_who_is_not_known_is_not_told_what_else_is_wrong() -> None:
    answer = await Arena().call("GET", "/api/v1/requests?limit=0", role=None)
    assert answer.status_code == 401


async def test_a_token_is_taken_whatever_the_case_of_its_scheme() -> None:
    headers = {"Authorization": bearer()["Authorization"].replace("Bearer", "bEARER")}
    assert (await Arena().call("GET", "/api/v1/requests", role=None, headers=headers)).status_code == 200


async def test_a_token_in_the_query_is_no_token() -> None:
    token = bearer()["Authorization"].removeprefix("Bearer ")
    assert (await Arena().call("GET", f"/api/v1/requests?access_token={token}", role=None)).status_code == 401


async def test_a_token_without_a_role_is_a_customers() -> None:
    arena = Arena()
    arena.reads.put(view())
    arena.reads.put(view("req-2", customer_id=OTHERS))
    token = ISSUER.issue(Principal("user-1", TENANT, "customer", OWN), datetime.now(UTC))
    answer = await arena.call("GET", "/api/v1/requests", role=None, headers={"Authorization": f"Bearer {token}"})
    assert [each["request_id"] for each in answer.json()["items"]] == ["req-1"]


def test_a_route_without_a_permission_is_refused_at_the_start() -> None:
    async def open_door(request: Request) -> Response:
        return Response()

    arena, router = Arena(), APIRouter(prefix="/api/v1/things")
    router.add_api_route("", open_door, dependencies=[Depends(open_door)])
    with pytest.raises(ConfigurationError, match="'/api/v1/things' asks for no permission"):
        build_app([*arena.routers, router], arena.settings, arena.counts, bind)


def test_what_is_no_route_of_the_framework_is_refused_too() -> None:
    routes: Sequence[object] = [object()]
    with pytest.raises(ConfigurationError, match="asks for no permission"):
        check_routes(routes, ["/openapi.json"])
