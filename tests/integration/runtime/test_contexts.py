"""Every context is the same runtime with its own parts list: one command of each comes to its outcome, its events and its refusals."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from contracts.topics import events_topic, rejections_topic
from infra.event_store.base import OutcomeKind
from infra.settings import MeshSettings
from services.agents.worker import build as build_agents
from services.customers.worker import build as build_customers
from services.tasks.worker import build as build_tasks
from services.tenants.worker import build as build_tenants
from tests.mesh import TENANT, Mesh, header

pytestmark = pytest.mark.integration


class Case(NamedTuple):
    """A context, a command that opens one of its aggregates, what is recorded, and the same command with other contents."""

    context: str
    build: Callable[..., Any]
    command: str
    id_field: str
    payload: dict[str, Any]
    event: str
    other: dict[str, Any]


CASES = [
    Case(
        "tasks",
        build_tasks,
        "RequestTask",
        "task_id",
        {"task_type": "triage", "kind": "triage", "subject_id": "req-1", "input": {"message": "where is my order"}},
        "TaskQueued",
        {"subject_id": "req-2"},
    ),
    Case(
        "agents",
        build_agents,
        "RegisterAgent",
        "agent_id",
        {"name": "Triage", "kind": "triage", "capabilities": [{"name": "triage", "level": 3}], "limit": 4},
        "AgentCreated",
        {"limit": 5},
    ),
    Case("customers", build_customers, "RegisterCustomer", "customer_id", {"name": "Ann"}, "CustomerRegistered", {"name": "Bob"}),
    Case("tenants", build_tenants, "CreateTenant", "tenant_id", {"name": "Acme"}, "TenantCreated", {"name": "Other"}),
]


@pytest.mark.parametrize("case", CASES, ids=[case.context for case in CASES])
async def test_a_command_comes_to_its_outcome_and_is_published(mesh_settings: MeshSettings, case: Case) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(case.build(mesh.settings, mesh.telemetry), mesh.relay())
        aggregate_id = f"cust-{uuid.uuid4()}" if case.context == "customers" else str(uuid.uuid4())
        payload = {"tenant_id": TENANT, case.id_field: aggregate_id, **case.payload}

        opened = await mesh.do_in(case.context, case.command, aggregate_id, payload, command_id="c1")
        again = await mesh.do_in(case.context, case.command, aggregate_id, payload, command_id="c2")
        other = await mesh.do_in(case.context, case.command, aggregate_id, {**payload, **case.other}, command_id="c3")
        broken = await mesh.do_in(case.context, case.command, aggregate_id, {**payload, "colour": "red"}, command_id="c4")
        assert [(outcome.kind, outcome.version) for outcome in (opened, again)] == [(OutcomeKind.EVENTS, 1), (OutcomeKind.UNCHANGED, 1)]
        assert (other.kind, other.code) == (OutcomeKind.REJECTED, "BUSINESS_RULE_VIOLATION")
        assert (broken.kind, broken.code) == (OutcomeKind.REJECTED, "VALIDATION_ERROR")

        (event,) = await mesh.records(events_topic(case.context), count=1)
        assert (event.key, header(event, "ce_type")) == (aggregate_id.encode(), f"agentmesh.{case.context}.{case.event}.v1")
        assert header(event, "ce_causationid") == "c1"
        refusals = await mesh.records(rejections_topic(case.context), count=2)
        assert {header(refusal, "ce_causationid") for refusal in refusals} == {"c3", "c4"}
