"""Tenants and customers kept apart, in what `test_tenant_matrix.py` does not try: cursors, customers of one tenant, keys, queries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.routing import APIRoute

from infra.identity.base import Permission
from infra.identity.permissions import permits
from infra.postgres.base import QueryPort
from projections.listing import Listing, Slice
from services.gateway.access import requirement_of
from tests.integration.gateway.conftest import LIST, OTHERS, PATIENT, Caller, body
from tests.mesh import TENANT, Mesh
from tests.unit.services.gateway.arena import Arena, principal

pytestmark = pytest.mark.integration
ONE = f"{LIST}/{{request_id}}"
APPROVAL = "/api/v1/approvals/{request_id}"
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", ONE): {"priority": 4},
    ("POST", f"{ONE}/approve"): {"approved": True},
    ("POST", f"{APPROVAL}/delegate"): {"to": "ann"},
    ("POST", f"{APPROVAL}/question"): {"question": "Why?"},
    ("POST", f"{APPROVAL}/answer"): {"answer": "So."},
}


def routes() -> list[tuple[str, str, Permission]]:
    """Method, path and permission of every route of the API, from the route table itself."""
    found = []
    for route in (route for router in Arena().routers for route in router.routes):
        assert isinstance(route, APIRoute)
        requirement = requirement_of(route)
        assert requirement is not None
        found += [(method, route.path, requirement.permission) for method in sorted(route.methods)]
    return found


async def everything(mesh: Mesh) -> list[Any]:
    """All that is recorded: every event and every outcome."""
    events = await mesh.rows("SELECT originator_id::text, originator_version, notification_id FROM requests.stored_events ORDER BY 3")
    return [list(map(tuple, events)), list(map(tuple, await mesh.rows("SELECT count(*) FROM requests.inbox")))]


async def test_what_is_not_there_and_what_is_anothers_cannot_be_told_apart(call: Caller) -> None:
    """But for the id itself."""
    theirs = await call.created(tenant="other")
    told = [json.loads((await call("GET", f"{LIST}/{each}")).text.replace(each, "ID")) for each in (theirs, "req-of-nobody")]
    assert [{**each, "timestamp": ""} for each in told] == [{**told[0], "timestamp": ""}] * 2


async def test_a_cursor_of_another_tenant_leads_to_ones_own_rows_only(call: Caller) -> None:
    for _ in range(3):
        await call.created(tenant="other")
    mine = [await call.created() for _ in range(2)]
    cursor = (await call("GET", f"{LIST}?limit=1", tenant="other")).json()["next_cursor"]
    assert cursor
    listed = (await call("GET", f"{LIST}?cursor={cursor}")).json()["items"]
    assert {item["request_id"] for item in listed} <= set(mine)


async def test_a_customer_reaches_nothing_of_another_customer_of_its_own_tenant(mesh: Mesh, call: Caller) -> None:
    theirs, own = await call.created(customer_id=OTHERS), await call.created()
    before = await everything(mesh)
    for method, path, permission in routes():
        more = {"json": BODIES[method, path]} if (method, path) in BODIES else {}
        if "{request_id}" in path:
            answer = await call(method, path.format(request_id=theirs), "customer", **more)
            assert answer.status_code == (404 if permits(principal("customer"), permission) else 403)
    refused = await call("POST", LIST, "customer", json=body(customer_id=OTHERS))
    assert refused.status_code == 403
    listed = (await call("GET", LIST, "customer")).json()["items"]
    assert [item["request_id"] for item in listed] == [own]
    assert await everything(mesh) == before


async def test_the_same_key_of_two_tenants_makes_two_requests(mesh: Mesh, call: Caller) -> None:
    headers = {**PATIENT, "Idempotency-Key": "order-7"}
    ids = {(await call("POST", LIST, tenant=tenant, json=body(), headers=headers)).json()["request_id"] for tenant in (TENANT, "other")}
    assert len(ids) == 2
    assert [tuple(row) for row in await mesh.rows("SELECT tenant_id FROM read_requests.requests ORDER BY 1")] == [("other",), (TENANT,)]


async def test_a_query_of_the_gateway_that_forgot_its_tenant_shows_nothing_of_others(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the queries ask for every tenant's rows, and Postgres shows the caller's."""
    theirs, mine = await call.created(tenant="other"), await call.created()
    page = Listing.page

    async def page_of_all(self: Listing, port: QueryPort, tenant_id: str | None, wanted: Slice, *more: str, **equal: object) -> Any:
        return await page(self, port, None, wanted, *more, **equal)

    async def find_anywhere(self: Listing, port: QueryPort, tenant_id: str, id_: str) -> Any:
        rows = await port.fetch(f"SELECT {self.columns} FROM {self.table} WHERE {self.id} = %(id)s".encode(), {"id": id_})
        return rows[0] if rows else None

    monkeypatch.setattr(Listing, "page", page_of_all)
    monkeypatch.setattr(Listing, "find", find_anywhere)
    assert [item["request_id"] for item in (await call("GET", LIST)).json()["items"]] == [mine]
    assert (await call("GET", f"{LIST}/{theirs}")).status_code == 404
    assert (await call("GET", f"{LIST}/{mine}")).status_code == 200
    assert [item["request_id"] for item in (await call("GET", LIST, tenant="other")).json()["items"]] == [theirs]
