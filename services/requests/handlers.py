"""The decisions of the requests context: state, command and context in, events or a refusal out; pure, run by the command worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID

from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.ids import RequestId, ThreadId, derived_uuid
from contracts.message import Command
from contracts.requests.commands import (
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    FailRequest,
    RequestCommand,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.events import (
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestEvent,
    RequestFailed,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)
from contracts.requests.values import RequestStatus
from infra.runtime.base import Decide, DecisionContext
from services.requests.domain import Request
from services.requests.policies import (
    COMPLETION_REQUIRES_IN_PROGRESS,
    FAILURE_REQUIRES_OPEN_REQUEST,
    REFUND_REQUIRES_MEDIUM_PRIORITY,
    REQUEST_MUST_NOT_EXIST,
    RESEARCH_REQUIRES_TRIAGED,
    TRIAGE_REQUIRES_PENDING,
    UPDATE_REQUIRES_OPEN_REQUEST,
    InStatus,
    OpenRequest,
    RefundPriority,
    Terms,
)

Events = tuple[RequestEvent, ...]

PENDING = InStatus(RequestStatus.PENDING)
TRIAGED = InStatus(RequestStatus.TRIAGED)
IN_PROGRESS = InStatus(RequestStatus.IN_PROGRESS)
OPEN = OpenRequest()
REFUND_PRIORITY = RefundPriority()


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
    )
    return (created,)


def triage_request(request: Request | None, command: TriageRequest, context: DecisionContext) -> Events:
    """Assign category and priority; triage may override what the customer sent."""
    found = _existing(request, command)
    if not PENDING.is_satisfied_by(found):
        raise _wrong_status(found, "Only a pending request can be triaged.", TRIAGE_REQUIRES_PENDING)
    triaged = RequestTriaged(
        tenant_id=found.tenant_id,
        request_id=found.request_id,
        assigned_category=command.category,
        assigned_priority=command.priority,
        confidence=command.confidence,
        reason=command.reason,
        triaged_at=context.now,
    )
    return (triaged,)


def start_research(request: Request | None, command: StartResearch, context: DecisionContext) -> Events:
    """Work on a triaged request begins."""
    found = _existing(request, command)
    if not TRIAGED.is_satisfied_by(found):
        raise _wrong_status(found, "Research starts on a triaged request only.", RESEARCH_REQUIRES_TRIAGED)
    started = ResearchStarted(
        tenant_id=found.tenant_id,
        request_id=found.request_id,
        message=found.message,
        category=found.category,
        priority=found.priority,
        metadata=found.metadata,
        started_at=context.now,
    )
    return (started,)


def update_request(request: Request | None, command: UpdateRequest, context: DecisionContext) -> Events:
    """Change an open request; only what differs is recorded, and nothing when nothing differs."""
    found = _existing(request, command)
    if not OPEN.is_satisfied_by(found):
        raise _wrong_status(found, "Only an open request can be changed.", UPDATE_REQUIRES_OPEN_REQUEST)
    changes = _changes(found, command)
    if not changes:
        return ()
    terms = Terms(changes.get("category", found.category), changes.get("priority", found.priority))
    if not REFUND_PRIORITY.is_satisfied_by(terms):
        raise BusinessRuleViolation("A refund needs priority 2 or above.", rule=REFUND_REQUIRES_MEDIUM_PRIORITY)
    return (RequestUpdated(tenant_id=found.tenant_id, request_id=found.request_id, updated_at=context.now, **changes),)


def complete_request(request: Request | None, command: CompleteRequest, context: DecisionContext) -> Events:
    """Close a request that is worked on."""
    found = _existing(request, command)
    if not IN_PROGRESS.is_satisfied_by(found):
        raise _wrong_status(found, "Only a request in progress can be completed.", COMPLETION_REQUIRES_IN_PROGRESS)
    completed = RequestCompleted(
        tenant_id=found.tenant_id, request_id=found.request_id, resolution=command.resolution, completed_at=context.now
    )
    return (completed,)


def fail_request(request: Request | None, command: FailRequest, context: DecisionContext) -> Events:
    """Give the request up, from any state that is not final; failing it again changes nothing."""
    found = _existing(request, command)
    if found.status is RequestStatus.FAILED:
        return ()
    if not OPEN.is_satisfied_by(found):
        raise _wrong_status(found, "Only an open request can fail.", FAILURE_REQUIRES_OPEN_REQUEST)
    return (RequestFailed(tenant_id=found.tenant_id, request_id=found.request_id, reason=command.reason, failed_at=context.now),)


def delete_request(request: Request | None, command: DeleteRequest, context: DecisionContext) -> Events:
    """Take the request out of use, from any state; deleting it again changes nothing."""
    found = _of_tenant(request, command)
    if found.status is RequestStatus.DELETED:
        return ()
    deleted = RequestDeleted(tenant_id=found.tenant_id, request_id=found.request_id, reason=command.reason, deleted_at=context.now)
    return (deleted,)


def thread_of(request_id: RequestId) -> ThreadId:
    """The thread of a request whose sender named none: always the same for the same request."""
    return ThreadId(f"thread-{derived_uuid(NAMESPACE_OID, request_id)}")


def _of_tenant(request: Request | None, command: RequestCommand) -> Request:
    """The request, if it is there and the tenant's own; to other tenants it does not exist."""
    if request is None or request.tenant_id != command.tenant_id:
        raise ResourceNotFound("Request", command.request_id)
    return request


def _existing(request: Request | None, command: RequestCommand) -> Request:
    found = _of_tenant(request, command)
    if found.status is RequestStatus.DELETED:
        raise ResourceNotFound("Request", command.request_id)
    return found


def _wrong_status(request: Request, message: str, rule: str) -> BusinessRuleViolation:
    return BusinessRuleViolation(message, rule=rule, details={"status": request.status.value})


def _changes(request: Request, command: UpdateRequest) -> dict[str, Any]:
    """The given fields that differ from the state."""
    given: dict[str, Any] = {"message": command.message, "priority": command.priority, "category": command.category}
    changes = {name: value for name, value in given.items() if value is not None and value != getattr(request, name)}
    if command.metadata is not None and _canonical(command.metadata) != _canonical(request.metadata):
        changes["metadata"] = command.metadata
    return changes


def _canonical(metadata: Mapping[str, Any]) -> str:
    """Metadata for comparing: in Python 1 equals true and 1.0, in JSON text it does not."""
    return json.dumps(metadata, sort_keys=True)


DECISIONS: Mapping[type[Command], Decide] = {
    CreateRequest: create_request,
    TriageRequest: triage_request,
    StartResearch: start_research,
    UpdateRequest: update_request,
    CompleteRequest: complete_request,
    FailRequest: fail_request,
    DeleteRequest: delete_request,
}
