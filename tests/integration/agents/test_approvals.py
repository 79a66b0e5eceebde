"""Requests that need a person and one that needs none, through the whole fleet on real servers: every worker of it in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from contracts.envelope import RecordedEvent
from contracts.requests.events import ApprovalRequested, RequestApproved, RequestEscalated
from contracts.requests.values import ApprovalReason, EscalationReason
from contracts.tasks.events import TaskQueued
from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from projections.request_reference.projection import REQUEST_REFERENCE
from services.customers.worker import build as build_customers
from tests.integration.agents.test_workflow import COMPLETED_ALONE, start_workflow
from tests.mesh import Mesh, create, new_id, wait_for

pytestmark = pytest.mark.integration

REFUND: dict[str, Any] = {"message": "Please refund my order, I want my money back.", "category": None}
PASSWORD: dict[str, Any] = {"message": "I forgot my password and cannot log in.", "category": None}
INVOICE = {"message": "My invoice of May is wrong, you charged me twice."}
VIP = "cust-vip"


def by(actor: str) -> Mapping[str, bytes]:
    """The headers of a command that a person sends."""
    return {"ce_authtype": b"user", "ce_authid": actor.encode()}


async def opened(mesh: Mesh, **fields: Any) -> str:
    request_id = new_id()
    await mesh.publish("CreateRequest", request_id, create(request_id, **fields), headers=by("ada"))
    return request_id


async def comes_to(mesh: Mesh, request_id: str, status: str) -> list[RecordedEvent]:
    """Wait for the status in the read model; the request's events then."""

    async def look() -> bool:
        found = await mesh.rows("SELECT status FROM read_requests.requests WHERE request_id = %(id)s", id=request_id)
        return [each[0] for each in found] == [status]

    await wait_for(look, 40, f"{request_id} {status}")
    return list(await mesh.store.read_stream(request_id))


async def start_with_reference(mesh: Mesh) -> None:
    """The fleet, and an enterprise customer that decisions know."""
    await start_workflow(mesh)
    await mesh.start(build_customers(mesh.settings, mesh.telemetry), mesh.projection(REQUEST_REFERENCE))
    await mesh.do_in("customers", "RegisterCustomer", VIP, {"customer_id": VIP, "tier": "enterprise"})

    async def known() -> bool:
        return bool(await mesh.rows("SELECT 1 FROM read_request_reference.customers WHERE customer_id = %(id)s", id=VIP))

    await wait_for(known, what="the customer's tier where decisions read it")


async def test_the_scenarios_of_approval_and_escalation(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await start_with_reference(mesh)
        password = await opened(mesh, **PASSWORD)
        refund = await opened(mesh, **REFUND, metadata={"amount": "99.99", "order_id": "A-1"})
        urgent = await opened(mesh, **INVOICE, priority=3, metadata={"amount": "1500.00"})
        enterprise = await opened(mesh, **PASSWORD, customer_id=VIP)

        await comes_to(mesh, password, "completed")
        assert await mesh.stream(password) == COMPLETED_ALONE

        waiting = (await comes_to(mesh, refund, "awaiting_approval"))[-1].event()
        assert isinstance(waiting, ApprovalRequested)
        assert waiting.reasons == (ApprovalReason.REFUND,)
        assert waiting.findings["search_terms"], "the research is there to be read"

        assert escalated(await comes_to(mesh, urgent, "awaiting_approval")) == (EscalationReason.HIGH_PRIORITY_NEEDS_APPROVAL,)
        assert escalated(await comes_to(mesh, enterprise, "awaiting_approval")) == (EscalationReason.VIP_CUSTOMER,)

        await approve(mesh, refund)
        await comes_to(mesh, refund, "completed")
        assert (await mesh.stream(refund))[-3:] == ["ApprovalRequested", "RequestApproved", "RequestCompleted"]
        assert (await resolution_of(mesh, refund)).input["refund"] == {"amount": "99.99", "currency": "USD"}

        assert (await mesh.do("RejectRequest", urgent, {"reason": "charged once"}, headers=by("grace"))).kind is OutcomeKind.EVENTS
        await comes_to(mesh, urgent, "rejected")
        assert (await mesh.do("CompleteRequest", enterprise, {"resolution": "done"})).code == "BUSINESS_RULE_VIOLATION"
        await comes_to(mesh, enterprise, "awaiting_approval")


async def approve(mesh: Mesh, request_id: str) -> None:
    """Nobody cannot, a person can, and again changes nothing; another person is told that it is too late."""
    assert (await mesh.do("ApproveRequest", request_id, {})).code == "ACTOR_REQUIRED"
    assert (
        await mesh.do("ApproveRequest", request_id, {"reason": "the customer is right"}, headers=by("grace"))
    ).kind is OutcomeKind.EVENTS
    assert (await mesh.do("ApproveRequest", request_id, {}, headers=by("grace"))).kind is OutcomeKind.UNCHANGED
    assert (await mesh.do("ApproveRequest", request_id, {}, headers=by("linus"))).code == "BUSINESS_RULE_VIOLATION"


def escalated(events: list[RecordedEvent]) -> tuple[EscalationReason, ...]:
    (found,) = [event for event in (each.event() for each in events) if isinstance(event, RequestEscalated)]
    return found.reasons


async def resolution_of(mesh: Mesh, request_id: str) -> TaskQueued:
    """The task whose result answers the approved request."""
    (approved,) = [
        event for event in (each.event() for each in await mesh.store.read_stream(request_id)) if isinstance(event, RequestApproved)
    ]
    queued = (await mesh.store_of("tasks").read_stream(approved.task_id))[0].event()
    assert isinstance(queued, TaskQueued)
    return queued
