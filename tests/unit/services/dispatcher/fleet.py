"""Facts for the dispatcher's tests: short arguments in, agents, tasks and events out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from contracts.agents.events import AgentCreated
from contracts.agents.values import AgentStatus, Capability
from contracts.ids import AgentId, TaskId, TenantId
from contracts.requests.values import Priority
from contracts.tasks.events import TaskAssigned, TaskCancelled, TaskCompleted, TaskPaused, TaskQueued, TaskReassigned
from contracts.tasks.values import Requirement, RoutingStrategy, TaskOutcome
from services.dispatcher.directory import AgentSnapshot, Need, requirements_of

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
TENANT = TenantId("test-tenant")
KIND = "triage"
ANY: Mapping[str, int] = {}


def need(asked: Mapping[str, int] = ANY, tenant: str = TENANT, kind: str = KIND) -> Need:
    return Need(TenantId(tenant), kind, requirements_of(asked.items()))


def agent(
    agent_id: str,
    able: Mapping[str, int] | None = None,
    *,
    limit: int = 1,
    tenant: str = TENANT,
    kind: str = KIND,
    status: AgentStatus = AgentStatus.AVAILABLE,
    version: int = 1,
) -> AgentSnapshot:
    return AgentSnapshot(AgentId(agent_id), TenantId(tenant), kind, able or {"text": 3}, limit, status, version)


def agent_created(agent_id: str, able: Mapping[str, int] | None = None, *, limit: int = 1, tenant: str = TENANT) -> AgentCreated:
    return AgentCreated(
        tenant_id=TenantId(tenant),
        agent_id=AgentId(agent_id),
        name=agent_id,
        kind=KIND,
        capabilities=capabilities(able or {"text": 3}),
        limit=limit,
        created_at=MOMENT,
    )


def capabilities(able: Mapping[str, int]) -> tuple[Capability, ...]:
    return tuple(Capability(name=name, level=level) for name, level in able.items())


def _task(task_id: str, tenant: str) -> dict[str, Any]:
    return {"tenant_id": TenantId(tenant), "task_id": TaskId(task_id), "task_type": "triage", "kind": KIND, "subject_id": "req-1"}


def _asked(asked: Mapping[str, int], priority: Priority, strategy: RoutingStrategy) -> dict[str, Any]:
    requirements = tuple(Requirement(name=name, level=level) for name, level in asked.items())
    return {"requirements": requirements, "priority": priority, "strategy": strategy}


def queued(
    task_id: str,
    asked: Mapping[str, int] = ANY,
    priority: Priority = Priority.MEDIUM,
    strategy: RoutingStrategy = RoutingStrategy.LEAST_LOADED,
    tenant: str = TENANT,
) -> TaskQueued:
    rest = _asked(asked, priority, strategy)
    return TaskQueued(**_task(task_id, tenant), **rest, max_attempts=3, time_limit_seconds=300, queued_at=MOMENT)


def assigned(task_id: str, agent_id: str, attempt: int = 1, tenant: str = TENANT) -> TaskAssigned:
    return TaskAssigned(
        **_task(task_id, tenant),
        agent_id=AgentId(agent_id),
        attempt=attempt,
        priority=Priority.MEDIUM,
        assigned_at=MOMENT,
        deadline_at=MOMENT,
    )


def reassigned(
    task_id: str,
    agent_id: str,
    attempt: int = 2,
    asked: Mapping[str, int] = ANY,
    priority: Priority = Priority.MEDIUM,
    strategy: RoutingStrategy = RoutingStrategy.LEAST_LOADED,
    tenant: str = TENANT,
) -> TaskReassigned:
    rest = _asked(asked, priority, strategy)
    return TaskReassigned(
        **_task(task_id, tenant), **rest, agent_id=AgentId(agent_id), attempt=attempt, reason="lost", reassigned_at=MOMENT
    )


def paused(task_id: str, agent_id: str, attempt: int = 1, tenant: str = TENANT) -> TaskPaused:
    held = {"agent_id": AgentId(agent_id), "attempt": attempt}
    return TaskPaused(**_task(task_id, tenant), **held, effect_id="eff-1", reason="may have happened", paused_at=MOMENT)


def cancelled(task_id: str, tenant: str = TENANT) -> TaskCancelled:
    return TaskCancelled(**_task(task_id, tenant), agent_id=None, attempt=1, reason="not wanted", cancelled_at=MOMENT)


def completed(task_id: str, tenant: str = TENANT) -> TaskCompleted:
    return TaskCompleted(**_task(task_id, tenant), agent_id=None, attempt=1, outcome=TaskOutcome.SUCCESS, completed_at=MOMENT)
