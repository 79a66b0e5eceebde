"""The commands of the requests context: orders of customers, staff and process managers; each checks itself, whoever sent it."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from contracts.fields import Reason, UtcTime
from contracts.json_object import EMPTY, JsonObject
from contracts.message import Command
from contracts.money import Money
from contracts.requests.values import (
    ActorId,
    Category,
    Confidence,
    Priority,
    PriorityOrNull,
    RequestMessage,
    RequestMetadata,
    Resolution,
    ValidCustomerId,
    ValidPriority,
    ValidRequestId,
    ValidThreadId,
    contradicts_refund_rule,
    refund_rule_broken,
)
from contracts.tasks.values import ValidTaskId


class RequestCommand(Command):
    """What every command about a request has."""

    context: ClassVar[str] = "requests"
    aggregate_field: ClassVar[str] = "request_id"

    request_id: ValidRequestId


class StepCommand(RequestCommand):
    """What every command has that a step of the workflow leads to."""

    task_id: ValidTaskId | None = Field(
        default=None, description="The task that led to this command. A task that is not the request's current one any more is refused."
    )


class CreateRequest(RequestCommand):
    """Open a support case for a customer."""

    type_name: ClassVar[str] = "agentmesh.requests.CreateRequest.v1"

    customer_id: ValidCustomerId
    message: RequestMessage
    priority: PriorityOrNull = Field(default=Priority.MEDIUM, description="1 low to 4 critical; null means 2.")
    category: Category | None = Field(default=None, description="Absent: triage assigns it.")
    metadata: RequestMetadata = Field(default=EMPTY, json_schema_extra={"type": ["object", "null"]})
    timestamp: UtcTime | None = Field(default=None, description="When the customer asked; absent: the record's timestamp.")
    thread_id: ValidThreadId | None = Field(default=None, description="Absent: derived from the request id.")

    @model_validator(mode="after")
    def _refund_rule(self) -> Self:
        if contradicts_refund_rule(self.category, self.priority):
            raise refund_rule_broken()
        return self


class ProcessRequest(RequestCommand):
    """Start the workflow of a pending request again, where it seems to have been lost; one that runs is left alone."""

    type_name: ClassVar[str] = "agentmesh.requests.ProcessRequest.v1"


class TriageRequest(StepCommand):
    """Record the result of triage: what the request is about and how urgent it is."""

    type_name: ClassVar[str] = "agentmesh.requests.TriageRequest.v1"

    category: Category
    priority: ValidPriority
    confidence: Confidence
    reason: Reason | None = None

    @model_validator(mode="after")
    def _refund_rule(self) -> Self:
        if contradicts_refund_rule(self.category, self.priority):
            raise refund_rule_broken()
        return self


class StartResearch(RequestCommand):
    """Record that the research of a triaged request starts."""

    type_name: ClassVar[str] = "agentmesh.requests.StartResearch.v1"


class UpdateRequest(RequestCommand):
    """Change some of message, priority, category, metadata. What is absent or null stays as it is; metadata is replaced whole."""

    type_name: ClassVar[str] = "agentmesh.requests.UpdateRequest.v1"

    message: RequestMessage | None = None
    priority: ValidPriority | None = None
    category: Category | None = None
    metadata: RequestMetadata | None = None

    def to_json(self) -> bytes:
        """Only the given fields: an update says what it changes and nothing else."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)

    @model_validator(mode="after")
    def _changes_something_consistent(self) -> Self:
        if self.message is None and self.priority is None and self.category is None and self.metadata is None:
            raise PydanticCustomError(
                "nothing_to_update",
                "At least one of message, priority, category, metadata should be given",
                {"field": "message"},
            )
        if contradicts_refund_rule(self.category, self.priority):
            raise refund_rule_broken()
        return self


class RequireApproval(StepCommand):
    """The research is done: ask for an approval where the policies want one, go on where they do not."""

    type_name: ClassVar[str] = "agentmesh.requests.RequireApproval.v1"

    findings: JsonObject = Field(default=EMPTY, description="What the research found; whoever approves and whoever answers reads it.")


class ReviewRequest(RequestCommand):
    """Look at an open request again, because what is known of its customer has changed."""

    type_name: ClassVar[str] = "agentmesh.requests.ReviewRequest.v1"


class ApproveRequest(RequestCommand):
    """Approve a request that waits for it, or in advance one that is pending. The actor of the record's headers is the approver."""

    type_name: ClassVar[str] = "agentmesh.requests.ApproveRequest.v1"

    reason: Reason | None = None
    financial_impact: Money | None = Field(
        default=None, description="What the approver saw: where it is given, the approval of another amount or currency is refused."
    )


class RejectRequest(RequestCommand):
    """Reject a request that waits for an approval. The actor of the record's headers is who rejects."""

    type_name: ClassVar[str] = "agentmesh.requests.RejectRequest.v1"

    reason: Reason


class DelegateApproval(RequestCommand):
    """Hand the decision over to another person; only that person, or one to whom it is handed on, decides then."""

    type_name: ClassVar[str] = "agentmesh.requests.DelegateApproval.v1"

    to: ActorId
    reason: Reason | None = None


class RequestInformation(RequestCommand):
    """Ask back before deciding."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestInformation.v1"

    question: Reason


class GiveInformation(RequestCommand):
    """Answer what was asked back."""

    type_name: ClassVar[str] = "agentmesh.requests.GiveInformation.v1"

    answer: Reason


class ApprovalDeadlineCommand(RequestCommand):
    """A moment of a waiting approval has come. `due_at` is compared with the moment that the request holds, never with a clock."""

    due_at: UtcTime


class RemindApproval(ApprovalDeadlineCommand):
    """The approval has been waited for long enough for a reminder."""

    type_name: ClassVar[str] = "agentmesh.requests.RemindApproval.v1"


class EscalateApproval(ApprovalDeadlineCommand):
    """The approval has been waited for so long that others than the delegate may decide."""

    type_name: ClassVar[str] = "agentmesh.requests.EscalateApproval.v1"


class ExpireApproval(ApprovalDeadlineCommand):
    """The time limit of the approval has come: the request is rejected."""

    type_name: ClassVar[str] = "agentmesh.requests.ExpireApproval.v1"


class CompleteRequest(StepCommand):
    """Close a request with its resolution."""

    type_name: ClassVar[str] = "agentmesh.requests.CompleteRequest.v1"

    resolution: Resolution


class FailRequest(StepCommand):
    """Give a request up that nothing can bring to its end: its retries are spent."""

    type_name: ClassVar[str] = "agentmesh.requests.FailRequest.v1"

    reason: Reason


class DeleteRequest(RequestCommand):
    """Take a request out of use. Its history stays."""

    type_name: ClassVar[str] = "agentmesh.requests.DeleteRequest.v1"

    reason: Reason | None = None


COMMANDS: tuple[type[RequestCommand], ...] = (
    CreateRequest,
    ProcessRequest,
    TriageRequest,
    StartResearch,
    UpdateRequest,
    RequireApproval,
    ReviewRequest,
    ApproveRequest,
    RejectRequest,
    DelegateApproval,
    RequestInformation,
    GiveInformation,
    RemindApproval,
    EscalateApproval,
    ExpireApproval,
    CompleteRequest,
    FailRequest,
    DeleteRequest,
)
