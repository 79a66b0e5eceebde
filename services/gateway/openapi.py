"""What the OpenAPI document says of each operation: texts, bodies, answers, examples (API-32); read by routes and app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from contracts.requests.commands import CreateRequest, UpdateRequest
from services.gateway.errors import JSON, KINDS, PROBLEM
from services.gateway.representation import Accepted, RequestHistory, RequestPage, RequestRepresentation

BEARER = "bearer"
RULES = """Business rules:

- `message` has 1 to 10000 characters, at most 30 % of them neither letter, digit nor white space, and no script.
- A request of category `refund` has priority 2 (MEDIUM) or above.
- A `category` that is missing is assigned by triage.

The answer is 201 when the request is there within the wait (1 s, or `Prefer: wait=N`), else 202 with the same id."""


class ErrorObject(BaseModel):
    """What went wrong."""

    error_type: str
    message: str
    code: str
    details: dict[str, Any]


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorObject
    timestamp: str
    path: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, as the document tells it."""

    id: str
    summary: str
    description: str
    status: int
    responses: dict[int | str, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)


_ID = "req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b"
_URL = f"https://mesh.example/api/v1/requests/{_ID}"
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
    "request_id": _ID,
    **PASSWORD_RESET,
    "thread_id": "thread-0b8f2a8e-51a7-4b0f-8c6d-2e3f4a5b6c7d",
    "metadata": {},
    "status": "pending",
    "escalated": False,
    "resolution": None,
    "reason": None,
    "created_at": "2026-05-04T12:00:00Z",
    "updated_at": "2026-05-04T12:00:00Z",
    "version": 1,
    "position": "requests:1",
    "_links": {
        "self": {"href": _URL, "rel": "self", "method": "GET", "description": "This request."},
        "update": {"href": _URL, "rel": "update", "method": "PATCH", "description": "Change message, priority, category or metadata."},
    },
}
_MESSAGES: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "VALIDATION_ERROR": ("ValidationError", "The body is not JSON in UTF-8.", {"field": "(whole body)"}),
    "UNAUTHORIZED": ("Unauthorized", "Invalid token", {}),
    "FORBIDDEN": ("Forbidden", "The permission request:create is required.", {"required_permission": "request:create"}),
    "RESOURCE_NOT_FOUND": ("ResourceNotFound", "Request not found.", {"resource_type": "Request", "resource_id": _ID}),
    "RATE_LIMITED": ("RateLimited", "Too many calls: try again later.", {}),
    "SERVICE_UNAVAILABLE": ("ServiceUnavailable", "The service cannot take this call now: try again later.", {}),
}


def _error(status: int, code: str, text: str = "") -> dict[str, Any]:
    kind, message, details = _MESSAGES.get(code, (code.title().replace("_", ""), KINDS[code].title + ".", {}))
    error = {"error_type": kind, "message": message, "code": code, "details": details}
    body = {"error": error, "timestamp": "2026-05-04T12:00:00.000Z", "path": _URL}
    problem = {"type": f"https://mesh.example/problems/{code}", "title": KINDS[code].title, "status": status, "detail": message}
    content = {JSON: {"example": body}, PROBLEM: {"example": problem}}
    return {"description": text or KINDS[code].title, "model": ErrorAnswer, "content": content}


def _good(model: type[BaseModel], text: str, example: Any = None) -> dict[str, Any]:
    return {"description": text, "model": model, **({} if example is None else {"content": {JSON: {"example": example}}})}


def _accepted() -> dict[str, Any]:
    example = {
        "status": "accepted",
        "request_id": _ID,
        "command_id": "6f0d1a52-3c3b-4b9e-9d51-7e8f9a0b1c2d",
        "_links": {"self": {"href": _URL, "rel": "self", "method": "GET", "description": None}},
    }
    headers = {
        "Location": {"description": "The request.", "schema": {"type": "string", "format": "uri"}},
        "Retry-After": {"description": "Seconds after which to look.", "schema": {"type": "integer"}},
    }
    return {**_good(Accepted, "Accepted: the outcome is not known, or not shown, yet.", example), "headers": headers}


def _refused(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Every operation's refusals, and those of this one."""
    common = ("UNAUTHORIZED", "FORBIDDEN", "NOT_ACCEPTABLE", "RATE_LIMITED", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE")
    found: dict[int | str, dict[str, Any]] = {KINDS[code].status: _error(KINDS[code].status, code) for code in (*codes, *common)}
    found[422] = _error(422, "BUSINESS_RULE_VIOLATION", "The call breaks its schema, or the state does not allow it")
    return found


def _with_body() -> dict[int | str, dict[str, Any]]:
    return {202: _accepted(), **_refused("VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "CONCURRENCY_CONFLICT")}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with what it refers to in its place."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return {**_inlined(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions), **rest}
    return {name: _inlined(value, definitions) for name, value in schema.items()}


def _body(model: type[BaseModel], examples: Mapping[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """A body that is a model's JSON form, but for what the gateway sets itself."""
    schema = model.model_json_schema()
    properties = {name: value for name, value in schema["properties"].items() if name not in without}
    told = {
        "type": "object",
        "additionalProperties": False,
        "properties": _inlined(properties, schema.get("$defs", {})),
        "required": [name for name in schema.get("required", []) if name not in without],
    }
    content = {JSON: {"schema": told, "examples": {name: {"value": value} for name, value in examples.items()}}}
    return {"requestBody": {"required": True, "content": content}}


CREATE = Operation(
    "create_request",
    "Create a request",
    "Open a support case for a customer.\n\n" + RULES,
    201,
    {201: _good(RequestRepresentation, "Created.", CREATED), **_with_body()},
    _body(CreateRequest, {"password_reset": PASSWORD_RESET, "refund": REFUND}, ("tenant_id", "request_id", "timestamp", "thread_id")),
)
LIST = Operation(
    "list_requests",
    "List requests",
    "The requests of the tenant, newest first, page by page; for customers their own. Deleted ones are not listed.",
    200,
    {200: _good(RequestPage, "A page."), **_refused()},
)
GET = Operation(
    "get_request",
    "Read a request",
    "One request as the read model shows it, with links that fit its state and the caller's role.",
    200,
    {200: _good(RequestRepresentation, "The request.", CREATED), **_refused("RESOURCE_NOT_FOUND")},
)
UPDATE = Operation(
    "update_request",
    "Change a request",
    "Change some of message, priority, category and metadata while the request is open. What is absent or null stays as it is.",
    200,
    {200: _good(RequestRepresentation, "Changed.", CREATED), **_with_body(), **_refused("RESOURCE_NOT_FOUND", "VALIDATION_ERROR")},
    _body(UpdateRequest, {"more_urgent": {"priority": 3}}, ("tenant_id", "request_id")),
)
DELETE = Operation(
    "delete_request",
    "Delete a request",
    "Take a request out of use. Its history stays in the event store; here it is gone.",
    204,
    {204: {"description": "Deleted."}, 202: _accepted(), **_refused("RESOURCE_NOT_FOUND")},
)
HISTORY = Operation(
    "request_history",
    "Read the history of a request",
    "Its events, oldest first.",
    200,
    {200: _good(RequestHistory, "The events."), **_refused("RESOURCE_NOT_FOUND")},
)


def approve(body: type[BaseModel]) -> Operation:
    """The decision of a person; `body` is its model."""
    return Operation(
        "approve_request",
        "Approve or reject a request",
        "Decide about a request that waits for it, or approve a pending one in advance. Who decides is in the token; four eyes, delegation "
        "and lists of approvers are judged by the requests context.",
        200,
        {200: _good(RequestRepresentation, "Decided.", CREATED), **_with_body(), **_refused("RESOURCE_NOT_FOUND", "VALIDATION_ERROR")},
        _body(body, {"approve": {"approved": True}, "reject": {"approved": False, "reason": "The order was delivered as described."}}),
    )


def document(app: FastAPI, base_url: str) -> dict[str, Any]:
    """The document of the application, with its security and its server."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes, servers=[{"url": base_url}])
    found["components"]["securitySchemes"] = {
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "HS256; claims role, tenant_id, user_id, customer_id.",
        }
    }
    found["security"] = [{BEARER: []}]
    return found
