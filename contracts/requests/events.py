"""The events of the requests context: facts, stored and published in the same class; no event of this context is private."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime
from pydantic_core import to_json

from contracts.ids import CustomerId, RequestId, ThreadId
from contracts.json_object import EMPTY, JsonObject
from contracts.message import Event
from contracts.requests.values import Category, Priority


class RequestEvent(Event):
    """What every event about a request has."""

    context: ClassVar[str] = "requests"
    aggregate_field: ClassVar[str] = "request_id"

    request_id: RequestId


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

    def metadata_json(self) -> str:
        """The metadata as JSON text, as a read model's row holds it."""
        return to_json(self.metadata).decode()


class RequestTriaged(RequestEvent):
    """Triage assigned category and priority; they may override what the customer sent."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestTriaged.v1"

    assigned_category: Category
    assigned_priority: Priority
    confidence: float
    reason: str | None = None
    triaged_at: AwareDatetime


class ResearchStarted(RequestEvent):
    """Work on a triaged request began."""

    type_name: ClassVar[str] = "agentmesh.requests.ResearchStarted.v1"

    message: str = ""
    category: Category | None = None
    priority: Priority = Priority.MEDIUM
    metadata: JsonObject = EMPTY
    """These four are what research needs to know, so that whoever asks for it needs no state."""
    started_at: AwareDatetime

    def to_json(self) -> bytes:
        """Without what was not known when it was recorded."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)


class RequestUpdated(RequestEvent):
    """Some fields changed. Only the changed ones are there; metadata is the whole new object."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestUpdated.v1"

    message: str | None = None
    priority: Priority | None = None
    category: Category | None = None
    metadata: JsonObject | None = None
    updated_at: AwareDatetime

    def to_json(self) -> bytes:
        """Only the changed fields are written."""
        return self.__pydantic_serializer__.to_json(self, exclude_unset=True)

    def metadata_json(self) -> str | None:
        """The new metadata as JSON text; None when it stays as it was."""
        return None if self.metadata is None else to_json(self.metadata).decode()


class RequestCompleted(RequestEvent):
    """The workflow ended well."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestCompleted.v1"

    resolution: str
    completed_at: AwareDatetime


class RequestFailed(RequestEvent):
    """The workflow could not bring the request to its end."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestFailed.v1"

    reason: str
    failed_at: AwareDatetime


class RequestDeleted(RequestEvent):
    """The request is out of use; its history stays."""

    type_name: ClassVar[str] = "agentmesh.requests.RequestDeleted.v1"

    reason: str | None = None
    deleted_at: AwareDatetime


EVENTS: tuple[type[RequestEvent], ...] = (
    RequestCreated,
    RequestTriaged,
    ResearchStarted,
    RequestUpdated,
    RequestCompleted,
    RequestFailed,
    RequestDeleted,
)
