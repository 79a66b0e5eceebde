"""What the OpenAPI document says of the operations on requests, with their examples (API-32); read by the routes."""

from __future__ import annotations

from pydantic import BaseModel

from contracts.requests.commands import CreateRequest, UpdateRequest
from services.gateway.openapi import EXAMPLE_TIME, Example, Operation, accepted, body, changed, good, leads_to, refused
from services.gateway.resources.request_representation import (
    REQUESTS_PATH,
    RequestDecisions,
    RequestHistory,
    RequestPage,
    RequestRepresentation,
    RequestTimeline,
)

RULES = """Business rules:

- `message` has 1 to 10000 characters, at most 30 % of them neither letter, digit nor white space, and no script.
- A request of category `refund` has priority 2 (MEDIUM) or above.
- A `category` that is missing is assigned by triage.

The answer is 201 when the request is there within the wait (1 s, or `Prefer: wait=N`), else 202 with the same id."""


EXAMPLE = Example("Request", REQUESTS_PATH, "request_id", "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b")
PASSWORD_RESET = {
    "customer_id": "cust-0042",
    "message": "I forgot my password and the reset mail does not arrive",
    "priority": 2,
    "category": "account",
}
REFUND = {
    "customer_id": "cust-0042",
    "message": "Please refund my order, it arrived broken",
    "priority": 3,
    "category": "refund",
    "metadata": {"order_id": "ORD-1001", "amount": "99.99"},
}
CREATED = {
    "request_id": EXAMPLE.id,
    **PASSWORD_RESET,
    "thread_id": "thread-0b8f2a8e-51a7-4b0f-8c6d-2e3f4a5b6c7d",
    "metadata": {},
    "status": "pending",
    "escalated": False,
    "resolution": None,
    "reason": None,
    "created_at": EXAMPLE_TIME,
    "updated_at": EXAMPLE_TIME,
    "version": 1,
    "position": "requests:1",
    "_links": {
        "self": EXAMPLE.link("This request."),
        "update": {
            "href": EXAMPLE.url,
            "rel": "update",
            "method": "PATCH",
            "description": "Change message, priority, category or metadata.",
        },
    },
}

ABOUT_ONE = ("get_request", "update_request", "approve_request", "request_history", "request_decisions", "delete_request")
CREATE = Operation(
    "create_request",
    "Create a request",
    "Open a support case for a customer.\n\n" + RULES,
    201,
    {201: good(RequestRepresentation, "Created.", CREATED, leads_to("request_id", *ABOUT_ONE)), **changed(EXAMPLE)},
    body(CreateRequest, {"password_reset": PASSWORD_RESET, "refund": REFUND}, ("tenant_id", "request_id", "timestamp", "thread_id")),
)
LIST = Operation(
    "list_requests",
    "List requests",
    "The requests of the tenant, newest first, page by page; for customers their own. Deleted ones are not listed.",
    200,
    {
        200: good(
            RequestPage,
            "A page.",
            {"items": [CREATED], "next_cursor": None, "_links": {}},
            leads_to("request_id", *ABOUT_ONE, within="/items/0"),
        ),
        **refused(),
    },
)
GET = Operation(
    "get_request",
    "Read a request",
    "One request as the read model shows it, with links that fit its state and the caller's role.",
    200,
    {200: good(RequestRepresentation, "The request.", CREATED), **refused("RESOURCE_NOT_FOUND")},
)
UPDATE = Operation(
    "update_request",
    "Change a request",
    "Change some of message, priority, category and metadata while the request is open. What is absent or null stays as it is.",
    200,
    {200: good(RequestRepresentation, "Changed.", CREATED), **changed(EXAMPLE, "RESOURCE_NOT_FOUND")},
    body(UpdateRequest, {"more_urgent": {"priority": 3}}, ("tenant_id", "request_id")),
)
DELETE = Operation(
    "delete_request",
    "Delete a request",
    "Take a request out of use. Its history stays in the event store; here it is gone.",
    204,
    {204: {"description": "Deleted."}, 202: accepted(EXAMPLE), **refused("RESOURCE_NOT_FOUND")},
)
HISTORY = Operation(
    "request_history",
    "Read the history of a request",
    "Its events, oldest first.",
    200,
    {200: good(RequestHistory, "The events."), **refused("RESOURCE_NOT_FOUND")},
)
DECISIONS = Operation(
    "request_decisions",
    "Read the decisions on a request",
    "What was decided, by whom, with which confidence and why, oldest first.",
    200,
    {200: good(RequestDecisions, "The decisions."), **refused("RESOURCE_NOT_FOUND")},
)
TIMELINE = Operation(
    "request_timeline",
    "Read the timeline of a request",
    "Where its time went: waiting for an agent, work of agents, waiting for a person, and what models were used.",
    200,
    {200: good(RequestTimeline, "The timeline."), **refused("RESOURCE_NOT_FOUND")},
)


def approve(model: type[BaseModel]) -> Operation:
    """The decision of a person; `model` is that of its body."""
    return Operation(
        "approve_request",
        "Approve or reject a request",
        "Decide about a request that waits for it, or approve a pending one in advance. Who decides is in the token; four eyes, delegation "
        "and lists of approvers are judged by the requests context.",
        200,
        {200: good(RequestRepresentation, "Decided.", CREATED), **changed(EXAMPLE, "RESOURCE_NOT_FOUND")},
        body(model, {"approve": {"approved": True}, "reject": {"approved": False, "reason": "The order was delivered as described."}}),
    )
