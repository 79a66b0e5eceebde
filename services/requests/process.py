"""The process manager of requests: events of requests and tasks in, the next commands out; pure, run by `agentmesh run requests-process`.

RequestCreated → task triage → TriageRequest → StartResearch → task research → task resolution → CompleteRequest. Whatever ends without
success fails the request, so that none is stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from contracts.envelope import RecordedEvent
from contracts.fields import MAX_REASON_CHARACTERS
from contracts.ids import RequestId, TaskId, TenantId, derived_uuid
from contracts.message import Command
from contracts.rejections import CommandRejected
from contracts.requests.commands import CompleteRequest, FailRequest, StartResearch, TriageRequest
from contracts.requests.events import RequestCreated, RequestTriaged, ResearchStarted
from contracts.requests.values import Priority
from contracts.tasks.commands import RequestTask
from contracts.tasks.events import TaskCompleted
from contracts.tasks.values import Requirement, TaskOutcome
from contracts.topics import MAX_RECORD_BYTES
from infra.process_managers.base import COMMAND_IDS, ProcessManager, Reaction

TRIAGE, RESEARCH, RESOLUTION = "triage", "research", "resolution"


def task_of(request_id: str, step: str) -> TaskId:
    """The task of a step of a request: always the same, so that asking twice is asking once."""
    return TaskId(f"task-{derived_uuid(COMMAND_IDS, f'{request_id}/{step}')}")


def _task(tenant_id: str, request_id: str, step: str, priority: Priority, known: Mapping[str, Any]) -> RequestTask:
    return RequestTask.model_validate(
        {
            "tenant_id": tenant_id,
            "task_id": task_of(request_id, step),
            "task_type": step,
            "kind": step,
            "subject_id": request_id,
            "requirements": (Requirement(name=step),),
            "priority": priority,
            "input": known,
        }
    )


def ask_for_triage(_: RecordedEvent, event: RequestCreated) -> Sequence[Command]:
    """A new request is triaged first."""
    known = {
        "message": event.message,
        "category": None if event.category is None else event.category.value,
        "priority": int(event.priority),
        "metadata": event.metadata,
    }
    return (_task(event.tenant_id, event.request_id, TRIAGE, event.priority, known),)


def start_research(_: RecordedEvent, event: RequestTriaged) -> Sequence[Command]:
    """Triaged: the research begins."""
    return (StartResearch(tenant_id=event.tenant_id, request_id=event.request_id),)


def ask_for_research(_: RecordedEvent, event: ResearchStarted) -> Sequence[Command]:
    """The research is an agent's work."""
    known = {
        "message": event.message,
        "category": None if event.category is None else event.category.value,
        "priority": int(event.priority),
        "metadata": event.metadata,
    }
    return (_task(event.tenant_id, event.request_id, RESEARCH, event.priority, known),)


def _triaged(event: TaskCompleted, request_id: RequestId) -> Command:
    result = event.result
    return TriageRequest.model_validate(
        {
            "tenant_id": event.tenant_id,
            "request_id": request_id,
            **{name: result.get(name) for name in ("category", "priority", "confidence", "reason")},
        }
    )


def _researched(event: TaskCompleted, request_id: RequestId) -> Command:
    """What was found goes to the agent that answers; its result says for which message and how urgent."""
    return _task(event.tenant_id, request_id, RESOLUTION, Priority(event.result.get("priority", Priority.MEDIUM)), event.result)


def _resolved(event: TaskCompleted, request_id: RequestId) -> Command:
    return CompleteRequest.model_validate(
        {"tenant_id": event.tenant_id, "request_id": request_id, "resolution": event.result.get("resolution")}
    )


NEXT: Mapping[str, Callable[[TaskCompleted, RequestId], Command]] = {TRIAGE: _triaged, RESEARCH: _researched, RESOLUTION: _resolved}


def record_result(_: RecordedEvent, event: TaskCompleted) -> Sequence[Command]:
    """A step is over: the next one, or the end. A result that is none fails the request, as its schema says why."""
    next_step = NEXT.get(event.task_type)
    request_id = RequestId(event.subject_id)
    if next_step is None or event.task_id != task_of(event.subject_id, event.task_type):
        return ()  # somebody else's task
    if event.outcome is not TaskOutcome.SUCCESS:
        reason = f"The task {event.task_type} ended with {event.outcome.value}: {event.reason or 'its deadline passed'}."
        return (_failure(event.tenant_id, request_id, reason),)
    try:
        command = next_step(event, request_id)
    except ValueError as error:  # pydantic's errors are such
        reason = f"The result of the task {event.task_type} cannot be used: {type(error).__name__}."
        return (_failure(event.tenant_id, request_id, reason),)
    # The refusal of a task names the task alone, so what would be refused for its size has to be seen here, where the request is known.
    if len(command.to_json()) > MAX_RECORD_BYTES:
        reason = f"The result of the task {event.task_type} is too large for the next step."
        return (_failure(event.tenant_id, request_id, reason),)
    return (command,)


def give_up(_: RecordedEvent, event: CommandRejected) -> Sequence[Command]:
    """A step was refused for what it says, not for when it came: nothing can bring the request on."""
    if event.code != "VALIDATION_ERROR":
        return ()
    reason = f"{event.command_type.split('.')[2]} was refused: {event.message}"
    return (_failure(event.tenant_id, RequestId(event.refused_id), reason),)


def _failure(tenant_id: TenantId, request_id: RequestId, reason: str) -> FailRequest:
    """What others said may be as long as a reason can be, and is told behind words of ours."""
    return FailRequest(tenant_id=tenant_id, request_id=request_id, reason=reason[:MAX_REASON_CHARACTERS])


PROCESS = ProcessManager(
    name="requests-process",
    contexts=("requests", "tasks"),
    reactions={
        RequestCreated: (Reaction("ask-for-triage", ask_for_triage),),
        RequestTriaged: (Reaction("start-research", start_research),),
        ResearchStarted: (Reaction("ask-for-research", ask_for_research),),
        TaskCompleted: (Reaction("record-result", record_result),),
    },
    commanded=("requests", "tasks"),
    on_rejection={
        TriageRequest.type_name: Reaction("give-up", give_up),
        CompleteRequest.type_name: Reaction("give-up", give_up),
    },
)
