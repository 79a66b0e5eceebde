"""The scheduler on real servers: approvals are reminded, escalated and expired, and open requests are looked at again when their customer's
tier changes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from contracts.message import Command
from contracts.requests.commands import RequireApproval
from infra.event_store.base import OutcomeKind
from infra.runtime.base import Decide, DecisionContext
from infra.settings import MeshSettings
from projections.deadlines.projection import DEADLINES
from projections.request_reference.projection import REQUEST_REFERENCE
from projections.reviews.projection import REVIEWS
from services.customers.worker import build as build_customers
from services.requests.handlers import DECISIONS
from services.requests.reference_data import reference_data
from services.scheduler.worker import build as build_scheduler
from tests.mesh import TENANT, Mesh, create, header, new_id, wait_for

pytestmark = pytest.mark.integration

# The shortest time limit that a tenant can set is an hour, so the past is where a test finds one that is over.
HOURS_AGO = {"waits": 0, "reminded": 37, "escalated": 55, "expired": 73}


def long_ago() -> Mapping[type[Command], Decide]:
    """The product's decision, taken as many hours ago as the findings say."""

    def require(request: Any, command: RequireApproval, context: DecisionContext) -> Any:
        before = context.now - timedelta(hours=int(command.findings["hours_ago"]))
        return DECISIONS[RequireApproval](request, command, context._replace(now=before))

    return {RequireApproval: require}


async def researched(mesh: Mesh, customer: str, *, hours_ago: int | None = None, **terms: Any) -> str:
    """A request of which the research is done, and where `hours_ago` says so, an approval was asked for then."""
    request_id = new_id()
    await mesh.do("CreateRequest", request_id, create(request_id, customer_id=customer))
    triage = {"category": "billing", "priority": 2, "confidence": 0.9, **terms}
    assert (await mesh.do("TriageRequest", request_id, triage)).kind is OutcomeKind.EVENTS
    if hours_ago is not None:
        await mesh.do("StartResearch", request_id, {})
        asked = await mesh.do("RequireApproval", request_id, {"findings": {"hours_ago": hours_ago}})
        assert asked.kind is OutcomeKind.EVENTS, asked
    return request_id


async def ends_with(mesh: Mesh, request_id: str, *names: str) -> None:
    async def look() -> bool:
        return (await mesh.stream(request_id))[-len(names) :] == list(names)

    await wait_for(look, 20, f"{names} of {request_id}")


def customer_id() -> str:
    return f"cust-{uuid.uuid4()}"


async def test_an_approval_that_nobody_decides_is_reminded_escalated_and_expired(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.planted(long_ago()), mesh.relay(), mesh.projection(DEADLINES))
        requests = {name: await researched(mesh, customer_id(), hours_ago=hours, category="refund") for name, hours in HOURS_AGO.items()}
        await mesh.start(build_scheduler(mesh.settings, mesh.telemetry))
        await ends_with(mesh, requests["reminded"], "ApprovalRequested", "ApprovalReminded")
        for moment in ("ApprovalReminded", "ApprovalEscalated"):

            async def has_come(moment: str = moment) -> bool:
                return moment in await mesh.stream(requests["escalated"])

            await wait_for(has_come, 20, moment)
        await ends_with(mesh, requests["expired"], "ApprovalExpired", "RequestRejected")
        assert (await mesh.stream(requests["waits"]))[-1] == "ApprovalRequested"
        rejected = (await mesh.store.read_stream(requests["expired"]))[-1].event()
        assert (rejected.reason, rejected.rejected_by) == ("approval_expired", None)  # type: ignore[attr-defined]

        async def closed() -> bool:
            rows = await mesh.rows("SELECT stream_id, name FROM read_deadlines.deadlines WHERE status = 'open'")
            return {(stream_id, name) for stream_id, name in rows} == {
                *((requests["waits"], f"approval-{name}") for name in ("reminder", "escalation", "expiry")),
                *((requests["reminded"], f"approval-{name}") for name in ("escalation", "expiry")),
                (requests["escalated"], "approval-expiry"),
            }

        await wait_for(closed, 20, "what has come closed, and nothing else")
        sent = {
            (record.key, header(record, "ce_type"), header(record, "ce_id"))
            for record in await mesh.records("agentmesh.requests.commands.v1")
            if dict(record.headers).get("ce_source") == b"/agentmesh/scheduler"
        }
        assert len(sent) == len({(key, name) for key, name, _ in sent}) == 6, "however often it was published, each has one id"


async def test_open_requests_are_looked_at_again_when_their_customers_tier_changes(
    mesh_settings: MeshSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTMESH_SCHEDULER_REVIEW_SECONDS", "0.2")
    async with Mesh(mesh_settings) as mesh:
        worker = mesh.planted({}, reference=reference_data(tenants_must_exist=False))
        await mesh.start(worker, build_customers(mesh.settings, mesh.telemetry), mesh.relay())
        await mesh.start(*(mesh.projection(model) for model in (REQUEST_REFERENCE, REVIEWS)), mesh.projection())
        await mesh.start(build_scheduler(mesh.settings, mesh.telemetry))
        ann, bob = customer_id(), customer_id()
        # Decided while the customer was unknown: the tier comes after triage.
        of_ann, of_bob, over = [await researched(mesh, customer) for customer in (ann, bob, ann)]
        await mesh.do("DeleteRequest", over, {})
        pending = new_id()
        await mesh.do("CreateRequest", pending, create(pending, customer_id=ann))
        await mesh.do_in("customers", "RegisterCustomer", ann, {"customer_id": ann, "tier": "enterprise"})
        await mesh.do_in("customers", "RegisterCustomer", bob, {"customer_id": bob, "tier": "standard"})
        await ends_with(mesh, of_ann, "RequestReviewed", "RequestEscalated")
        await mesh.do_in("customers", "ChangeCustomerTier", ann, {"customer_id": ann, "tier": "free"})
        await ends_with(mesh, of_ann, "RequestEscalated", "RequestReviewed")

        tiers = [event.event().customer_tier for event in await mesh.store.read_stream(of_ann) if "Reviewed" in event.metadata.type_name]  # type: ignore[attr-defined]
        assert [tier.value for tier in tiers] == ["enterprise", "free"]
        assert (await mesh.stream(of_bob))[-1] == "RequestTriaged"
        assert (await mesh.stream(over))[-1] == "RequestDeleted"
        assert await mesh.stream(pending) == ["RequestCreated"]

        async def decided_on_what_is_known() -> bool:
            rows = await mesh.rows("SELECT request_id, customer_tier, status FROM read_reviews.reviews")
            return {tuple(row) for row in rows} == {
                (of_ann, "free", "open"), (of_bob, "standard", "open"), (over, "standard", "closed"),
            }  # fmt: skip

        await wait_for(decided_on_what_is_known, 20, "the tiers that were decided on")
        assert {row[0] for row in await mesh.rows("SELECT tenant_id FROM read_reviews.reviews")} == {TENANT}
