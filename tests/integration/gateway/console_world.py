"""What operators find in the tests of the console and in its pictures: a mesh with requests of every kind, and a gateway's process."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from contracts.message import Command
from contracts.requests.commands import CreateRequest
from infra.identity.accounts_postgres import PostgresAccounts
from infra.identity.administration import AccountAdministration, new_account
from infra.identity.passwords import SecretHasher
from infra.local_stack.ports import free_port
from infra.runtime.agent_host import AgentHost
from infra.runtime.base import Decide, DecisionContext
from projections.agents.projection import AGENTS
from projections.approvals.projection import APPROVALS
from projections.request_reference.projection import REQUEST_REFERENCE
from projections.requests.projection import REQUESTS
from projections.tasks.projection import TASKS
from projections.timeline.projection import TIMELINE
from services.agents.worker import build as build_agents
from services.customers.worker import build as build_customers
from services.dispatcher.worker import build as build_dispatcher
from services.requests.domain import Request
from services.requests.handlers import create_request
from services.requests.process_worker import build as build_process
from services.support_agents.agents import ResearchAgent, ResolutionAgent, TriageAgent
from services.tasks.worker import build as build_tasks
from tests.conformance.accounts import PASSWORD
from tests.integration.agents.test_models_and_refunds import ANSWERS
from tests.integration.agents.test_workflow import register
from tests.integration.gateway.conftest import Spawn
from tests.mesh import TENANT, Mesh, create, new_id, wait_for
from tests.model_endpoint import ModelEndpoint, Reply, model_endpoint, structured

ANN = "ann"
OTHER = "other"
BROKEN = "This one meets a defect"
MODEL_SECONDS = 0.15
TRACES = "http://127.0.0.1:16686/trace/"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PASSWORD_LOST: dict[str, Any] = {"message": "I forgot my password and cannot log in.", "category": None}
REFUND: dict[str, Any] = {
    "message": "Please refund my order, it arrived broken and I want my money back.",
    "category": None,
    "metadata": {"amount": "99.99", "order_id": "A-1"},
}
URGENT: dict[str, Any] = {
    "message": "My invoice of May is wrong, you charged me twice.",
    "category": None,
    "priority": 3,
    "metadata": {"amount": "1500.00"},
}


class Defect:
    """A decision that fails for messages with this text, until it is mended."""

    def __init__(self) -> None:
        self.mended = False

    @property
    def decisions(self) -> dict[type[Command], Decide]:
        def decided(request: Request | None, command: Any, context: DecisionContext) -> Any:
            if BROKEN in command.message and not self.mended:
                raise KeyError("category")
            return create_request(request, command, context)

        return {CreateRequest: decided}


@dataclasses.dataclass
class World:
    """The mesh, where its console is, and the requests by what becomes of them."""

    mesh: Mesh
    url: str
    defect: Defect
    completed: str
    refund: str
    urgent: str
    unjust: str
    late: str
    more: list[str]
    broken: list[str]
    foreign: str

    @property
    def username(self) -> str:
        return f"{ANN}@{TENANT}"

    async def comes_to(self, request_id: str, status: str) -> None:
        """Wait for a status in the read model."""

        async def look() -> bool:
            rows = await self.mesh.rows("SELECT status FROM read_requests.requests WHERE request_id = %(id)s", id=request_id)
            return [row[0] for row in rows] == [status]

        await wait_for(look, 40, f"{request_id} {status}")


def answered(asked: dict[str, Any]) -> Reply:
    """A model that takes its time."""
    wanted = str(asked["tools"])
    field = next(name for name in ("search_terms", "sources", "category") if f"'{name}'" in wanted)
    return dataclasses.replace(structured(ANSWERS[field], (420, 96))(asked), wait=MODEL_SECONDS)


@asynccontextmanager
async def furnished(mesh: Mesh, spawn: Spawn) -> AsyncIterator[World]:
    """Everything is there: one request completed, four for a person, two that a defect parked, one of another tenant."""
    with model_endpoint() as endpoint:
        endpoint.then = answered
        defect = Defect()
        await _start(mesh, endpoint, defect)
        gateway = asyncio.create_task(
            spawn(free_port(set()), AGENTMESH_TRACE_URL=TRACES + "{trace_id}", AGENTMESH_GATEWAY_WAIT_SECONDS="10")
        )
        accounts = AccountAdministration(PostgresAccounts(mesh.database), SecretHasher())
        await accounts.add_user(new_account(TENANT, ANN, "admin", None), PASSWORD, "tester")
        waiting = [await _opened(mesh, **fields) for fields in (REFUND, URGENT, URGENT, URGENT)]
        completed = await _opened(mesh, **PASSWORD_LOST)
        more = [await _opened(mesh, **PASSWORD_LOST, customer_id=f"cust-{number:04}") for number in range(3)]
        broken = [
            await _opened(mesh, message=f"{BROKEN}. I forgot my password and cannot log in, number {number}.", category=None)
            for number in range(2)
        ]
        foreign = await _opened(mesh, tenant_id=OTHER, message="Only the other tenant reads this")
        url = (await gateway).url
        world = World(mesh, url, defect, completed, *waiting, more, broken, foreign)
        await world.comes_to(completed, "completed")
        for request_id in waiting:
            await world.comes_to(request_id, "awaiting_approval")
        await mesh.letters(count=2)
        await wait_for(lambda: _shown(mesh, completed, *waiting), 20, "approvals and timelines")
        yield world


async def _start(mesh: Mesh, endpoint: ModelEndpoint, defect: Defect) -> None:
    settings, telemetry = mesh.settings, mesh.telemetry
    with_model = settings.model_copy(
        update={"model_url": endpoint.url, "model_name": "gpt-4o-mini", "model_key": SecretStr("sk-test"), "model_timeout_seconds": 5.0}
    )
    models = (REQUESTS, APPROVALS, AGENTS, TASKS, TIMELINE, REQUEST_REFERENCE)
    builds = (build_tasks, build_agents, build_process, build_dispatcher, build_customers)
    await mesh.start(mesh.planted(defect.decisions), mesh.relay(), *(mesh.projection(model) for model in models))
    await mesh.start(*(build(settings, telemetry) for build in builds))
    # Triage goes by rules, so that it tells a refund from a lost password; the other two ask a model.
    await mesh.start(AgentHost(TriageAgent(), settings, telemetry))
    await mesh.start(*(AgentHost(agent(), with_model, telemetry) for agent in (ResearchAgent, ResolutionAgent)))
    for agent in (TriageAgent, ResearchAgent, ResolutionAgent):
        await register(mesh, agent)


async def _opened(mesh: Mesh, **fields: Any) -> str:
    request_id = new_id()
    headers: Mapping[str, bytes] = {
        "ce_authtype": b"user",
        "ce_authid": b"ada",
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01".encode(),
    }
    await mesh.publish("CreateRequest", request_id, create(request_id, **fields), headers=headers)
    return request_id


async def _shown(mesh: Mesh, completed: str, *waiting: str) -> bool:
    approvals = await mesh.rows("SELECT request_id FROM read_approvals.approvals WHERE status = 'waiting'")
    ends = await mesh.rows(
        "SELECT 1 FROM read_timeline.timeline WHERE request_id = %(id)s AND event IN ('RequestCompleted', 'TaskCompleted')", id=completed
    )
    return {row[0] for row in approvals} == set(waiting) and len(ends) >= 3
