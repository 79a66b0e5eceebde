"""What a developer of an agent sees: a class with a kind, capabilities and `handle`; no Kafka, no Postgres.

class Greeter(Agent):
    kind = "greeter"
    capabilities = {"greeting": 3}

    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any]:
        return {"text": f"Good day, {task.input['name']}!"}
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from contracts.ids import AgentId, TaskId, TenantId
from contracts.json_object import EMPTY
from contracts.requests.values import Priority
from contracts.tasks.values import ModelUsage
from infra.effects.base import Effects
from infra.knowledge.base import Passage
from infra.models.base import Model, RuleFunction
from infra.payments.base import Payments


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at a unit of work, as the agent gets it."""

    task_id: TaskId
    tenant_id: TenantId
    agent_id: AgentId
    task_type: str
    subject_id: str
    """What the task is about, e.g. a request's id."""
    attempt: int
    """From 1; a later attempt may find traces of an earlier one."""
    priority: Priority
    deadline_at: datetime
    """A result after this moment is refused."""
    input: Mapping[str, Any] = field(default_factory=lambda: EMPTY)


class Memory(Protocol):
    """What the task's tenant has written down; nobody else's."""

    async def search(self, query: str, limit: int = 5) -> list[Passage]:
        """The passages that fit best, best first. Raises TransientError when the store is away."""
        ...


@dataclass(slots=True)
class TaskContext:
    """What the host gives an agent beside the task."""

    deadline_at: datetime
    memory: Memory
    """The tenant's knowledge base."""
    effects: Effects
    """Calls to the outside that must not be made twice: `await context.effects.once(name, call, input=…)`."""
    model: Model
    """The configured language model, or the agent's own `rules`: `await context.model.run(operation, instructions=…, prompt=…,
    output_type=…, tools=[…])`."""
    payments: Payments | None = None
    """The payment service; None where none is configured. What it is asked goes through `effects`."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nobody wants the result any more; the run is then also cancelled."""
    logger: Any = field(default_factory=lambda: logging.getLogger("agentmesh.agent"))
    """Bound to task, agent, tenant and subject by the host."""
    usage: ModelUsage | None = None
    """What model calls used so far; published with the result."""


class TaskFailed(Exception):
    """Raised by an agent whose attempt failed; it is tried again while attempts are left, unless `final`."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Agent(ABC):
    """The code of one kind of agents. One object serves every agent of its kind on a host, so what it keeps must not belong to one task."""

    kind: ClassVar[str]
    """Names the work topic and the consumer group; `[a-z][a-z0-9-]{0,39}`."""
    capabilities: ClassVar[Mapping[str, int]]
    """What agents of this kind can do, by name with a level from 1 to 5."""
    concurrency: ClassVar[int] = 1
    """How many tasks one agent runs at a time: the default limit of agents registered for this kind."""
    rules: ClassVar[Mapping[str, RuleFunction]] = {}
    """Answers operations of `context.model` while no model is configured: the prompt in, the output out."""

    @abstractmethod
    async def handle(self, task: Task, context: TaskContext) -> Mapping[str, Any] | BaseModel:
        """Do the work; answers the result, a JSON object. Whatever it raises fails the attempt."""
