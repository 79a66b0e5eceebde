"""The process manager of requests: events of requests and tasks in, the next commands out; pure, run by `agentmesh run requests-process`.

RequestCreated → task triage → TriageRequest → StartResearch → task research → RequireApproval → task resolution → CompleteRequest, with a
person between the last two where the policies want one. Whatever ends without success fails the request, so that none is stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from contracts.envelope import RecordedEvent
from contracts.fields import MAX_REASON_CHARACTERS
from contracts.ids import RequestId, TaskId, TenantId
from contracts.message import Command
from contracts.rejections import CommandRejected
from contracts.requests.commands import CompleteRequest, FailRequest, RequireApproval, StartResearch, StepCommand, TriageRequest
from contracts.requests.events import (
    ApprovalNotRequired,
    ApprovalRequested,
    ProcessingStarted,
    RequestApproved,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestEvent,
    RequestFailed,
    RequestTriaged,
    ResearchStarted,
)
from contracts.requests.values import Category, Priority
from contracts.tasks.commands import CancelTask, RequestTask
from contracts.tasks.events import TaskCompleted
from contracts.tasks.values import DEFAULT_TIME_LIMIT_SECONDS, Requirement, TaskOutcome
from contracts.topics import MAX_RECORD_BYTES
from infra.process_managers.base import ProcessManager, Reaction
from services.requests.domain import RESEARCH, RESOLUTION, TRIAGE, task_of


@dataclass(frozen=True, slots=True)
class Step:
    """The strategy behind a step of the workflow (REQ-11, REQ-38): which agents do it, and how long one may take."""

    task_type: str
    kind: str
    requirements: tuple[Requirement, ...] = ()
    time_limit_seconds: int = DEFAULT_TIME_LIMIT_SECONDS


STEPS: Mapping[str, Step] = MappingProxyType({name: Step(name, name, (Requirement(name=name),)) for name in (TRIAGE, RESEARCH, RESOLUTION)})
"""The strategies of this release: the agents of `services/support_agents`, or any others of these kinds."""


@dataclass(frozen=True)
class RequestProcess:
    """The reactions of the workflow, over the strategies of its steps, which a deployment may exchange. It keeps no state."""

    steps: Mapping[str, Step] = field(default_factory=lambda: STEPS)

    def manager(self) -> ProcessManager:
        """The process manager as data."""
        return ProcessManager(
            name="requests-process",
            contexts=("requests", "tasks"),
            reactions={
                RequestCreated: (Reaction("ask-for-triage", self.ask_for_triage),),
                ProcessingStarted: (Reaction("ask-for-triage-again", self.ask_for_triage_again),),
                RequestTriaged: (Reaction("start-research", start_research), Reaction("stop-step", stop_step)),
                ResearchStarted: (Reaction("ask-for-research", self.ask_for_research),),
                ApprovalNotRequired: (Reaction("ask-for-resolution", self.ask_for_resolution),),
                ApprovalRequested: (Reaction("stop-step", stop_step),),
                RequestApproved: (Reaction("ask-for-resolution", self.ask_for_approved_resolution),),
                RequestCompleted: (Reaction("stop-step", stop_step),),
                RequestFailed: (Reaction("stop-step", stop_step),),
                RequestDeleted: (Reaction("stop-step", stop_step),),
                TaskCompleted: (Reaction("record-result", self.record_result),),
            },
            commanded=("requests", "tasks"),
            on_rejection={
                RequestTask.type_name: Reaction("give-up-task", give_up_task),
                TriageRequest.type_name: Reaction("give-up", give_up),
                RequireApproval.type_name: Reaction("give-up", give_up),
                CompleteRequest.type_name: Reaction("give-up", give_up),
                # Refused for when they came, and then something else has the request: nothing to do.
                StartResearch.type_name: Reaction("leave", leave),
                FailRequest.type_name: Reaction("leave", leave),
                CancelTask.type_name: Reaction("leave", leave),
            },
            spans={RequestCreated: "process_request"},
        )

    def ask_for_triage(self, _: RecordedEvent, event: RequestCreated) -> Sequence[Command]:
        """A new request is triaged first."""
        return (self._task(TRIAGE, event, task_of(event.request_id, TRIAGE), event.priority, _known(event)),)

    def ask_for_triage_again(self, _: RecordedEvent, event: ProcessingStarted) -> Sequence[Command]:
        """A request whose workflow was started again is triaged by a new task; the old one is not waited for any more."""
        asked = self._task(TRIAGE, event, event.task_id, event.priority, _known(event))
        return (asked, *_cancelled(event, event.replaces, "The workflow was started again."))

    def ask_for_research(self, _: RecordedEvent, event: ResearchStarted) -> Sequence[Command]:
        """The research is an agent's work."""
        task_id = event.task_id or task_of(event.request_id, RESEARCH)
        return (self._task(RESEARCH, event, task_id, event.priority, _known(event)),)

    def ask_for_resolution(self, _: RecordedEvent, event: ApprovalNotRequired) -> Sequence[Command]:
        """Nobody has to approve: the answer is an agent's work."""
        return (self._task(RESOLUTION, event, event.task_id, event.priority, _resolvable(event)),)

    def ask_for_approved_resolution(self, _: RecordedEvent, event: RequestApproved) -> Sequence[Command]:
        """Approved: the answer, and the refund where it is one of a known amount, are an agent's work."""
        known = _resolvable(event)
        if event.category is Category.REFUND and event.financial_impact is not None:
            known["refund"] = {"amount": format(event.financial_impact.amount, "f"), "currency": event.financial_impact.currency}
        return (self._task(RESOLUTION, event, event.task_id, event.priority, known),)

    def record_result(self, _: RecordedEvent, event: TaskCompleted) -> Sequence[Command]:
        """A step is over: its result goes to the request, which knows whether it waits for it. What is no result fails the request."""
        record = next((RECORD[name] for name, step in self.steps.items() if step.task_type == event.task_type), None)
        if record is None:
            return ()  # somebody else's task
        if event.outcome is not TaskOutcome.SUCCESS:
            kind = "" if event.error_type is None else f" ({event.error_type})"
            reason = f"The task {event.task_type} ended with {event.outcome.value}: {event.reason or 'its deadline passed'}{kind}."
            return (_failure(event.tenant_id, event.subject_id, event.task_id, reason),)
        try:
            command = record(event)
        except ValueError as error:  # pydantic's errors are such
            reason = f"The result of the task {event.task_type} cannot be used: {type(error).__name__}."
            return (_failure(event.tenant_id, event.subject_id, event.task_id, reason),)
        if len(command.to_json()) > MAX_RECORD_BYTES:
            reason = f"The result of the task {event.task_type} is too large for the next step."
            return (_failure(event.tenant_id, event.subject_id, event.task_id, reason),)
        return (command,)

    def _task(self, name: str, event: RequestEvent, task_id: TaskId, priority: Priority, known: Mapping[str, Any]) -> Command:
        """The task of a step, or the request's failure where it cannot be asked for: its refusal would not say whose it was."""
        step = self.steps[name]
        fields = {
            "tenant_id": event.tenant_id,
            "task_id": task_id,
            "task_type": step.task_type,
            "kind": step.kind,
            "subject_id": event.request_id,
            "requirements": step.requirements,
            "priority": priority,
            "input": known,
            "time_limit_seconds": step.time_limit_seconds,
        }
        try:
            command = RequestTask.model_validate(fields)
        except ValueError as error:
            reason = f"The task {step.task_type} cannot be asked for: {type(error).__name__}."
            return _failure(event.tenant_id, event.request_id, task_id, reason)
        if len(command.to_json()) > MAX_RECORD_BYTES:
            reason = f"What the task {step.task_type} needs to know is too large for it."
            return _failure(event.tenant_id, event.request_id, task_id, reason)
        return command


def _known(event: RequestCreated | ProcessingStarted | ResearchStarted | ApprovalNotRequired | RequestApproved) -> dict[str, Any]:
    """What an agent is told of the request itself."""
    return {
        "message": event.message,
        "category": None if event.category is None else event.category.value,
        "priority": int(event.priority),
        "metadata": event.metadata,
    }


def _resolvable(event: ApprovalNotRequired | RequestApproved) -> dict[str, Any]:
    """What the agent that answers is told: the research's result, under what the request itself says. Only an approval brings a refund."""
    found = {name: value for name, value in event.findings.items() if name != "refund"}
    return {**found, **_known(event), "request_id": event.request_id, "customer_id": event.customer_id}


def start_research(_: RecordedEvent, event: RequestTriaged) -> Sequence[Command]:
    """Triaged: the research begins."""
    return (StartResearch(tenant_id=event.tenant_id, request_id=event.request_id),)


def stop_step(
    _: RecordedEvent, event: RequestTriaged | ApprovalRequested | RequestCompleted | RequestFailed | RequestDeleted
) -> Sequence[Command]:
    """The step that was under way is not wanted any more."""
    return _cancelled(event, event.stopped_task_id, f"{type(event).__name__}: the result is not waited for any more.")


def _cancelled(event: RequestEvent, task_id: TaskId | None, reason: str) -> Sequence[Command]:
    return () if task_id is None else (CancelTask(tenant_id=event.tenant_id, task_id=task_id, reason=reason),)


def _step_result(event: TaskCompleted, **result: Any) -> dict[str, Any]:
    return {"tenant_id": event.tenant_id, "request_id": event.subject_id, "task_id": event.task_id, **result}


def _triaged(event: TaskCompleted) -> StepCommand:
    result = {name: event.result.get(name) for name in ("category", "priority", "confidence", "reason")}
    return TriageRequest.model_validate(_step_result(event, **result))


def _researched(event: TaskCompleted) -> StepCommand:
    return RequireApproval.model_validate(_step_result(event, findings=event.result))


def _resolved(event: TaskCompleted) -> StepCommand:
    return CompleteRequest.model_validate(_step_result(event, resolution=event.result.get("resolution")))


RECORD: Mapping[str, Callable[[TaskCompleted], StepCommand]] = {TRIAGE: _triaged, RESEARCH: _researched, RESOLUTION: _resolved}


def give_up(_: RecordedEvent, event: CommandRejected) -> Sequence[Command]:
    """A step was refused for what it says, not for when it came: nothing can bring the request on."""
    if event.code not in ("VALIDATION_ERROR", "TOO_LARGE"):
        return ()
    reason = f"{event.command_type.split('.')[2]} was refused: {event.message}"
    return (_failure(event.tenant_id, event.refused_id, None, reason),)


def give_up_task(_: RecordedEvent, event: CommandRejected) -> Sequence[Command]:
    """The task of a step was refused, which says whose it was: its request has nobody who works on it."""
    request_id, task_type = event.details.get("subject_id"), event.details.get("task_type")
    if not isinstance(request_id, str) or not isinstance(task_type, str):
        return ()
    return (_failure(event.tenant_id, request_id, TaskId(event.refused_id), f"The task {task_type} was refused: {event.message}"),)


def leave(_: RecordedEvent, __: CommandRejected) -> Sequence[Command]:
    """Nothing follows."""
    return ()


def _failure(tenant_id: TenantId, request_id: str, task_id: TaskId | None, reason: str) -> FailRequest:
    """What others said may be as long as a reason can be, and is told behind words of ours."""
    return FailRequest(tenant_id=tenant_id, request_id=RequestId(request_id), task_id=task_id, reason=reason[:MAX_REASON_CHARACTERS])


PROCESS = RequestProcess().manager()
