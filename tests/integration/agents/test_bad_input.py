"""What agents, tasks and approvals may get wrong, through the whole fleet: every case has the one outcome that the README documents.

One fleet carries all cases, side by side, so that a case which harms another one shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.agents.commands import RegisterAgent
from contracts.ids import new_task_id
from contracts.requests.events import ApprovalRequested, RequestFailed
from contracts.requests.values import ApprovalReason
from contracts.tasks.events import TaskCompleted, TaskReassigned
from contracts.tasks.values import LEASE_EXPIRED, TaskOutcome
from infra.agents.base import Agent
from infra.event_store.base import Outcome, OutcomeKind
from infra.runtime.agent_host import AgentHost
from infra.settings import MeshSettings
from projections.deadlines.projection import DEADLINES
from services.agents.worker import build as build_agents
from services.dispatcher.worker import build as build_dispatcher
from services.requests.process_worker import build as build_process
from services.requests.worker import build as build_requests
from services.scheduler.worker import build as build_scheduler
from services.support_agents.agents import ResearchAgent, ResolutionAgent
from services.tasks.worker import build as build_tasks
from services.tenants.worker import build as build_tenants
from tests.integration.agents.at_work import QUICK, ROOT, happened, names, process
from tests.integration.agents.careless_agents import EXIT_CODE, Careless, HastyTriage, Mortal
from tests.mesh import PARTITIONS, TENANT, Mesh, create, new_id, wait_for
from tests.model_endpoint import Reply, model_endpoint, structured

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

MORTAL = "tests.integration.agents.careless_agents:Mortal"
LEASE = 1.0
SIDE_BY_SIDE = 8
"""Cases at a time: each of them looks at the database again and again."""
ACCEPTED, ABSORBED, REJECTED = "accepted", "absorbed", "rejected"
RULE, INVALID, STALE = "BUSINESS_RULE_VIOLATION", "VALIDATION_ERROR", "STALE_ATTEMPT"
BILLING = {"category": "billing", "priority": 2, "confidence": 0.9, "reason": "names an invoice"}
DEAR = {"amount": "5000.00"}


@dataclass(frozen=True)
class Fleet:
    """The mesh, and the environment of a host process that belongs to it."""

    mesh: Mesh
    host_environment: Mapping[str, str]

    # -- agents and tasks ---------------------------------------------------------------------------------------------------

    async def register(self, kind: str, agent_id: str, *, level: int = 3, capability: str = "care", **changes: Any) -> Outcome:
        """Make an agent known; its outcome."""
        payload = {"agent_id": agent_id, "name": agent_id, "kind": kind, "capabilities": [{"name": capability, "level": level}]}
        return await self.mesh.do_in("agents", "RegisterAgent", agent_id, {"limit": 20, **payload, **changes})

    async def ask(self, kind: str = Careless.kind, does: str = "", *, attempts: int = 2, seconds: int = 30, **changes: Any) -> str:
        """Ask for a task; answers its id."""
        task_id = new_task_id()
        payload = {"task_id": task_id, "task_type": "try", "kind": kind, "subject_id": "nobody", "input": {"does": does}}
        limits = {"max_attempts": attempts, "time_limit_seconds": seconds}
        outcome = await self.mesh.do_in("tasks", "RequestTask", task_id, {**payload, **limits, **changes})
        assert outcome.kind is OutcomeKind.EVENTS
        return task_id

    async def end_of(self, task_id: str) -> TaskCompleted:
        """How a task ended."""
        await happened(self.mesh, "tasks", task_id, "TaskCompleted")
        ended = (await self.events("tasks", task_id))[-1]
        assert isinstance(ended, TaskCompleted)
        return ended

    async def events(self, context: str, aggregate_id: str) -> list[Any]:
        return [event.event() for event in await self.mesh.store_of(context).read_stream(aggregate_id)]

    async def tell(self, type_name: str, task_id: str, agent_id: str, attempt: int, **fields: Any) -> Outcome:
        """Say something of an attempt, as a host would."""
        payload = {"task_id": task_id, "agent_id": agent_id, "attempt": attempt, **fields}
        return await self.mesh.do_in("tasks", type_name, task_id, payload)

    # -- requests -----------------------------------------------------------------------------------------------------------

    async def request(self, actor: str = "customer", **changes: Any) -> str:
        """Create a request; answers its id."""
        request_id = new_id()
        outcome = await self.do("CreateRequest", request_id, actor, create(request_id, **changes))
        assert outcome.kind is OutcomeKind.EVENTS
        return request_id

    async def waiting(self, actor: str = "customer", metadata: Mapping[str, Any] = DEAR) -> str:
        """A request that waits for an approval."""
        request_id = await self.request(actor, metadata=dict(metadata))
        await happened(self.mesh, "requests", request_id, "ApprovalRequested", 60)
        return request_id

    async def do(self, type_name: str, request_id: str, actor: str, payload: Mapping[str, Any] | None = None) -> Outcome:
        """A person's command; its outcome."""
        headers = {"ce_authtype": b"user", "ce_authid": actor.encode()} if actor else {}
        return await self.mesh.do(type_name, request_id, payload or {}, headers=headers)

    async def failure_of(self, request_id: str) -> str:
        """Why a request failed."""
        await happened(self.mesh, "requests", request_id, "RequestFailed", 60)
        failed = (await self.events("requests", request_id))[-1]
        assert isinstance(failed, RequestFailed)
        return failed.reason

    async def refused(self, outcome: Outcome, code: str, *named: str, context: str = "requests") -> None:
        """The command was rejected with this code, and the rejection names the field or the rule."""
        assert (outcome.kind, outcome.code) == (OutcomeKind.REJECTED, code)
        assert outcome.position is not None
        (entry,) = await self.mesh.store_of(context).read_log(outcome.position - 1, 1)
        assert [each for each in named if each not in entry.state.decode()] == []


Check = Callable[[Fleet], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """A line of the README's table, and what shows it."""

    input: str
    outcome: str
    code: str
    rule: str
    check: Check


CASES: list[Case] = []


def case(what: str, outcome: str, code: str = "", rule: str = "") -> Callable[[Check], Check]:
    """Add a line to the table."""

    def added(check: Check) -> Check:
        CASES.append(Case(what, outcome, code, rule, check))
        return check

    return added


# -- agents -------------------------------------------------------------------------------------------------------------


@case("an agent raises", "the attempt fails and another one follows; after the last the task ends as failed", "given_up")
async def an_agent_raises(fleet: Fleet) -> None:
    task_id = await fleet.ask(does="raise")
    ended = await fleet.end_of(task_id)
    assert (ended.outcome, ended.attempt, ended.reason, ended.error_type) == (TaskOutcome.FAILURE, 2, "given_up", "RuntimeError")
    (again,) = [event for event in await fleet.events("tasks", task_id) if isinstance(event, TaskReassigned)]
    assert (again.reason, again.error_type) == ("no idea", "RuntimeError")


@case(
    "an agent hangs", "the attempt is stopped at its deadline and another one follows; after the last the task ends as timed out", "TIMEOUT"
)
async def an_agent_hangs(fleet: Fleet) -> None:
    task_id = await fleet.ask(does="hang", seconds=1)
    ended = await fleet.end_of(task_id)
    assert (ended.outcome, ended.attempt) == (TaskOutcome.TIMEOUT, 2)
    assert (await names(fleet.mesh, "tasks", task_id)).count("TaskTimedOut") == 2


@case("an agent answers after its deadline", "its answer is dropped, and the attempt has timed out", "TIMEOUT")
async def an_agent_answers_late(fleet: Fleet) -> None:
    ended = await fleet.end_of(await fleet.ask(does="answer late", attempts=1, seconds=1))
    assert (ended.outcome, ended.result) == (TaskOutcome.TIMEOUT, {})


@case("a result of an attempt that is over or was given to another", REJECTED, STALE)
async def a_stale_result(fleet: Fleet) -> None:
    task_id = await fleet.ask(does="raise")
    ended = await fleet.end_of(task_id)
    for attempt in (1, 2, 3):
        outcome = await fleet.tell("CompleteTask", task_id, str(ended.agent_id), attempt, result={"late": True})
        await fleet.refused(outcome, STALE, "attempt_must_be_current", context="tasks")


@case("an agent answers what is no JSON object", "the task ends as failed at once: another attempt would answer the same", "FAILURE")
async def an_agent_answers_no_object(fleet: Fleet) -> None:
    for does in ("answer a list", "answer what JSON cannot say"):
        ended = await fleet.end_of(await fleet.ask(does=does))
        assert (ended.outcome, ended.attempt, ended.result) == (TaskOutcome.FAILURE, 1, {})
        assert "JSON" in str(ended.reason)


@case("the result of an attempt is told twice", f"{ABSORBED}: the first result stands, whatever the second says")
async def a_result_is_told_twice(fleet: Fleet) -> None:
    task_id = await fleet.ask()
    ended = await fleet.end_of(task_id)
    second = await fleet.tell("CompleteTask", task_id, str(ended.agent_id), 1, result={"attempt": 99})
    assert second.kind is OutcomeKind.UNCHANGED
    after = await fleet.tell("FailTask", task_id, str(ended.agent_id), 1, error_type="Late", reason="after all")
    await fleet.refused(after, STALE, context="tasks")
    assert (await fleet.end_of(task_id)).result == {"attempt": 1}
    assert (await names(fleet.mesh, "tasks", task_id)).count("TaskCompleted") == 1


@case("a result from another agent than the one that has the task", REJECTED, RULE, "not_assigned_to_agent")
async def a_result_of_a_stranger(fleet: Fleet) -> None:
    task_id = await fleet.ask(does="hang", attempts=1, seconds=3)
    await happened(fleet.mesh, "tasks", task_id, "TaskAssigned")
    await fleet.refused(await fleet.tell("CompleteTask", task_id, "agent-stranger", 1), RULE, "not_assigned_to_agent", context="tasks")
    assert (await fleet.end_of(task_id)).outcome is TaskOutcome.TIMEOUT


@case("an agent dies with its host's process", "when the host's lease is over the task gets another attempt, on another host")
async def an_agent_dies(fleet: Fleet) -> None:
    await fleet.register(Mortal.kind, "agent-mortal")
    async with process(fleet.host_environment, "agents", "run", MORTAL) as host:
        mark = fleet.mesh.settings.home / "died"
        task_id = await fleet.ask(Mortal.kind, seconds=300, input={"mark": str(mark)})
        assert await asyncio.wait_for(host.wait(), 90) == EXIT_CODE
    await happened(fleet.mesh, "tasks", task_id, "TaskReassigned")
    await fleet.mesh.start(AgentHost(Mortal(), fleet.mesh.settings, fleet.mesh.telemetry, lease_seconds=LEASE, heartbeat_seconds=0.3))
    ended = await fleet.end_of(task_id)
    assert (ended.outcome, ended.result) == (TaskOutcome.SUCCESS, {"attempt": 2})
    (moved,) = [event for event in await fleet.events("tasks", task_id) if isinstance(event, TaskReassigned)]
    assert moved.reason == LEASE_EXPIRED


@case("a level outside 1 to 5, of an agent or in a task", REJECTED, INVALID)
async def a_level_outside_its_bounds(fleet: Fleet) -> None:
    for level in (0, 6):
        await fleet.refused(await fleet.register("careless", f"agent-level-{level}", level=level), INVALID, "level", context="agents")
        task_id = new_task_id()
        payload = {"task_id": task_id, "task_type": "try", "kind": "careless", "subject_id": "nobody"}
        asked = await fleet.mesh.do_in("tasks", "RequestTask", task_id, {**payload, "requirements": [{"name": "care", "level": level}]})
        await fleet.refused(asked, INVALID, "level", context="tasks")


@case("an agent registered again with other capabilities; as it was, nothing changes", REJECTED, RULE, "agent_must_not_exist")
async def an_agent_is_registered_twice(fleet: Fleet) -> None:
    assert (await fleet.register("twin", "agent-twice")).kind is OutcomeKind.EVENTS
    assert (await fleet.register("twin", "agent-twice")).kind is OutcomeKind.UNCHANGED
    await fleet.refused(await fleet.register("twin", "agent-twice", level=5), RULE, "agent_must_not_exist", context="agents")


@case("a task for a kind of agents that nobody has registered", "waits, queued and visible, until one is registered")
async def a_task_of_an_unknown_kind(fleet: Fleet) -> None:
    task_id, other = await fleet.ask("unheard-of"), await fleet.ask()
    await fleet.end_of(other)  # whoever asked later has been served
    assert await names(fleet.mesh, "tasks", task_id) == ["TaskQueued"]
    await fleet.register("unheard-of", "agent-unheard-of")
    await happened(fleet.mesh, "tasks", task_id, "TaskAssigned")
    await fleet.mesh.do_in("tasks", "CancelTask", task_id, {"task_id": task_id, "reason": "seen enough"})


# -- what agents say of requests ----------------------------------------------------------------------------------------


@case("a model answers nonsense", "it is asked again, in this attempt and in the next ones; then the request fails", "ModelNonsense")
async def a_model_answers_nonsense(fleet: Fleet) -> None:
    reason = await fleet.failure_of(await fleet.request(message="please talk gibberish"))
    assert "triage" in reason
    assert "ModelNonsense" in reason


@case(
    "a result that the next step cannot use, such as an unknown category", "the request fails with a reason that says so", "ValidationError"
)
async def a_result_that_is_none(fleet: Fleet) -> None:
    reason = await fleet.failure_of(await fleet.request(message="please give half an answer"))
    assert "triage" in reason
    assert "ValidationError" in reason


# -- money --------------------------------------------------------------------------------------------------------------


@case("a refund below priority 2, when it is created", REJECTED, INVALID)
async def a_cheap_refund(fleet: Fleet) -> None:
    request_id = new_id()
    await fleet.refused(
        await fleet.do("CreateRequest", request_id, "ada", create(request_id, category="refund", priority=1)), INVALID, "priority"
    )


@case("a refund below priority 2, by a change", REJECTED, RULE, "refund_requires_medium_priority")
async def a_refund_made_cheap(fleet: Fleet) -> None:
    request_id = await fleet.waiting()
    assert (await fleet.do("UpdateRequest", request_id, "ada", {"priority": 1})).kind is OutcomeKind.EVENTS
    await fleet.refused(await fleet.do("UpdateRequest", request_id, "ada", {"category": "refund"}), RULE, "refund")


@case("a refund below priority 2, by triage", "the request fails with a reason that says so", "ValidationError")
async def a_refund_triaged_cheap(fleet: Fleet) -> None:
    assert "ValidationError" in await fleet.failure_of(await fleet.request(message="please make a cheap refund"))


@case("an amount or a currency that cannot be read", REJECTED, INVALID)
async def an_unreadable_amount(fleet: Fleet) -> None:
    for money, field in (({"amount": "a lot"}, "amount"), ({"amount": "-1"}, "amount"), ({"amount": "1", "currency": "EURO"}, "currency")):
        request_id = new_id()
        await fleet.refused(
            await fleet.do("CreateRequest", request_id, "ada", create(request_id, metadata=money)), INVALID, f"metadata.{field}"
        )


@case(
    "money of another currency than the tenant's threshold", f"{ACCEPTED}: whatever the amount, a person has to approve", "another_currency"
)
async def money_of_another_currency(fleet: Fleet) -> None:
    request_id = await fleet.waiting(metadata={"amount": "1.00", "currency": "EUR"})
    (asked,) = [event for event in await fleet.events("requests", request_id) if isinstance(event, ApprovalRequested)]
    assert asked.reasons == (ApprovalReason.ANOTHER_CURRENCY,)


# -- approvals ----------------------------------------------------------------------------------------------------------


@case("an approval by nobody: without an actor in the headers", REJECTED, "ACTOR_REQUIRED")
async def an_approval_by_nobody(fleet: Fleet) -> None:
    await fleet.refused(await fleet.do("ApproveRequest", await fleet.waiting(), ""), "ACTOR_REQUIRED")


@case("an approval by someone whom the tenant does not list", REJECTED, RULE, "approver_must_be_listed")
async def an_approval_by_somebody_else(fleet: Fleet) -> None:
    request_id = await fleet.waiting()
    await fleet.refused(await fleet.do("ApproveRequest", request_id, "mallory"), RULE, "approver_must_be_listed")
    assert (await fleet.do("RejectRequest", request_id, "ada", {"reason": "no"})).kind is OutcomeKind.EVENTS


@case("with four eyes, an approval by someone who took part", REJECTED, RULE, "four_eyes")
async def an_approval_by_who_asked(fleet: Fleet) -> None:
    request_id = await fleet.waiting("ada")
    await fleet.refused(await fleet.do("ApproveRequest", request_id, "ada"), RULE, "four_eyes")
    await fleet.do("UpdateRequest", request_id, "grace", {"priority": 3})
    await fleet.refused(await fleet.do("ApproveRequest", request_id, "grace"), RULE, "four_eyes")


@case("an approval that was delegated to another", REJECTED, RULE, "approval_was_delegated")
async def an_approval_of_the_delegate(fleet: Fleet) -> None:
    request_id = await fleet.waiting()
    assert (await fleet.do("DelegateApproval", request_id, "ada", {"to": "grace"})).kind is OutcomeKind.EVENTS
    await fleet.refused(await fleet.do("ApproveRequest", request_id, "ada"), RULE, "approval_was_delegated")
    assert (await fleet.do("ApproveRequest", request_id, "grace")).kind is OutcomeKind.EVENTS


@case("an approval by an agent, or by the mesh itself", REJECTED, RULE, "decider_must_be_a_person")
async def an_approval_by_an_agent(fleet: Fleet) -> None:
    request_id = await fleet.waiting()
    headers = {"ce_authtype": b"agent", "ce_authid": b"ada"}
    await fleet.refused(await fleet.mesh.do("ApproveRequest", request_id, {}, headers=headers), RULE, "decider_must_be_a_person")


@case("an approval that names another amount than the request has by now", REJECTED, RULE, "approval_must_be_of_the_impact")
async def an_approval_of_another_amount(fleet: Fleet) -> None:
    request_id = await fleet.waiting()
    assert (await fleet.do("UpdateRequest", request_id, "customer", {"metadata": {"amount": "9000.00"}})).kind is OutcomeKind.EVENTS
    seen = {"financial_impact": {"amount": DEAR["amount"], "currency": "USD"}}
    await fleet.refused(await fleet.do("ApproveRequest", request_id, "ada", seen), RULE, "approval_must_be_of_the_impact")
    assert (await names(fleet.mesh, "requests", request_id)).count("ApprovalRequested") == 2


@case("an approval twice by the same person", f"{ABSORBED}: one resolution follows")
async def an_approval_twice(fleet: Fleet) -> None:
    request_id = await fleet.waiting()
    assert (await fleet.do("ApproveRequest", request_id, "ada")).kind is OutcomeKind.EVENTS
    assert (await fleet.do("ApproveRequest", request_id, "ada")).kind is OutcomeKind.UNCHANGED
    await happened(fleet.mesh, "requests", request_id, "RequestCompleted", 60)
    assert (await names(fleet.mesh, "requests", request_id)).count("RequestApproved") == 1


@case("a decision on what is decided, by another person", REJECTED, RULE, "approving_requires_awaiting_approval")
async def an_approval_of_what_is_decided(fleet: Fleet) -> None:
    request_id = await fleet.waiting()
    assert (await fleet.do("RejectRequest", request_id, "ada", {"reason": "no"})).kind is OutcomeKind.EVENTS
    await fleet.refused(await fleet.do("ApproveRequest", request_id, "grace"), RULE, "approving_requires_awaiting_approval")
    await fleet.refused(
        await fleet.do("RejectRequest", request_id, "grace", {"reason": "no"}), RULE, "rejecting_requires_awaiting_approval"
    )


# -- the fleet ----------------------------------------------------------------------------------------------------------


def said_by_the_model(asked: dict[str, Any]) -> Reply:
    """A billing matter, unless the message asks for gibberish."""
    gibberish = "gibberish" in str(asked["messages"])
    return structured("{{{ certainly! here is" if gibberish else BILLING)(asked)


@asynccontextmanager
async def fleet_of(settings: MeshSettings, environment: Mapping[str, str], model_url: str) -> AsyncIterator[Fleet]:
    """Every worker of the workflow, a host of each kind, an agent of each."""
    host_environment = {
        **environment,
        "AGENTMESH_PARTITIONS": str(PARTITIONS),
        "AGENTMESH_AGENT_HOST_LEASE_SECONDS": str(LEASE),
        "AGENTMESH_AGENT_HOST_HEARTBEAT_SECONDS": "0.3",
        "AGENTMESH_KAFKA_SESSION_TIMEOUT_MS": "2000",
        "AGENTMESH_KAFKA_HEARTBEAT_INTERVAL_MS": "500",
    }
    async with Mesh(settings) as mesh:
        builds = (build_requests, build_tasks, build_agents, build_tenants, build_process, build_dispatcher, build_scheduler)
        await mesh.start(mesh.relay(), mesh.projection(DEADLINES), *(build(mesh.settings, mesh.telemetry) for build in builds))
        fleet = Fleet(mesh, host_environment)
        modelled = mesh.settings.model_copy(update={"model_url": model_url, "model_name": "test-model"})
        await mesh.start(AgentHost(HastyTriage(), modelled, mesh.telemetry, heartbeat_seconds=0.3))
        await mesh.start(
            *(
                AgentHost(each(), mesh.settings, mesh.telemetry, heartbeat_seconds=0.3)
                for each in (Careless, ResearchAgent, ResolutionAgent)
            )
        )
        for each in (Careless, HastyTriage, ResearchAgent, ResolutionAgent):
            await registered(fleet, each)
        await tenant_known(fleet)
        yield fleet


async def registered(fleet: Fleet, agent: type[Agent]) -> None:
    ((capability, level),) = agent.capabilities.items()
    outcome = await fleet.register(agent.kind, f"agent-{agent.kind}", level=level, capability=capability)
    assert outcome.kind is OutcomeKind.EVENTS, RegisterAgent.type_name


async def tenant_known(fleet: Fleet) -> None:
    """The tenant whose rules the approvals go by, and the moment that the requests worker knows it."""
    settings = {"four_eyes": True, "approvers": ["ada", "grace"]}
    await fleet.mesh.do_in("tenants", "CreateTenant", TENANT, {"name": "Acme", "settings": settings})

    async def look() -> bool:
        return bool(await fleet.mesh.rows("SELECT 1 FROM read_request_reference.tenants WHERE tenant_id = %(t)s", t=TENANT))

    await wait_for(look, 20, "the tenant in the local table")


async def checked(each: Case, fleet: Fleet, some: asyncio.Semaphore) -> None:
    async with some:
        await each.check(fleet)


async def test_whatever_agents_tasks_and_approvals_get_wrong_has_its_one_outcome(
    mesh_settings: MeshSettings, mesh_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    with model_endpoint() as endpoint:
        endpoint.then = said_by_the_model
        async with fleet_of(mesh_settings, mesh_environment, endpoint.url) as fleet:
            some = asyncio.Semaphore(SIDE_BY_SIDE)
            found = await asyncio.gather(*(checked(each, fleet, some) for each in CASES), return_exceptions=True)
            problems = [f"{each.input}: {problem!r}" for each, problem in zip(CASES, found, strict=True) if problem is not None]
            assert not problems, "\n".join(problems)
            # After all that the fleet carries a good request to its end.
            await happened(fleet.mesh, "requests", await fleet.request(), "RequestCompleted", 60)
            assert await fleet.mesh.letters() == []


def table() -> str:
    """The outcomes as the README's table."""
    rows = ["| input | outcome | code |", "|---|---|---|"]
    for each in CASES:
        code = " ".join((*([f"`{each.code}`"] if each.code else ()), *([f"(`{each.rule}`)"] if each.rule else ())))
        rows.append(f"| {each.input} | {each.outcome} | {code} |")
    return "\n".join(rows)


def test_the_readme_has_each_case_with_its_outcome() -> None:
    assert table() in (ROOT / "README.md").read_text(encoding="utf-8"), f"put this table into the README:\n{table()}"


if __name__ == "__main__":
    print(table())
