"""Models and payments through real agent hosts, Kafka and Postgres: servers of the tests play the endpoint and the payment service."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.ids import new_task_id
from contracts.tasks.commands import RequestTask
from contracts.tasks.events import TaskCompleted
from contracts.topics import commands_topic
from infra.agents.base import Agent
from infra.event_store.postgres import PostgresEventStore
from infra.runtime.agent_host import AgentHost
from infra.settings import MeshSettings
from services.agents.worker import build as build_agents
from services.dispatcher.worker import build as build_dispatcher
from services.requests.process_worker import build as build_process
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from services.tasks.worker import build as build_tasks
from tests.integration.agents.test_workflow import register
from tests.mesh import TENANT, Mesh, command_record, create, new_id, wait_for
from tests.model_endpoint import ModelEndpoint, Reply, failing, model_endpoint, structured
from tests.payment_server import PaymentServer, payment_server

pytestmark = pytest.mark.integration

ANSWERS = {
    "category": {"category": "billing", "priority": 3, "confidence": 0.9, "reason": "An invoice is disputed."},
    "search_terms": {"query": "wrong invoice", "search_terms": ["invoice"]},
    "sources": {"text": "We correct your invoice.", "confidence": 0.8, "sources": []},
}


def sensible(asked: dict[str, Any]) -> Reply:
    """The right answer to whichever of the three questions it is, told by the fields that are wanted."""
    wanted = str(asked["tools"])
    field = next(name for name in ("search_terms", "sources", "category") if f"'{name}'" in wanted)
    return structured(ANSWERS[field], (100, 10))(asked)


@pytest.fixture
def endpoint() -> Iterator[ModelEndpoint]:
    with model_endpoint() as server:
        server.then = sensible
        yield server


@pytest.fixture
def payments() -> Iterator[PaymentServer]:
    with payment_server() as server:
        yield server


async def start(mesh: Mesh, *agents: type[Agent]) -> None:
    await mesh.start_all()
    for build in (build_tasks, build_agents, build_process, build_dispatcher):
        await mesh.start(build(mesh.settings, mesh.telemetry))
    await mesh.start(*(AgentHost(agent(), mesh.settings, mesh.telemetry) for agent in agents))
    for agent in agents:
        await register(mesh, agent)


async def ask(mesh: Mesh, agent: type[Agent], subject: str, given: dict[str, Any]) -> str:
    """Order a task of this kind; answers its id."""
    task_id = new_task_id()
    payload = {
        "tenant_id": TENANT, "task_id": task_id, "task_type": agent.kind, "kind": agent.kind, "subject_id": subject, "input": given,
        "requirements": [{"name": agent.kind}],
    }  # fmt: skip
    key, value, headers = command_record(RequestTask.type_name, task_id, payload)
    await mesh.send(mesh.topic(commands_topic("tasks")), key, value, headers)
    return task_id


async def ended(mesh: Mesh, task_id: str) -> Any:
    """The TaskCompleted of a task."""
    store = PostgresEventStore(mesh.database, "tasks")

    async def completed() -> Any:
        events = [recorded.event() for recorded in await store.read_stream(task_id)]
        return next((event for event in events if type(event).__name__ == "TaskCompleted"), None)

    return await wait_for(completed, 60, f"the end of {task_id}")


async def test_a_request_is_carried_by_a_model_and_one_that_gets_nonsense_fails_with_a_reason(
    mesh_settings: MeshSettings, endpoint: ModelEndpoint
) -> None:
    settings = mesh_settings.model_copy(
        update={"model_url": endpoint.url, "model_name": "gpt-4o-mini", "model_key": SecretStr("sk-test"), "model_timeout_seconds": 5.0}
    )
    async with Mesh(settings) as mesh:
        await start(mesh, TriageAgent, ResearchAgent, ResolutionAgent)
        good = new_id()
        await mesh.publish("CreateRequest", good, create(good, message="My invoice of May is wrong", category=None))

        answer = await reached(mesh, good, "RequestCompleted")
        assert answer.resolution.startswith("We correct your invoice.")
        triaged = await reached(mesh, good, "RequestTriaged")
        assert (triaged.assigned_category.value, int(triaged.assigned_priority), triaged.confidence) == ("billing", 3, 0.9)
        assert endpoint.calls == 3  # a question a step, none asked twice
        assert set(endpoint.keys) == {"Bearer sk-test"}
        recorded, _ = await PostgresEventStore(mesh.database, "tasks").read_events(0, 100)
        used = [event.usage for each in recorded if isinstance(event := each.event(), TaskCompleted)]
        assert [(usage.model, usage.calls, usage.input_tokens) for usage in used if usage] == [("gpt-4o-mini", 1, 100)] * 3
        assert all(usage.cost > 0 and usage.prices for usage in used if usage)

        endpoint.then = structured({"weather": "fine"})
        bad = new_id()
        await mesh.publish("CreateRequest", bad, create(bad, message="Say something", category=None))
        failed = await reached(mesh, bad, "RequestFailed")
        assert "triage" in failed.reason
        assert endpoint.calls == 3 + 3 * 3  # three attempts of the task, each with two mends


async def reached(mesh: Mesh, request_id: str, name: str) -> Any:
    """The event of this name in a request's stream, once it is there."""

    async def look() -> Any:
        recorded = await mesh.store.read_stream(request_id)
        return next((each.event() for each in recorded if each.metadata.type_name.split(".")[2] == name), None)

    return await wait_for(look, 60, f"{name} of {request_id}")


def with_payments(settings: MeshSettings, server: PaymentServer) -> MeshSettings:
    return settings.model_copy(
        update={
            "payments_url": server.url,
            "payments_token": SecretStr("secret-token"),
            "payments_timeout_seconds": 5.0,
            "outage_patience_seconds": 0.0,
        }
    )


async def test_a_refund_is_paid_after_its_approval_and_only_once_though_the_answers_of_the_service_are_lost(
    mesh_settings: MeshSettings, payments: PaymentServer
) -> None:
    payments.failures = [payments.after_paying] * 3  # it pays, and one attempt hears nothing of it, however often it asks
    async with Mesh(with_payments(mesh_settings, payments)) as mesh:
        await start(mesh, TriageAgent, ResearchAgent, ResolutionAgent)
        request_id = new_id()
        metadata = {"order_id": "o-7", "amount": "99.99", "currency": "EUR"}
        given = create(request_id, message="Please refund my order, it arrived broken", category="refund", metadata=metadata)
        await mesh.publish("CreateRequest", request_id, given)
        await reached(mesh, request_id, "ApprovalRequested")
        assert payments.requests == []
        actor = {"ce_authtype": b"user", "ce_authid": b"ann"}
        approval = {"tenant_id": TENANT, "request_id": request_id, "reason": "Seen the photo"}
        await mesh.publish("ApproveRequest", request_id, approval, headers=actor)
        completed = await reached(mesh, request_id, "RequestCompleted")
        assert "Your refund of 99.99 EUR was approved and has been paid back." in completed.resolution
        (paid,) = payments.paid.values()
        assert (paid["body"]["order_id"], paid["body"]["customer_id"]) == ("o-7", "cust-0042")
        effects = await mesh.rows("SELECT name, status, outcome_from, attempt FROM mesh.effects")
        assert [tuple(row) for row in effects] == [("refund", "recorded", "probe", 2)]

        # The same refund asked for again, by other tasks of the request and at the same time, is the same payment.
        refund = {"message": "Money back", "category": "refund", "metadata": metadata, "request_id": request_id,
                  "customer_id": "cust-0042", "refund": {"amount": "99.99", "currency": "EUR"}}  # fmt: skip
        again = await asyncio.gather(*[ask(mesh, ResolutionAgent, request_id, refund) for _ in range(3)])
        assert {(await ended(mesh, task_id)).result["refund"]["payment_id"] for task_id in again} == {"pay-1"}
    assert len(payments.paid) == 1


async def test_a_model_that_is_away_for_a_moment_costs_an_attempt_and_not_the_task(
    mesh_settings: MeshSettings, endpoint: ModelEndpoint
) -> None:
    endpoint.script = [failing(503)] * 3  # one attempt's retries
    settings = mesh_settings.model_copy(update={"model_url": endpoint.url, "model_name": "our-own", "outage_patience_seconds": 0.0})
    async with Mesh(settings) as mesh:
        await start(mesh, TriageAgent)
        done = await ended(mesh, await ask(mesh, TriageAgent, "req-1", {"message": "My invoice is wrong"}))
        counted = mesh.telemetry.metrics.registry.get_sample_value
        assert counted("agent_execution_errors_total", {"agent_type": "triage", "error_type": "ModelUnavailable"}) == 1
        assert counted("agentmesh_tasks_completed_total", {"agent_id": "agent-triage", "status": "SUCCESS"}) == 1
        assert counted("agentmesh_retries_total", {"name": "model.triage"}) == 2
    assert (done.outcome.value, done.attempt) == ("SUCCESS", 2)
    assert (done.usage.model, done.usage.calls, done.usage.input_tokens) == ("our-own", 1, 100)
    assert endpoint.calls == 4
