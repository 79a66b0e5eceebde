"""What decisions on requests know of customers and tenants, on real servers: told before, it is used; unknown, it is the default."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Hashable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.money import Money
from contracts.requests.commands import TriageRequest
from infra.errors import TransientError
from infra.event_store.base import OutcomeKind
from infra.postgres.base import QueryPort
from infra.read_models.rebuild import Rebuild
from infra.runtime.base import DecisionContext
from infra.settings import MeshSettings
from projections.request_reference.projection import REQUEST_REFERENCE
from services.customers.worker import build as build_customers
from services.requests.domain import Request
from services.requests.handlers import triage_request
from services.requests.reference import NOTHING_KNOWN, RequestReference
from services.requests.reference_data import reference_data
from services.requests.worker import build as build_requests
from services.tenants.worker import build as build_tenants
from tests.mesh import TENANT, Mesh, command_record, create, new_id, wait_for

pytestmark = pytest.mark.integration

TRIAGE = {"category": "billing", "priority": 2, "confidence": 0.9}
OTHER = "other-tenant"


class Seen:
    """What decisions were given and what was asked for, query by query; the first `failures` queries find no database."""

    def __init__(self, failures: int = 0, *, tenants_must_exist: bool = False) -> None:
        self.references: dict[str, RequestReference] = {}
        self.queries: list[set[Hashable]] = []
        self._failures = failures
        self._read = reference_data(tenants_must_exist=tenants_must_exist).read
        self.declared = replace(reference_data(tenants_must_exist=tenants_must_exist), read=self.read)

    async def read(self, database: QueryPort, keys: Collection[Hashable]) -> Mapping[Hashable, Any]:
        self.queries.append(set(keys))
        if self._failures:
            self._failures -= 1
            raise TransientError("the database is away")
        return await self._read(database, keys)

    def triage(self, request: Request | None, command: TriageRequest, context: DecisionContext) -> Any:
        """The product's decision, after noting what it was given."""
        self.references[command.request_id] = context.reference
        return triage_request(request, command, context)


def customer_id() -> str:
    return f"cust-{uuid.uuid4()}"


async def start(mesh: Mesh, seen: Seen) -> None:
    """All that is needed beside the requests worker, whose decisions are watched."""
    await mesh.start(build_customers(mesh.settings, mesh.telemetry), build_tenants(mesh.settings, mesh.telemetry), mesh.relay())
    await mesh.start(mesh.projection(REQUEST_REFERENCE), mesh.planted({TriageRequest: seen.triage}, reference=seen.declared))


async def known_at(mesh: Mesh, table: str, key: str, version: int) -> None:
    """Wait until the local table shows a version of a customer or tenant."""

    async def look() -> bool:
        rows = await mesh.rows(f"SELECT version FROM read_request_reference.{table}s WHERE {table}_id = %(key)s", key=key)
        return bool(rows) and rows[0][0] >= version

    await wait_for(look, 20, f"version {version} of {table} {key}")


async def triaged(mesh: Mesh, seen: Seen, customer: str, tenant: str = TENANT) -> RequestReference:
    """What the triage of a new request of this customer was given."""
    request_id = new_id()
    await mesh.do("CreateRequest", request_id, create(request_id, customer_id=customer, tenant_id=tenant))
    assert (await mesh.do("TriageRequest", request_id, {**TRIAGE, "tenant_id": tenant})).kind is OutcomeKind.EVENTS
    return seen.references[request_id]


async def test_tier_and_settings_that_were_told_before_are_used_and_unknown_ones_are_the_defaults(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        seen = Seen()
        await start(mesh, seen)
        vip = customer_id()
        assert await triaged(mesh, seen, vip) == NOTHING_KNOWN
        await mesh.do_in("customers", "RegisterCustomer", vip, {"customer_id": vip, "tier": "premium"})
        await mesh.do_in("customers", "ChangeCustomerTier", vip, {"customer_id": vip, "tier": "enterprise"})
        threshold = {"amount": "250.00", "currency": "EUR"}
        settings = {"approval_threshold": threshold, "four_eyes": True, "approvers": ["ada", "grace"]}
        await mesh.do_in("tenants", "CreateTenant", TENANT, {"name": "Acme", "settings": settings})
        await mesh.do_in("tenants", "ChangeTenantSettings", TENANT, {"approval_time_limit_hours": 24})
        await known_at(mesh, "customer", vip, 2)
        await known_at(mesh, "tenant", TENANT, 2)

        found = await triaged(mesh, seen, vip)
        assert (found.customer_tier, found.tenant_known) == (CustomerTier.ENTERPRISE, True)
        assert found.tenant_settings.approval_threshold == Money("250.00", "EUR")
        assert found.tenant_settings.approval_time_limit_hours == 24
        assert (found.tenant_settings.four_eyes, found.tenant_settings.approvers) == (True, ("ada", "grace"))
        assert (await triaged(mesh, seen, customer_id())).customer_tier is CustomerTier.STANDARD
        # Another tenant that names the customer does not learn of it.
        assert await triaged(mesh, seen, vip, OTHER) == NOTHING_KNOWN

        stores = {context: mesh.store_of(context) for context in REQUEST_REFERENCE.contexts}
        report = await Rebuild(mesh.database, REQUEST_REFERENCE, stores, mesh.settings.partitions, mesh.settings.topic_prefix).run(
            lambda done, of: None
        )
        assert (report.compared, report.rows) == (True, 2)
        assert await triaged(mesh, seen, vip) == found


async def test_a_batch_asks_once_and_waits_for_a_database_that_is_away(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings, partitions=1) as mesh:
        seen = Seen(failures=1)
        requests = [new_id() for _ in range(40)]
        await mesh.publish_many([command_record("CreateRequest", each, create(each, customer_id=customer_id())) for each in requests])
        worker = mesh.planted({TriageRequest: seen.triage}, reference=seen.declared)
        await mesh.start(worker)
        await mesh.all_committed(40)
        assert seen.queries == []
        await mesh.stop(worker)
        payloads = [{"tenant_id": TENANT, "request_id": each, **TRIAGE} for each in requests]
        await mesh.publish_many(
            [command_record("TriageRequest", each, body, command_id="t") for each, body in zip(requests, payloads, strict=True)]
        )
        before = mesh.metric("batch_records_count", group=mesh.settings.topic_prefix + "agentmesh.requests")
        await mesh.start(mesh.planted({TriageRequest: seen.triage}, reference=seen.declared))
        for each in requests:
            assert (await mesh.outcome(each, "t")).kind is OutcomeKind.EVENTS
        await mesh.all_committed(80)
        batches = mesh.metric("batch_records_count", group=mesh.settings.topic_prefix + "agentmesh.requests") - before
        assert len(seen.queries) == batches + 1, "one query a batch, and one that found no database"
        assert mesh.metric("retries_total", name="reference") == 1
        assert len(set().union(*seen.queries)) == 40


async def test_where_tenants_must_exist_a_request_of_an_unknown_one_is_refused(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMESH_REQUESTS_TENANTS_MUST_EXIST", "true")
    async with Mesh(mesh_settings) as mesh:
        # The worker as `agentmesh run requests` builds it: it keeps what it needs to know by itself.
        await mesh.start(build_requests(mesh.settings, mesh.telemetry), build_tenants(mesh.settings, mesh.telemetry), mesh.relay())
        request_id = new_id()
        refused = await mesh.do("CreateRequest", request_id, create(request_id), command_id="early")
        assert (refused.kind, refused.code) == (OutcomeKind.REJECTED, "RESOURCE_NOT_FOUND")
        await mesh.do_in("tenants", "CreateTenant", TENANT, {"name": "Acme"})
        await known_at(mesh, "tenant", TENANT, 1)
        assert (await mesh.do("CreateRequest", request_id, create(request_id))).kind is OutcomeKind.EVENTS
        assert (await mesh.do("CreateRequest", new := new_id(), create(new, tenant_id=OTHER))).code == "RESOURCE_NOT_FOUND"
