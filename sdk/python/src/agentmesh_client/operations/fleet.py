"""Agents (version 2 of the API) and their tasks: arguments in, calls out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from agentmesh_client.calls import Accepted, Call, CommandOptions, ReadOptions, body_of, command, get, nothing, path_of, reader
from agentmesh_client.models import Agent, Page, Task
from agentmesh_client.operations.requests import Sort

_AGENT = reader(Agent)
_TASK = reader(Task)


def create_agent(
    name: str,
    capabilities: Mapping[str, int],
    *,
    kind: str | None = None,
    limit: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Unpack[CommandOptions],
) -> Call[Agent | Accepted[Agent]]:
    """Register an agent; `capabilities` has the level, 1 to 5, of each name."""
    body = body_of(name=name, capabilities=_capabilities(capabilities), kind=kind, limit=limit, metadata=metadata)
    return command("POST", path_of("v2", "agents"), _AGENT, options, body)


def get_agent(agent_id: str, **options: Unpack[ReadOptions]) -> Call[Agent]:
    """An agent."""
    return get(Agent, path_of("v2", "agents", agent_id), options)


def list_agents(
    *,
    status: str | None = None,
    capability: str | None = None,
    kind: str | None = None,
    sort: Sort | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    **options: Unpack[ReadOptions],
) -> Call[Page[Agent]]:
    """A page of agents."""
    filters = {"status": status, "capability": capability, "kind": kind}
    return get(Page[Agent], path_of("v2", "agents"), options, **filters, sort=sort, limit=limit, cursor=cursor)


def terminate_agent(agent_id: str, **options: Unpack[CommandOptions]) -> Call[Accepted[None] | None]:
    """End an agent."""
    return command("DELETE", path_of("v2", "agents", agent_id), nothing, options)


def suspend_agent(agent_id: str, *, reason: str | None = None, **options: Unpack[CommandOptions]) -> Call[Agent | Accepted[Agent]]:
    """Give an agent nothing for a while."""
    return command("POST", path_of("v2", "agents", agent_id, "suspend"), _AGENT, options, body_of(reason=reason))


def resume_agent(agent_id: str, **options: Unpack[CommandOptions]) -> Call[Agent | Accepted[Agent]]:
    """Let a suspended agent work again."""
    return command("POST", path_of("v2", "agents", agent_id, "resume"), _AGENT, options)


def drain_agent(agent_id: str, *, reason: str | None = None, **options: Unpack[CommandOptions]) -> Call[Agent | Accepted[Agent]]:
    """Let an agent finish what it has and give it nothing new."""
    return command("POST", path_of("v2", "agents", agent_id, "drain"), _AGENT, options, body_of(reason=reason))


def change_agent_capabilities(
    agent_id: str, capabilities: Mapping[str, int], **options: Unpack[CommandOptions]
) -> Call[Agent | Accepted[Agent]]:
    """Say anew what an agent can do."""
    body = body_of(capabilities=_capabilities(capabilities))
    return command("PUT", path_of("v2", "agents", agent_id, "capabilities"), _AGENT, options, body)


def list_tasks(
    *,
    status: str | None = None,
    kind: str | None = None,
    agent_id: str | None = None,
    subject_id: str | None = None,
    sort: Sort | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    **options: Unpack[ReadOptions],
) -> Call[Page[Task]]:
    """A page of tasks."""
    filters = {"status": status, "kind": kind, "agent_id": agent_id, "subject_id": subject_id}
    return get(Page[Task], path_of("v1", "tasks"), options, **filters, sort=sort, limit=limit, cursor=cursor)


def get_task(task_id: str, **options: Unpack[ReadOptions]) -> Call[Task]:
    """A task."""
    return get(Task, path_of("v1", "tasks", task_id), options)


def cancel_task(task_id: str, reason: str, **options: Unpack[CommandOptions]) -> Call[Task | Accepted[Task]]:
    """Call a task off."""
    return command("POST", path_of("v1", "tasks", task_id, "cancel"), _TASK, options, body_of(reason=reason))


def _capabilities(given: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"name": name, "level": level} for name, level in given.items()]
