"""The state of a customer request and how it follows from its events: state and event in, next state out; pure, run by the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.customers.values import CustomerTier
from contracts.ids import CustomerId, RequestId, TaskId, TenantId, ThreadId, derived_uuid
from contracts.json_object import EMPTY, JsonObject
from contracts.money import Money
from contracts.requests.events import (
    ApprovalDelegated,
    ApprovalEscalated,
    ApprovalExpired,
    ApprovalNotRequired,
    ApprovalReminded,
    ApprovalRequested,
    ApprovedInAdvance,
    InformationGiven,
    InformationRequested,
    ProcessingStarted,
    RequestApproved,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestEscalated,
    RequestEvent,
    RequestFailed,
    RequestRejected,
    RequestReviewed,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)
from contracts.requests.values import Category, EscalationReason, Priority, RequestStatus

TRIAGE, RESEARCH, RESOLUTION = "triage", "research", "resolution"

# The namespace of derived task ids. Never changes: asking again across a release must lead to the same task.
TASK_IDS = UUID("6f4f2f0e-6d3c-5b53-9a3e-2f6f0f6b7c11")


def task_of(request_id: str, step: str, command_id: str | None = None) -> TaskId:
    """The task of a step of a request, always the same, so that asking twice is asking once; one for each command that starts the step."""
    name = f"{request_id}/{step}" if command_id is None else f"{request_id}/{step}/{command_id}"
    return TaskId(f"task-{derived_uuid(TASK_IDS, name)}")


class AdvanceApproval(BaseModel):
    """An approval that was given before it was asked for (REQ-26)."""

    model_config = ConfigDict(frozen=True)

    approved_by: str
    reason: str | None
    financial_impact: Money | None


class Approval(BaseModel):
    """An approval that is waited for: who may give it, and what comes when. A moment that has been is None."""

    model_config = ConfigDict(frozen=True)

    four_eyes: bool
    approvers: tuple[str, ...]
    requested_at: AwareDatetime | None = None
    delegated_to: str | None = None
    question_open: bool = False
    remind_at: AwareDatetime | None
    escalate_at: AwareDatetime | None
    expires_at: AwareDatetime | None


class Request(BaseModel):
    """A request as its events made it. Frozen: a transition is a new value, and only `evolve` makes one."""

    model_config = ConfigDict(frozen=True)

    request_id: RequestId
    tenant_id: TenantId
    customer_id: CustomerId
    thread_id: ThreadId
    message: str
    priority: Priority
    category: Category | None
    status: RequestStatus
    created_at: AwareDatetime
    metadata: JsonObject = EMPTY
    confidence_score: float | None = None
    resolution: str | None = None
    customer_tier: CustomerTier | None = None
    """The tier that the last decision knew."""
    escalation_reasons: tuple[EscalationReason, ...] = ()
    task_id: TaskId | None
    """The task of the step that is under way; None between steps."""
    workflow_started_at: AwareDatetime
    approval_not_required: bool = False
    """The policies want no person to decide, and the resolution is under way."""
    findings: JsonObject = EMPTY
    """What the research found, while an approval is waited for or may still become necessary."""
    approval: Approval | None = None
    advance_approval: AdvanceApproval | None = None
    approved_by: str | None = None
    participants: tuple[str, ...] = ()
    """Who created, changed, or informed about it: with four eyes, none of them decides."""


class UnexpectedEvent(Exception):
    """The stream holds an event that cannot follow on this state: a defect, never a refusal."""


def evolve(request: Request | None, event: RequestEvent) -> Request:
    """The state after the event. Raises UnexpectedEvent for an event that this code does not know, or that comes out of order."""
    if request is None:
        if isinstance(event, RequestCreated):
            return _created(event)
        raise UnexpectedEvent(f"{type(event).__name__} is the first event of its stream")
    change = _CHANGES.get(type(event))
    if change is None:
        raise UnexpectedEvent(f"{type(event).__name__} cannot follow in the stream of a request")
    return request.model_copy(update=change(request, event))


Changes = dict[str, Any]


def _created(event: RequestCreated) -> Request:
    return Request(
        request_id=event.request_id,
        tenant_id=event.tenant_id,
        customer_id=event.customer_id,
        thread_id=event.thread_id,
        message=event.message,
        priority=event.priority,
        category=event.category,
        status=RequestStatus.PENDING,
        created_at=event.created_at,
        metadata=event.metadata,
        task_id=task_of(event.request_id, TRIAGE),
        workflow_started_at=event.created_at,
        participants=() if event.created_by is None else (event.created_by,),
    )


def _processing_started(_: Request, event: ProcessingStarted) -> Changes:
    return {"task_id": event.task_id, "workflow_started_at": event.started_at}


def _triaged(request: Request, event: RequestTriaged) -> Changes:
    return {
        "status": RequestStatus.TRIAGED,
        "category": event.assigned_category,
        "priority": event.assigned_priority,
        "confidence_score": event.confidence,
        "customer_tier": event.customer_tier or request.customer_tier,
        "task_id": None,
    }


def _escalated(request: Request, event: RequestEscalated) -> Changes:
    return {"escalation_reasons": tuple(dict.fromkeys((*request.escalation_reasons, *event.reasons)))}


def _reviewed(_: Request, event: RequestReviewed) -> Changes:
    return {"customer_tier": event.customer_tier}


def _research_started(request: Request, event: ResearchStarted) -> Changes:
    # Before the event named its task there was one research task for each request.
    return {"status": RequestStatus.IN_PROGRESS, "task_id": event.task_id or task_of(request.request_id, RESEARCH)}


def _updated(request: Request, event: RequestUpdated) -> Changes:
    fields = {"message": event.message, "priority": event.priority, "category": event.category, "metadata": event.metadata}
    changes: Changes = {name: value for name, value in fields.items() if value is not None}
    return changes | _with_participant(request, event.updated_by)


def _with_participant(request: Request, actor: str | None) -> Changes:
    if actor is None or actor in request.participants:
        return {}
    return {"participants": (*request.participants, actor)}


def _approval_not_required(_: Request, event: ApprovalNotRequired) -> Changes:
    return {
        "approval_not_required": True,
        "customer_tier": event.customer_tier,
        "task_id": event.task_id,
        "findings": event.findings,
    }


def _approval_requested(_: Request, event: ApprovalRequested) -> Changes:
    approval = Approval(
        four_eyes=event.four_eyes,
        approvers=event.approvers,
        requested_at=event.requested_at,
        remind_at=event.remind_at,
        escalate_at=event.escalate_at,
        expires_at=event.expires_at,
    )
    return {
        "status": RequestStatus.AWAITING_APPROVAL,
        "approval": approval,
        "approval_not_required": False,
        "customer_tier": event.customer_tier,
        "task_id": None,
        "findings": event.findings,
    }


def _approved_in_advance(_: Request, event: ApprovedInAdvance) -> Changes:
    given = AdvanceApproval(approved_by=event.approved_by, reason=event.reason, financial_impact=event.financial_impact)
    return {"advance_approval": given}


def _approved(_: Request, event: RequestApproved) -> Changes:
    return {
        "status": RequestStatus.APPROVED,
        "approved_by": event.approved_by,
        "approval": None,
        "task_id": event.task_id,
        "findings": EMPTY,
    }


def _of_approval(request: Request, **changes: Any) -> Changes:
    if request.approval is None:
        raise UnexpectedEvent(f"nobody waits for an approval of a request that is {request.status.value}")
    return {"approval": request.approval.model_copy(update=changes)}


def _delegated(request: Request, event: ApprovalDelegated) -> Changes:
    return _of_approval(request, delegated_to=event.delegated_to)


def _asked(request: Request, _: InformationRequested) -> Changes:
    return _of_approval(request, question_open=True)


def _answered(request: Request, event: InformationGiven) -> Changes:
    return _of_approval(request, question_open=False) | _with_participant(request, event.given_by)


def _reminded(request: Request, _: ApprovalReminded) -> Changes:
    return _of_approval(request, remind_at=None)


def _approval_escalated(request: Request, _: ApprovalEscalated) -> Changes:
    return _of_approval(request, escalate_at=None)


def _expired(request: Request, _: ApprovalExpired) -> Changes:
    return _of_approval(request, expires_at=None)


def _ended(status: RequestStatus) -> Changes:
    return {"status": status, "task_id": None, "approval": None, "findings": EMPTY}


def _rejected(_: Request, __: RequestRejected) -> Changes:
    return _ended(RequestStatus.REJECTED)


def _completed(_: Request, event: RequestCompleted) -> Changes:
    return _ended(RequestStatus.COMPLETED) | {"resolution": event.resolution}


def _failed(_: Request, __: RequestFailed) -> Changes:
    return _ended(RequestStatus.FAILED)


def _deleted(_: Request, __: RequestDeleted) -> Changes:
    return _ended(RequestStatus.DELETED)


_CHANGES: Mapping[type[RequestEvent], Callable[[Request, Any], Changes]] = {
    ProcessingStarted: _processing_started,
    RequestTriaged: _triaged,
    RequestEscalated: _escalated,
    RequestReviewed: _reviewed,
    ResearchStarted: _research_started,
    RequestUpdated: _updated,
    ApprovalNotRequired: _approval_not_required,
    ApprovalRequested: _approval_requested,
    ApprovedInAdvance: _approved_in_advance,
    RequestApproved: _approved,
    RequestRejected: _rejected,
    ApprovalDelegated: _delegated,
    InformationRequested: _asked,
    InformationGiven: _answered,
    ApprovalReminded: _reminded,
    ApprovalEscalated: _approval_escalated,
    ApprovalExpired: _expired,
    RequestCompleted: _completed,
    RequestFailed: _failed,
    RequestDeleted: _deleted,
}
