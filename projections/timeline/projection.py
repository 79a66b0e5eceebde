"""Events of `requests` and `tasks` in, rows of the table `timeline` out; pure, run by the projections worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.envelope import RecordedEvent
from contracts.message import Event
from contracts.requests import events as requests
from contracts.tasks import events as tasks
from infra.read_models.base import Insert, ReadModel, RowChange, Table

TABLE = "timeline"
COLUMNS = {
    "stream_id": "text",
    "context": "text",
    "version": "bigint",
    "tenant_id": "text",
    "position": "bigint",
    "request_id": "text",
    "at": "timestamptz",
    "event": "text",
    "task_type": "text",
    "attempt": "integer",
    "agent_id": "text",
    "by": "text",
    "outcome": "text",
    "what": "text",
    "duration_ms": "bigint",
    "model": "text",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "cost": "text",
    "trace_id": "text",
}
NO_TASK: Mapping[str, Any] = dict.fromkeys(
    ("task_type", "attempt", "agent_id", "outcome", "duration_ms", "model", "input_tokens", "output_tokens", "cost")
)
NO_USAGE: Mapping[str, Any] = dict.fromkeys(("model", "input_tokens", "output_tokens", "cost"))
FIRST_ATTEMPT = 1
SAMPLED = 0x01


def _triaged(event: requests.RequestTriaged) -> str:
    return f"{event.assigned_category}, priority {event.assigned_priority:d}, confidence {event.confidence:g}"


def _reasons(event: requests.RequestEscalated | requests.ApprovalRequested) -> str:
    return ", ".join(event.reasons)


def _reason(event: Any) -> str | None:
    text: str | None = event.reason
    return text


# What happened, in words, where the name of the event does not say it all.
WHAT: Mapping[type[Event], Callable[[Any], str | None]] = {
    requests.RequestTriaged: _triaged,
    requests.RequestEscalated: _reasons,
    requests.RequestReviewed: lambda event: f"tier {event.customer_tier}",
    requests.ApprovalRequested: _reasons,
    requests.ApprovedInAdvance: _reason,
    requests.RequestApproved: _reason,
    requests.RequestRejected: _reason,
    requests.ApprovalDelegated: lambda event: f"to {event.delegated_to}",
    requests.InformationRequested: lambda event: str(event.question),
    requests.InformationGiven: lambda event: str(event.answer),
    requests.RequestFailed: _reason,
    requests.RequestDeleted: _reason,
    tasks.TaskPaused: _reason,
    tasks.TaskReassigned: _reason,
    tasks.TaskCancelled: _reason,
    tasks.TaskCompleted: _reason,
}


def request_row(recorded: RecordedEvent, event: requests.RequestEvent) -> Sequence[RowChange]:
    """An event of the request itself."""
    return (Insert(TABLE, {**_common(recorded, event), "request_id": event.request_id, **NO_TASK}),)


def task_row(recorded: RecordedEvent, event: tasks.TaskEvent) -> Sequence[RowChange]:
    """An event of one of its tasks, as one without attempt, agent and usage."""
    return (_task_row(recorded, event, attempt=FIRST_ATTEMPT, agent_id=None),)


def attempt_row(
    recorded: RecordedEvent, event: tasks.TaskAssigned | tasks.TaskStarted | tasks.TaskTimedOut | tasks.TaskCancelled
) -> Sequence[RowChange]:
    """The attempt and who has it."""
    return (_task_row(recorded, event, attempt=event.attempt, agent_id=event.agent_id),)


def paused_row(recorded: RecordedEvent, event: tasks.TaskPaused) -> Sequence[RowChange]:
    """The attempt that is over without an end, and what it used."""
    return (_task_row(recorded, event, attempt=event.attempt, agent_id=event.agent_id, **_usage(event)),)


def reassigned_row(recorded: RecordedEvent, event: tasks.TaskReassigned) -> Sequence[RowChange]:
    """The attempt that is over, and what it used."""
    return (_task_row(recorded, event, attempt=event.attempt - 1, agent_id=event.agent_id, **_usage(event)),)


def completed_row(recorded: RecordedEvent, event: tasks.TaskCompleted) -> Sequence[RowChange]:
    """How the task ended, how long the agent worked, what that used."""
    ended = {"attempt": event.attempt, "agent_id": event.agent_id, "outcome": event.outcome.value, "duration_ms": event.duration_ms}
    return (_task_row(recorded, event, **ended, **_usage(event)),)


def _task_row(recorded: RecordedEvent, event: tasks.TaskEvent, **known: Any) -> Insert:
    about = {"request_id": event.subject_id, "task_type": event.task_type, "outcome": None, "duration_ms": None, **NO_USAGE}
    return Insert(TABLE, {**_common(recorded, event), **about, **known})


def _common(recorded: RecordedEvent, event: Event) -> dict[str, Any]:
    metadata = recorded.metadata
    what = WHAT.get(type(event))
    return {
        "stream_id": metadata.subject,
        "context": recorded.context,
        "version": recorded.sequence,
        "tenant_id": metadata.tenant_id,
        "position": recorded.position,
        "at": datetime.fromisoformat(metadata.time),
        "event": type(event).__name__,
        "by": metadata.auth_id,
        "what": None if what is None else what(event),
        "trace_id": _recorded_trace(metadata.traceparent),
    }


def _recorded_trace(traceparent: str | None) -> str | None:
    """The trace id of a `traceparent`, where its flags say that the trace is recorded; the envelope has checked its form."""
    if traceparent is None or not int(traceparent[53:55], 16) & SAMPLED:
        return None
    return traceparent[3:35]


def _usage(event: tasks.TaskPaused | tasks.TaskReassigned | tasks.TaskCompleted) -> Mapping[str, Any]:
    usage = event.usage
    if usage is None:
        return NO_USAGE
    return {
        "model": usage.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost": f"{usage.cost:f}",
    }


TIMELINE = ReadModel(
    name="timeline",
    version=3,
    gathers=True,
    contexts=("requests", "tasks"),
    package="projections.timeline",
    tables=(Table(TABLE, key=("stream_id", "context", "version"), columns=COLUMNS, append_only=True),),
    project={
        **dict.fromkeys(requests.EVENTS, request_row),
        tasks.TaskQueued: task_row,
        tasks.TaskAssigned: attempt_row,
        tasks.TaskStarted: attempt_row,
        tasks.TaskTimedOut: attempt_row,
        tasks.TaskCancelled: attempt_row,
        tasks.TaskPaused: paused_row,
        tasks.TaskReassigned: reassigned_row,
        tasks.TaskCompleted: completed_row,
    },
)
