"""The events of the requests context: facts, stored and published in the same class; no event of this context is private."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime
from pydantic_core import to_json

from contracts.customers.values import CustomerTier
from contracts.ids import CustomerId, RequestId, TaskId, ThreadId
from contracts.json_object import EMPTY, JsonObject
from contracts.message import Event
from contracts.money import Money
from contracts.requests.values import ApprovalReason, Category, EscalationReason, Priority


class RequestEvent(Event):
    """What every event about a request has."""

    context: ClassVar[str] = "requests"
    aggregate_field: ClassVar[str] = "request_id"

    request_id: RequestId

    def to_json(self) -> bytes:
        """Without what was not known when it was recorded, so that history is written as it was, whatever was added since."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)


class RequestCreated(RequestEvent):
    """A request was opened. Holds all that its first state is made of."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestCreated.v1"

    customer_id: CustomerId
    message: str
    priority: Priority
    category: Category | None
    metadata: JsonObject = EMPTY
    thread_id: ThreadId
    created_at: AwareDatetime
    requested_at: AwareDatetime
    """When the customer asked: the command's timestamp, or its record's."""
    created_by: str | None = None
    """The actor of the command, where it named one."""

    def metadata_json(self) -> str:
        """The metadata as JSON text, as a read model's row holds it."""
        return to_json(self.metadata).decode()


class ProcessingStarted(RequestEvent):
    """The workflow of a pending request was started again."""

    type_name: ClassVar[str] = "agentmesh.requests.ProcessingStarted.v1"

    task_id: TaskId
    """The new triage task."""
    replaces: TaskId | None = None
    """The triage task that is not waited for any more."""
    message: str
    category: Category | None = None
    priority: Priority = Priority.MEDIUM
    metadata: JsonObject = EMPTY
    started_at: AwareDatetime


class RequestTriaged(RequestEvent):
    """Triage assigned category and priority; they may override what the customer sent."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestTriaged.v1"

    assigned_category: Category
    assigned_priority: Priority
    confidence: float
    reason: str | None = None
    customer_tier: CustomerTier | None = None
    """The tier that the decision knew."""
    stopped_task_id: TaskId | None = None
    """The triage task that was under way and is not wanted any more, because somebody else triaged."""
    triaged_at: AwareDatetime


class RequestEscalated(RequestEvent):
    """There are new reasons why a person has to look at the request (REQ-34): raised once for each of them."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestEscalated.v1"

    reasons: tuple[EscalationReason, ...]
    """The new ones."""
    escalated_at: AwareDatetime


class RequestReviewed(RequestEvent):
    """An open request was looked at again with what is known of its customer now."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestReviewed.v1"

    customer_tier: CustomerTier
    reviewed_at: AwareDatetime


class ResearchStarted(RequestEvent):
    """Work on a triaged request began."""

    type_name: ClassVar[str] = "agentmesh.requests.ResearchStarted.v1"

    message: str = ""
    category: Category | None = None
    priority: Priority = Priority.MEDIUM
    metadata: JsonObject = EMPTY
    """These four are what research needs to know, so that whoever asks for it needs no state."""
    task_id: TaskId | None = None
    """The research task."""
    started_at: AwareDatetime


class RequestUpdated(RequestEvent):
    """Some fields changed. Only the changed ones are there; metadata is the whole new object."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestUpdated.v1"

    message: str | None = None
    priority: Priority | None = None
    category: Category | None = None
    metadata: JsonObject | None = None
    updated_by: str | None = None
    updated_at: AwareDatetime

    def metadata_json(self) -> str | None:
        """The new metadata as JSON text; None when it stays as it was."""
        return None if self.metadata is None else to_json(self.metadata).decode()


class ResolvableEvent(RequestEvent):
    """What whoever answers needs to know, so that whoever asks for the answer needs no state."""

    task_id: TaskId
    """The resolution task."""
    customer_id: CustomerId
    message: str
    category: Category | None = None
    priority: Priority = Priority.MEDIUM
    metadata: JsonObject = EMPTY
    findings: JsonObject = EMPTY
    """What the research found."""


class ApprovalNotRequired(ResolvableEvent):
    """The research is done and no policy wants a person to decide (REQ-33)."""

    type_name: ClassVar[str] = "agentmesh.requests.ApprovalNotRequired.v1"

    approval_threshold: Money
    """The tenant's threshold that the decision knew."""
    customer_tier: CustomerTier
    decided_at: AwareDatetime


class ApprovalRequested(RequestEvent):
    """The request waits for a person (REQ-20). Holds what that person needs to decide, and comes again when that changes meanwhile."""

    type_name: ClassVar[str] = "agentmesh.requests.ApprovalRequested.v1"

    reasons: tuple[ApprovalReason, ...]
    """Empty where none is left since the approval was first asked for; who was asked decides all the same."""
    escalation_reasons: tuple[EscalationReason, ...] = ()
    customer_id: CustomerId
    message: str
    category: Category | None = None
    priority: Priority = Priority.MEDIUM
    financial_impact: Money | None = None
    approval_threshold: Money
    customer_tier: CustomerTier
    four_eyes: bool = False
    approvers: tuple[str, ...] = ()
    """Who may decide, as the tenant's settings said; empty: everybody who holds the permission."""
    findings: JsonObject = EMPTY
    stopped_task_id: TaskId | None = None
    """A resolution that was under way and is not wanted any more, because what it was about has changed."""
    remind_at: AwareDatetime
    escalate_at: AwareDatetime
    expires_at: AwareDatetime
    requested_at: AwareDatetime


class ApprovedInAdvance(RequestEvent):
    """A pending request was approved before anybody asked (REQ-26); it counts when an approval is asked for."""

    type_name: ClassVar[str] = "agentmesh.requests.ApprovedInAdvance.v1"

    approved_by: str
    reason: str | None = None
    financial_impact: Money | None = None
    """What the approver knew: an approval does not cover another amount."""
    approved_at: AwareDatetime


class RequestApproved(ResolvableEvent):
    """A person approved the request."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestApproved.v1"

    approved_by: str
    reason: str | None = None
    in_advance: bool = False
    """True: the approval had been given before it was asked for."""
    financial_impact: Money | None = None
    """What was approved."""
    approved_at: AwareDatetime


class RequestRejected(RequestEvent):
    """A person rejected the request, or nobody decided in time (reason `approval_expired`)."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestRejected.v1"

    rejected_by: str | None
    reason: str
    rejected_at: AwareDatetime


class ApprovalDelegated(RequestEvent):
    """The decision was handed over."""

    type_name: ClassVar[str] = "agentmesh.requests.ApprovalDelegated.v1"

    delegated_by: str
    delegated_to: str
    reason: str | None = None
    delegated_at: AwareDatetime


class InformationRequested(RequestEvent):
    """Whoever decides asked back."""

    type_name: ClassVar[str] = "agentmesh.requests.InformationRequested.v1"

    question: str
    asked_by: str
    asked_at: AwareDatetime


class InformationGiven(RequestEvent):
    """What was asked back was answered."""

    type_name: ClassVar[str] = "agentmesh.requests.InformationGiven.v1"

    answer: str
    given_by: str
    given_at: AwareDatetime


class ApprovalReminded(RequestEvent):
    """The approval has been waited for long enough for a reminder."""

    type_name: ClassVar[str] = "agentmesh.requests.ApprovalReminded.v1"

    reminded_at: AwareDatetime


class ApprovalEscalated(RequestEvent):
    """The approval has been waited for so long that a delegation does not bind any more."""

    type_name: ClassVar[str] = "agentmesh.requests.ApprovalEscalated.v1"

    escalated_at: AwareDatetime


class ApprovalExpired(RequestEvent):
    """Nobody decided in time; RequestRejected follows."""

    type_name: ClassVar[str] = "agentmesh.requests.ApprovalExpired.v1"

    expired_at: AwareDatetime


class RequestCompleted(RequestEvent):
    """The workflow ended well."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestCompleted.v1"

    resolution: str
    stopped_task_id: TaskId | None = None
    """The task that was under way and is not wanted any more, because somebody else completed the request."""
    completed_at: AwareDatetime


class RequestFailed(RequestEvent):
    """The workflow could not bring the request to its end."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestFailed.v1"

    reason: str
    stopped_task_id: TaskId | None = None
    """The task that was under way and is not wanted any more."""
    failed_at: AwareDatetime


class RequestDeleted(RequestEvent):
    """The request is out of use; its history stays."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestDeleted.v1"

    reason: str | None = None
    stopped_task_id: TaskId | None = None
    """The task that was under way and is not wanted any more."""
    deleted_at: AwareDatetime


EVENTS: tuple[type[RequestEvent], ...] = (
    RequestCreated,
    ProcessingStarted,
    RequestTriaged,
    RequestEscalated,
    RequestReviewed,
    ResearchStarted,
    RequestUpdated,
    ApprovalNotRequired,
    ApprovalRequested,
    ApprovedInAdvance,
    RequestApproved,
    RequestRejected,
    ApprovalDelegated,
    InformationRequested,
    InformationGiven,
    ApprovalReminded,
    ApprovalEscalated,
    ApprovalExpired,
    RequestCompleted,
    RequestFailed,
    RequestDeleted,
)
