"""Events of `agents` in, rows of the table `agents` out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from contracts.agents.events import (
    AgentCapabilitiesChanged,
    AgentCreated,
    AgentDrained,
    AgentHealthCheckFailed,
    AgentRecovered,
    AgentResumed,
    AgentSuspended,
    AgentTerminated,
)
from contracts.agents.values import AgentStatus
from contracts.envelope import RecordedEvent
from infra.read_models.base import Change, Insert, ReadModel, RowChange, Table

TABLE = "agents"


def agent_created(recorded: RecordedEvent, event: AgentCreated) -> Sequence[RowChange]:
    """The agent's row, as it was registered."""
    return (
        Insert(
            TABLE,
            {
                "agent_id": event.agent_id,
                "tenant_id": event.tenant_id,
                "name": event.name,
                "kind": event.kind,
                "capabilities": to_json(event.capabilities),
                "task_limit": event.limit,
                "status": AgentStatus.AVAILABLE.value,
                "reason": None,
                "metadata": to_json(event.metadata),
                "created_at": event.created_at,
                "updated_at": event.created_at,
                "version": recorded.sequence,
                "position": recorded.position,
            },
        ),
    )


def agent_capabilities_changed(recorded: RecordedEvent, event: AgentCapabilitiesChanged) -> Sequence[RowChange]:
    """What the agent can do now; its status stays, and so does the reason of it."""
    return (_change(recorded, event.agent_id, event.changed_at, capabilities=to_json(event.capabilities)),)


def agent_suspended(recorded: RecordedEvent, event: AgentSuspended) -> Sequence[RowChange]:
    """Suspended, and why."""
    return (_becomes(recorded, event.agent_id, event.suspended_at, AgentStatus.SUSPENDED, event.reason),)


def agent_resumed(recorded: RecordedEvent, event: AgentResumed) -> Sequence[RowChange]:
    """Available again."""
    return (_becomes(recorded, event.agent_id, event.resumed_at, AgentStatus.AVAILABLE, None),)


def agent_drained(recorded: RecordedEvent, event: AgentDrained) -> Sequence[RowChange]:
    """Draining, and why."""
    return (_becomes(recorded, event.agent_id, event.drained_at, AgentStatus.DRAINING, event.reason),)


def agent_health_check_failed(recorded: RecordedEvent, event: AgentHealthCheckFailed) -> Sequence[RowChange]:
    """Unhealthy, and what was found."""
    return (_becomes(recorded, event.agent_id, event.failed_at, AgentStatus.UNHEALTHY, event.failure_reason),)


def agent_recovered(recorded: RecordedEvent, event: AgentRecovered) -> Sequence[RowChange]:
    """Available again."""
    return (_becomes(recorded, event.agent_id, event.recovered_at, AgentStatus.AVAILABLE, None),)


def agent_terminated(recorded: RecordedEvent, event: AgentTerminated) -> Sequence[RowChange]:
    """Terminated, and why; the row stays, as its history does."""
    return (_becomes(recorded, event.agent_id, event.terminated_at, AgentStatus.TERMINATED, event.reason),)


def _becomes(recorded: RecordedEvent, agent_id: str, at: Any, status: AgentStatus, reason: str | None) -> Change:
    return _change(recorded, agent_id, at, status=status.value, reason=reason)


def _change(recorded: RecordedEvent, agent_id: str, at: Any, **values: Any) -> Change:
    fixed = {"agent_id": agent_id, "updated_at": at, "version": recorded.sequence, "position": recorded.position}
    return Change(TABLE, {**fixed, **values})


AGENTS = ReadModel(
    name="agents",
    version=1,
    contexts=("agents",),
    package="projections.agents",
    tables=(
        Table(
            TABLE,
            key=("agent_id",),
            columns={
                "agent_id": "text",
                "tenant_id": "text",
                "name": "text",
                "kind": "text",
                "capabilities": "jsonb",
                "task_limit": "integer",
                "status": "text",
                "reason": "text",
                "metadata": "jsonb",
                "created_at": "timestamptz",
                "updated_at": "timestamptz",
                "version": "bigint",
                "position": "bigint",
            },
        ),
    ),
    project={
        AgentCreated: agent_created,
        AgentCapabilitiesChanged: agent_capabilities_changed,
        AgentSuspended: agent_suspended,
        AgentResumed: agent_resumed,
        AgentDrained: agent_drained,
        AgentHealthCheckFailed: agent_health_check_failed,
        AgentRecovered: agent_recovered,
        AgentTerminated: agent_terminated,
    },
)
