"""One run of an agent: a task in, its start and its result out as commands; used by the agent host and by the test kit."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticCustomError, PydanticSerializationError

from contracts.envelope import Metadata, RecordedEvent
from contracts.json_object import freeze_object
from contracts.tasks.commands import CompleteTask, FailTask, PauseTask, StartTask, TaskCommand, TimeOutTask
from contracts.tasks.values import ModelUsage
from contracts.topics import MAX_RECORD_BYTES
from infra.agents.base import Agent, Memory, Task, TaskContext, TaskFailed
from infra.agents.commands import envelope
from infra.agents.outside import NOTHING_OUTSIDE, Outside
from infra.effects.base import EffectNeedsPerson, Effects
from infra.errors import MeshError
from infra.knowledge.base import KnowledgeBase, Passage
from infra.models.base import RuleFunction, added
from infra.models.task_model import TaskModel
from infra.partial_outputs.base import PartialOutputs, Teller, Topic
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_REASON = 2_000


class RunResult(NamedTuple):
    """A command that a run leads to. `what` makes its id; `ends`: it is recorded before it is published, and told again after a crash."""

    command: TaskCommand
    what: str
    ends: bool


Tell = Callable[[RunResult], Awaitable[None]]
Attempt = Callable[[Agent, Task, TaskContext], Awaitable[TaskCommand]]


async def agent_run(agent: Agent, task: Task, context: TaskContext, tell: Tell, attempted: Attempt | None = None) -> None:
    """Run one attempt and tell how it went. Raises only CancelledError: when the run was called off, or its host stops.

    `attempted` stands for `attempt`, with something around it."""
    await tell(RunResult(StartTask(**_common(task)), "start", ends=False))
    await tell(RunResult(await (attempted or attempt)(agent, task, context), "end", ends=True))


def context_of(
    task: Task,
    memory: Memory,
    effects: Effects,
    cancelled: asyncio.Event | None = None,
    *,
    rules: Mapping[str, RuleFunction] | None = None,
    outside: Outside = NOTHING_OUTSIDE,
    metrics: Metrics | None = None,
) -> TaskContext:
    """What the agent gets beside the task; `rules` are the agent's."""
    names = {"task_id": task.task_id, "agent_id": task.agent_id, "subject_id": task.subject_id}

    def used(usage: ModelUsage) -> None:
        context.usage = added(context.usage, usage)

    context = TaskContext(
        deadline_at=task.deadline_at,
        memory=memory,
        effects=effects,
        model=TaskModel(outside.model, rules or {}, effects, used, metrics, _teller(outside.partial_outputs, task)),
        payments=outside.payments,
        cancelled=cancelled or asyncio.Event(),
        logger=logging.LoggerAdapter(logger, names),
    )
    return context


def _teller(outputs: PartialOutputs | None, task: Task) -> Callable[[str], Teller] | None:
    if outputs is None:
        return None
    topic = Topic(tenant_id=task.tenant_id, subject_id=task.subject_id, task_id=task.task_id, attempt=task.attempt)
    return lambda operation: Teller(outputs, topic, operation)


class TenantMemory:
    """The part of a knowledge base that one tenant sees."""

    def __init__(self, knowledge: KnowledgeBase, tenant_id: str) -> None:
        self._knowledge = knowledge
        self._tenant_id = tenant_id

    async def search(self, query: str, limit: int = 5) -> list[Passage]:
        """See the port."""
        return await self._knowledge.search(self._tenant_id, query, limit)


async def attempt(agent: Agent, task: Task, context: TaskContext) -> TaskCommand:
    """The command that one attempt ends with, whatever the agent does."""
    started = time.monotonic()
    left = (task.deadline_at - datetime.now(UTC)).total_seconds()
    try:
        async with asyncio.timeout(max(left, 0)) as limit:
            result = _object(await agent.handle(task, context))
        took = time.monotonic() - started
        if limit.expired() or took >= left:
            return _timed_out(task)  # it would not be stopped: what it answers now is late all the same
        done = CompleteTask.model_validate({**_common(task), "result": result, "usage": context.usage, "duration_ms": round(took * 1000)})
        return _publishable(done)
    except TimeoutError as error:
        if limit.expired():
            return _timed_out(task)
        return _failed(task, context, error)
    except TaskFailed as error:
        return _failed(task, context, error, reason=error.reason, final=error.final)
    except EffectNeedsPerson as error:
        context.logger.warning("the attempt waits for a person: %s", error)
        return PauseTask(**_common(task), effect_id=error.effect_id, reason=str(error)[:MAX_REASON], usage=_used(context))
    except MeshError as error:  # of a model, a payment service, an effect: whoever raised it knows whether it would end the same again
        context.logger.warning("the attempt failed: %s: %s", type(error).__name__, error)
        return _failed(task, context, error, final=getattr(error, "final", False) is True)
    except Exception as error:
        context.logger.exception("the agent raised")
        return _failed(task, context, error)


def _timed_out(task: Task) -> TimeOutTask:
    """The scheduler says the same; whoever is first is heard."""
    return TimeOutTask(tenant_id=task.tenant_id, task_id=task.task_id, due_at=task.deadline_at)


def _failed(task: Task, context: TaskContext, error: Exception, *, reason: str = "", final: bool = False) -> FailTask:
    # Whatever an agent raises can be written: a failure that cannot be told would leave its task waiting for the deadline.
    said = (reason or str(error)).replace("\x00", "").encode("utf-8", "backslashreplace").decode().strip() or type(error).__name__
    return FailTask(**_common(task), error_type=type(error).__name__[:200], reason=said[:MAX_REASON], final=final, usage=_used(context))


def _used(context: TaskContext) -> ModelUsage | None:
    return context.usage if isinstance(context.usage, ModelUsage) else None


def _publishable(command: CompleteTask) -> CompleteTask:
    """The command, if the broker and the ledger of runs can hold it. Raises TaskFailed: another attempt would answer the same."""
    try:
        size = len(command.to_json())
    except (PydanticSerializationError, ValueError) as error:
        raise TaskFailed("the agent's result cannot be written as JSON in UTF-8", final=True) from error
    if size > MAX_RECORD_BYTES:
        raise TaskFailed(
            f"the agent's result has {size} bytes with its envelope, a command may have at most {MAX_RECORD_BYTES}", final=True
        )
    return command


def _object(result: object) -> Mapping[str, Any]:
    """The result as a JSON object. Raises TaskFailed for anything else: another attempt would answer the same."""
    try:
        given = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
        if isinstance(given, Mapping):
            return freeze_object(given)
    except (PydanticCustomError, PydanticSerializationError) as error:
        raise TaskFailed(f"the agent's result is no JSON object: {error}"[:MAX_REASON], final=True) from error
    raise TaskFailed(f"the agent answered {type(result).__name__}, which is no JSON object", final=True)


def _common(task: Task) -> dict[str, Any]:
    return {"tenant_id": task.tenant_id, "task_id": task.task_id, "agent_id": task.agent_id, "attempt": task.attempt}


def envelope_of(result: RunResult, task: Task, assigned: RecordedEvent, source: str, traceparent: str | None = None) -> Metadata:
    """The headers of a run's command, below the span of the run where one is given."""
    return envelope(result.command, task, result.what, assigned, source, traceparent)
