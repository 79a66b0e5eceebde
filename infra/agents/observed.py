"""Puts a span and the metrics of a run around an attempt: how long it took, how it ended, of what kind its error was; for agent hosts."""

from __future__ import annotations

import time

from opentelemetry.trace import Span, Status, StatusCode

from contracts.tasks.commands import CompleteTask, FailTask, PauseTask, TaskCommand
from contracts.tasks.values import ModelUsage, TaskOutcome
from infra.agents.base import Agent, Task, TaskContext
from infra.agents.run import attempt
from infra.models.base import RULE_BASED
from infra.telemetry import names
from infra.telemetry.bounded import exemplar
from infra.telemetry.metrics import Metrics
from infra.telemetry.telemetry import Telemetry
from infra.telemetry.tracing import Attribute, child_traceparent

TIMED_OUT, PAUSED = "Timeout", "EffectNeedsPerson"


class ObservedAttempt:
    """Makes one attempt, as `attempt` does. A run that is called off is timed, and counts as no outcome."""

    def __init__(self, telemetry: Telemetry, topic: str, traceparent: str | None) -> None:
        self._telemetry = telemetry
        self._topic = topic
        self.traceparent = traceparent
        """What the command that ends the attempt is to be traced under: the span of the attempt, once there is one."""

    async def __call__(self, agent: Agent, task: Task, context: TaskContext) -> TaskCommand:
        """The command that the attempt ends with; its span is the child of the assignment's trace."""
        self._begin_at_0(task)
        known: dict[str, Attribute] = {
            names.TASK_ID: task.task_id,
            names.TASK_ATTEMPT: task.attempt,
            names.GEN_AI_OPERATION_NAME: names.GEN_AI_INVOKE_AGENT,
            names.GEN_AI_AGENT_ID: task.agent_id,
            names.GEN_AI_AGENT_NAME: agent.kind,
        }
        tracing = self._telemetry.tracing
        span = tracing.message_span(names.OPERATION_PROCESS, self._topic, self.traceparent, known, name=task.task_type)
        started = time.perf_counter()
        with span as recorded:
            self.traceparent = child_traceparent(recorded, self.traceparent)
            try:
                command = await attempt(agent, task, context)
            finally:
                self._timed(agent, task, time.perf_counter() - started)
            if isinstance(context.usage, ModelUsage) and context.usage.model != RULE_BASED:
                recorded.set_attribute(names.GEN_AI_REQUEST_MODEL, context.usage.model)
            self._ended(agent, task, command, recorded)
        return command

    def _begin_at_0(self, task: Task) -> None:
        """With the first run of an agent it is known how its runs can end."""
        for outcome in TaskOutcome:
            self._telemetry.metrics.tasks_completed_total.labels(agent_id=task.agent_id, status=outcome.value)

    def _timed(self, agent: Agent, task: Task, seconds: float) -> None:
        metrics = self._telemetry.metrics
        trace = exemplar()
        metrics.task_execution_seconds.labels(agent_id=task.agent_id, task_type=task.task_type).observe(seconds, trace)
        metrics.agent_execution_duration_seconds.labels(agent_type=agent.kind).observe(seconds, trace)

    def _ended(self, agent: Agent, task: Task, command: TaskCommand, span: Span) -> None:
        outcome, error_type = ending(command)
        metrics = self._telemetry.metrics
        metrics.tasks_completed_total.labels(agent_id=task.agent_id, status=outcome.value).inc()
        if error_type is not None:
            metrics.agent_execution_errors_total.labels(agent_type=agent.kind, error_type=error_type).inc()
            span.set_attribute(names.ERROR_TYPE, error_type)
            span.set_status(Status(StatusCode.ERROR, error_type))


def begin_at_0(metrics: Metrics, kind: str) -> None:
    """What is counted of a kind of agents is there before its first run."""
    metrics.agent_execution_duration_seconds.labels(agent_type=kind)
    metrics.agent_execution_errors_total.labels(agent_type=kind, error_type=TIMED_OUT)


def ending(command: TaskCommand) -> tuple[TaskOutcome, str | None]:
    """How an attempt ended, and the kind of its error."""
    if isinstance(command, CompleteTask):
        return TaskOutcome.SUCCESS, None
    if isinstance(command, FailTask):
        return TaskOutcome.FAILURE, command.error_type
    if isinstance(command, PauseTask):
        return TaskOutcome.FAILURE, PAUSED
    return TaskOutcome.TIMEOUT, TIMED_OUT
