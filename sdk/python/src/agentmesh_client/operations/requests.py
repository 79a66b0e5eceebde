"""Requests and the approvals that they wait for: arguments in, calls out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Unpack

from agentmesh_client.calls import Accepted, Call, CommandOptions, ReadOptions, body_of, command, get, nothing, path_of, reader
from agentmesh_client.models import Approval, Decisions, History, Page, Request, Timeline

Sort = Literal["newest", "oldest"]
_REQUEST = reader(Request)
_APPROVAL = reader(Approval)


def create_request(
    customer_id: str,
    message: str,
    *,
    priority: int | None = None,
    category: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Unpack[CommandOptions],
) -> Call[Request | Accepted[Request]]:
    """Create a request; without a category, triage assigns it; `priority` is 1 low to 4 critical."""
    body = body_of(customer_id=customer_id, message=message, priority=priority, category=category, metadata=metadata)
    return command("POST", path_of("v1", "requests"), _REQUEST, options, body)


def get_request(request_id: str, **options: Unpack[ReadOptions]) -> Call[Request]:
    """A request."""
    return get(Request, path_of("v1", "requests", request_id), options)


def list_requests(
    *,
    customer_id: str | None = None,
    status: str | None = None,
    escalated: bool | None = None,
    sort: Sort | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    **options: Unpack[ReadOptions],
) -> Call[Page[Request]]:
    """A page of requests."""
    filters = {"customer_id": customer_id, "status": status, "escalated": escalated}
    return get(Page[Request], path_of("v1", "requests"), options, **filters, sort=sort, limit=limit, cursor=cursor)


def update_request(
    request_id: str,
    *,
    message: str | None = None,
    priority: int | None = None,
    category: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Unpack[CommandOptions],
) -> Call[Request | Accepted[Request]]:
    """Change what is given of a request."""
    body = body_of(message=message, priority=priority, category=category, metadata=metadata)
    return command("PATCH", path_of("v1", "requests", request_id), _REQUEST, options, body)


def approve_request(request_id: str, *, reason: str = "", **options: Unpack[CommandOptions]) -> Call[Request | Accepted[Request]]:
    """Approve a request."""
    return command("POST", path_of("v1", "requests", request_id, "approve"), _REQUEST, options, body_of(approved=True, reason=reason))


def reject_request(request_id: str, reason: str, **options: Unpack[CommandOptions]) -> Call[Request | Accepted[Request]]:
    """Reject a request."""
    return command("POST", path_of("v1", "requests", request_id, "approve"), _REQUEST, options, body_of(approved=False, reason=reason))


def delete_request(request_id: str, **options: Unpack[CommandOptions]) -> Call[Accepted[None] | None]:
    """Delete a request."""
    return command("DELETE", path_of("v1", "requests", request_id), nothing, options)


def request_history(request_id: str, **options: Unpack[ReadOptions]) -> Call[History]:
    """The events of a request."""
    return get(History, path_of("v1", "requests", request_id, "history"), options)


def request_decisions(request_id: str, **options: Unpack[ReadOptions]) -> Call[Decisions]:
    """The decisions on a request."""
    return get(Decisions, path_of("v1", "requests", request_id, "decisions"), options)


def request_timeline(request_id: str, **options: Unpack[ReadOptions]) -> Call[Timeline]:
    """How a request was worked on."""
    return get(Timeline, path_of("v1", "requests", request_id, "timeline"), options)


def list_approvals(
    *,
    status: str | None = None,
    customer_id: str | None = None,
    delegated_to: str | None = None,
    sort: Sort | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    **options: Unpack[ReadOptions],
) -> Call[Page[Approval]]:
    """A page of approvals."""
    filters = {"status": status, "customer_id": customer_id, "delegated_to": delegated_to}
    return get(Page[Approval], path_of("v1", "approvals"), options, **filters, sort=sort, limit=limit, cursor=cursor)


def get_approval(request_id: str, **options: Unpack[ReadOptions]) -> Call[Approval]:
    """The approval of a request."""
    return get(Approval, path_of("v1", "approvals", request_id), options)


def delegate_approval(
    request_id: str, to: str, *, reason: str | None = None, **options: Unpack[CommandOptions]
) -> Call[Approval | Accepted[Approval]]:
    """Hand the decision over to somebody else."""
    return command("POST", path_of("v1", "approvals", request_id, "delegate"), _APPROVAL, options, body_of(to=to, reason=reason))


def ask_about_approval(request_id: str, question: str, **options: Unpack[CommandOptions]) -> Call[Approval | Accepted[Approval]]:
    """Ask back before deciding."""
    return command("POST", path_of("v1", "approvals", request_id, "question"), _APPROVAL, options, body_of(question=question))


def answer_about_approval(request_id: str, answer: str, **options: Unpack[CommandOptions]) -> Call[Approval | Accepted[Approval]]:
    """Answer a question."""
    return command("POST", path_of("v1", "approvals", request_id, "answer"), _APPROVAL, options, body_of(answer=answer))
