"""The commands of the requests context: orders of customers, staff and process managers; each checks itself, whoever sent it."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from contracts.fields import Metadata, Reason, UtcTime
from contracts.json_object import EMPTY
from contracts.message import Command
from contracts.requests.values import (
    Category,
    Confidence,
    Priority,
    PriorityOrNull,
    RequestMessage,
    Resolution,
    ValidCustomerId,
    ValidPriority,
    ValidRequestId,
    ValidThreadId,
    contradicts_refund_rule,
    refund_rule_broken,
)


class RequestCommand(Command):
    """What every command about a request has."""

    context: ClassVar[str] = "requests"
    aggregate_field: ClassVar[str] = "request_id"

    request_id: ValidRequestId


class CreateRequest(RequestCommand):
    """Open a support case for a customer."""

    type_name: ClassVar[str] = "agentmesh.requests.CreateRequest.v1"

    customer_id: ValidCustomerId
    message: RequestMessage
    priority: PriorityOrNull = Field(default=Priority.MEDIUM, description="1 low to 4 critical; null means 2.")
    category: Category | None = Field(default=None, description="Absent: triage assigns it.")
    metadata: Metadata = Field(default=EMPTY, json_schema_extra={"type": ["object", "null"]})
    timestamp: UtcTime | None = Field(default=None, description="When the customer asked; absent: the record's timestamp.")
    thread_id: ValidThreadId | None = Field(default=None, description="Absent: derived from the request id.")

    @model_validator(mode="after")
    def _refund_rule(self) -> Self:
        if contradicts_refund_rule(self.category, self.priority):
            raise refund_rule_broken()
        return self


class TriageRequest(RequestCommand):
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
    metadata: Metadata | None = None

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


class CompleteRequest(RequestCommand):
    """Close a request with its resolution."""

    type_name: ClassVar[str] = "agentmesh.requests.CompleteRequest.v1"

    resolution: Resolution


class FailRequest(RequestCommand):
    """Give a request up that nothing can bring to its end: its retries are spent."""

    type_name: ClassVar[str] = "agentmesh.requests.FailRequest.v1"

    reason: Reason


class DeleteRequest(RequestCommand):
    """Take a request out of use. Its history stays."""

    type_name: ClassVar[str] = "agentmesh.requests.DeleteRequest.v1"

    reason: Reason | None = None


COMMANDS: tuple[type[RequestCommand], ...] = (
    CreateRequest,
    TriageRequest,
    StartResearch,
    UpdateRequest,
    CompleteRequest,
    FailRequest,
    DeleteRequest,
)
