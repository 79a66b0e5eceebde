"""Decisions on the way of a request from creation to its end; state, command and context in, events or a refusal out."""

from __future__ import annotations

from uuid import NAMESPACE_OID

from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.ids import RequestId, ThreadId, derived_uuid
from contracts.requests.commands import (
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    FailRequest,
    ProcessRequest,
    StartResearch,
    TriageRequest,
)
from contracts.requests.events import (
    ProcessingStarted,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestFailed,
    RequestTriaged,
    ResearchStarted,
)
from contracts.requests.values import RequestStatus
from infra.runtime.base import DecisionContext
from services.requests.domain import RESEARCH, TRIAGE, Request, evolve, task_of
from services.requests.handlers.evaluation import escalated, reasons_to_approve
from services.requests.handlers.subject import (
    Events,
    actor_of,
    check_step,
    existing,
    not_waited_for,
    of_tenant,
    subject,
    tier_of,
    wrong_status,
)
from services.requests.policies import (
    COMPLETION_REQUIRES_APPROVAL,
    COMPLETION_REQUIRES_IN_PROGRESS,
    FAILURE_REQUIRES_OPEN_REQUEST,
    PROCESSING_REQUIRES_PENDING,
    REQUEST_MUST_NOT_EXIST,
    RESEARCH_REQUIRES_TRIAGED,
    RESTART_AFTER,
    TRIAGE_REQUIRES_PENDING,
    InStatus,
    OpenRequest,
    candidate_of,
)

PENDING = InStatus(RequestStatus.PENDING)
TRIAGED = InStatus(RequestStatus.TRIAGED)
IN_PROGRESS = InStatus(RequestStatus.IN_PROGRESS)
AWAITING_APPROVAL = InStatus(RequestStatus.AWAITING_APPROVAL)
APPROVED = InStatus(RequestStatus.APPROVED)
OPEN = OpenRequest()


def create_request(request: Request | None, command: CreateRequest, context: DecisionContext) -> Events:
    """Open the request. An id is used once, by whichever tenant, and stays used after deletion."""
    if request is not None:
        raise BusinessRuleViolation("A request with this id exists already.", rule=REQUEST_MUST_NOT_EXIST)
    # Asked for only where the setting `tenants_must_exist` is on.
    if context.reference is not None and not context.reference.tenant_known:
        raise ResourceNotFound("Tenant", command.tenant_id)
    created = RequestCreated(
        tenant_id=command.tenant_id,
        request_id=command.request_id,
        customer_id=command.customer_id,
        message=command.message,
        priority=command.priority,
        category=command.category,
        metadata=command.metadata,
        thread_id=command.thread_id or thread_of(command.request_id),
        created_at=context.now,
        requested_at=command.timestamp or context.record_time,
        created_by=actor_of(context),
    )
    return (created,)


def process_request(request: Request | None, command: ProcessRequest, context: DecisionContext) -> Events:
    """Start the workflow of a pending request again, with a new triage task; one that may still be running is left alone."""
    found = existing(request, command)
    if not OPEN.is_satisfied_by(found):
        raise wrong_status(found, "The workflow of a request that is over cannot be started again.", PROCESSING_REQUIRES_PENDING)
    if not PENDING.is_satisfied_by(found) or context.now - found.workflow_started_at < RESTART_AFTER:
        return ()
    started = ProcessingStarted(
        **subject(found),
        task_id=task_of(found.request_id, TRIAGE, context.message_id),
        replaces=found.task_id,
        message=found.message,
        category=found.category,
        priority=found.priority,
        metadata=found.metadata,
        started_at=context.now,
    )
    return (started,)


def triage_request(request: Request | None, command: TriageRequest, context: DecisionContext) -> Events:
    """Assign category and priority; triage may override what the customer sent. What it found may be a reason to escalate."""
    found = existing(request, command)
    if not PENDING.is_satisfied_by(found):
        raise wrong_status(found, "Only a pending request can be triaged.", TRIAGE_REQUIRES_PENDING)
    check_step(found, command)
    tier = tier_of(found, context)
    triaged = RequestTriaged(
        **subject(found),
        assigned_category=command.category,
        assigned_priority=command.priority,
        confidence=command.confidence,
        reason=command.reason,
        customer_tier=tier,
        stopped_task_id=not_waited_for(found, command),
        triaged_at=context.now,
    )
    return (triaged, *escalated(found, candidate_of(evolve(found, triaged), tier), context))


def start_research(request: Request | None, command: StartResearch, context: DecisionContext) -> Events:
    """Work on a triaged request begins."""
    found = existing(request, command)
    if not TRIAGED.is_satisfied_by(found):
        raise wrong_status(found, "Research starts on a triaged request only.", RESEARCH_REQUIRES_TRIAGED)
    started = ResearchStarted(
        **subject(found),
        message=found.message,
        category=found.category,
        priority=found.priority,
        metadata=found.metadata,
        task_id=task_of(found.request_id, RESEARCH, context.message_id),
        started_at=context.now,
    )
    return (started,)


def complete_request(request: Request | None, command: CompleteRequest, context: DecisionContext) -> Events:
    """Close a request that is approved, or in progress with nothing to approve: where nobody has decided that yet, the policies say it."""
    found = existing(request, command)
    if AWAITING_APPROVAL.is_satisfied_by(found):
        raise wrong_status(found, "The request waits for an approval.", COMPLETION_REQUIRES_APPROVAL)
    if not IN_PROGRESS.or_(APPROVED).is_satisfied_by(found):
        raise wrong_status(found, "Only a request in progress or an approved one can be completed.", COMPLETION_REQUIRES_IN_PROGRESS)
    check_step(found, command)
    if IN_PROGRESS.is_satisfied_by(found) and not found.approval_not_required:
        reasons = reasons_to_approve(found, candidate_of(found, tier_of(found, context)), context)
        if reasons:
            message = "The request needs an approval before it can be completed."
            raise wrong_status(found, message, COMPLETION_REQUIRES_APPROVAL, reasons=[reason.value for reason in reasons])
    completed = RequestCompleted(
        **subject(found), resolution=command.resolution, stopped_task_id=not_waited_for(found, command), completed_at=context.now
    )
    return (completed,)


def fail_request(request: Request | None, command: FailRequest, context: DecisionContext) -> Events:
    """Give the request up, from any state that is not final; failing it again changes nothing."""
    found = existing(request, command)
    if found.status is RequestStatus.FAILED:
        return ()
    if not OPEN.is_satisfied_by(found):
        raise wrong_status(found, "Only an open request can fail.", FAILURE_REQUIRES_OPEN_REQUEST)
    check_step(found, command)
    failed = RequestFailed(**subject(found), reason=command.reason, stopped_task_id=not_waited_for(found, command), failed_at=context.now)
    return (failed,)


def delete_request(request: Request | None, command: DeleteRequest, context: DecisionContext) -> Events:
    """Take the request out of use, from any state; deleting it again changes nothing."""
    found = of_tenant(request, command)
    if found.status is RequestStatus.DELETED:
        return ()
    return (RequestDeleted(**subject(found), reason=command.reason, stopped_task_id=found.task_id, deleted_at=context.now),)


def thread_of(request_id: RequestId) -> ThreadId:
    """The thread of a request whose sender named none: always the same for the same request."""
    return ThreadId(f"thread-{derived_uuid(NAMESPACE_OID, request_id)}")
