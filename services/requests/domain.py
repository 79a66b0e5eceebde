"""The state of a customer request and how it follows from its events: state and event in, next state out; pure, run by the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict

from contracts.ids import CustomerId, RequestId, TenantId, ThreadId
from contracts.json_object import EMPTY, JsonObject
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
from contracts.requests.values import Category, Priority, RequestStatus


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
    return request.model_copy(update=change(event))


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
    )


def _triaged(event: RequestTriaged) -> dict[str, Any]:
    return {
        "status": RequestStatus.TRIAGED,
        "category": event.assigned_category,
        "priority": event.assigned_priority,
        "confidence_score": event.confidence,
    }


def _research_started(_: ResearchStarted) -> dict[str, Any]:
    return {"status": RequestStatus.IN_PROGRESS}


def _updated(event: RequestUpdated) -> dict[str, Any]:
    fields = {"message": event.message, "priority": event.priority, "category": event.category, "metadata": event.metadata}
    return {name: value for name, value in fields.items() if value is not None}


def _completed(event: RequestCompleted) -> dict[str, Any]:
    return {"status": RequestStatus.COMPLETED, "resolution": event.resolution}


def _failed(_: RequestFailed) -> dict[str, Any]:
    return {"status": RequestStatus.FAILED}


def _deleted(_: RequestDeleted) -> dict[str, Any]:
    return {"status": RequestStatus.DELETED}


_CHANGES: Mapping[type[RequestEvent], Callable[[Any], dict[str, Any]]] = {
    RequestTriaged: _triaged,
    ResearchStarted: _research_started,
    RequestUpdated: _updated,
    RequestCompleted: _completed,
    RequestFailed: _failed,
    RequestDeleted: _deleted,
}
