"""What the OpenAPI document says of each operation: texts, bodies, answers, examples (API-32); read by routes and app."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, create_model

from services.gateway.errors import JSON, KINDS, PROBLEM
from services.gateway.linked import Accepted

BEARER = "bearer"
SCHEMAS = "#/components/schemas/{model}"
API_KEY = "apiKey"
EXAMPLE_URL = "https://mesh.example"
EXAMPLE_TIME = "2026-05-04T12:00:00Z"
EXAMPLE_COMMAND = "6f0d1a52-3c3b-4b9e-9d51-7e8f9a0b1c2d"


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


class Pointed(BaseModel):
    """One rule that was broken, and where."""

    pointer: str
    detail: str


class ProblemAnswer(BaseModel):
    """The body of every error, for callers that accept `application/problem+json` (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    trace_id: str
    errors: list[Pointed] = []
    error: ErrorObject


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation, as the document tells it."""

    id: str
    summary: str
    description: str
    status: int
    responses: dict[int | str, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)


_MESSAGES: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "VALIDATION_ERROR": ("ValidationError", "The body is not JSON in UTF-8.", {"field": "(whole body)"}),
    "UNAUTHORIZED": ("Unauthorized", "Invalid token", {}),
    "FORBIDDEN": ("Forbidden", "The permission request:create is required.", {"required_permission": "request:create"}),
    "RESOURCE_NOT_FOUND": ("ResourceNotFound", "Request not found.", {"resource_type": "Request", "resource_id": "req-1"}),
    "RATE_LIMITED": ("RateLimited", "Too many calls: try again later.", {}),
    "SERVICE_UNAVAILABLE": ("ServiceUnavailable", "The service cannot take this call now: try again later.", {}),
}


def error(status: int, code: str, text: str = "") -> dict[str, Any]:
    """A refusal with this code, in both of its forms."""
    kind, message, details = _MESSAGES.get(code, (code.title().replace("_", ""), KINDS[code].title + ".", {}))
    error = {"error_type": kind, "message": message, "code": code, "details": details}
    body = {"error": error, "timestamp": "2026-05-04T12:00:00.000Z", "path": f"{EXAMPLE_URL}/api/v1/requests"}
    problem = {
        "type": f"{EXAMPLE_URL}/problems/{code}",
        "title": KINDS[code].title,
        "status": status,
        "detail": message,
        "instance": body["path"],
        "request_id": "req-0b8f2a8e-51a7-4b0f-8c6d-2e3f4a5b6c7d",
        "trace_id": "",
        "error": error,
    }
    content = {JSON: {"schema": _ref(ErrorAnswer), "example": body}, PROBLEM: {"schema": _ref(ProblemAnswer), "example": problem}}
    return {"description": text or KINDS[code].title, "content": content}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": SCHEMAS.format(model=model.__name__)}


def _schemas(*models: type[BaseModel]) -> dict[str, Any]:
    """The schemas of models, and of those within them, by name. The framework would make its own of them for every answer of every route,
    which is most of what the start of the gateway costs."""
    found: dict[str, Any] = {}
    for model in models:
        schema = model.model_json_schema(ref_template=SCHEMAS)
        found |= {**schema.pop("$defs", {}), model.__name__: schema}
    return found


def good(model: type[BaseModel], text: str, example: Any = None, links: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A success, with its model, and where a caller can go on from it."""
    content = {} if example is None else {"content": {JSON: {"example": example}}}
    return {"description": text, "model": model, **content, **({} if links is None else {"links": links})}


def leads_to(field: str, *operations: str, within: str = "") -> dict[str, Any]:
    """The links of an answer that holds the id of a thing under `field`: what can be called with it. `within` points to where it stands."""
    parameters = {field: f"$response.body#{within}/{field}"}
    return {operation: {"operationId": operation, "parameters": parameters} for operation in operations}


@dataclass(frozen=True, slots=True)
class Example:
    """An example of a kind of thing: its name, where it is, the field of its id and the id."""

    name: str
    path: str
    id_field: str
    id: str

    @property
    def url(self) -> str:
        """Its URL."""
        return f"{EXAMPLE_URL}{self.path}/{self.id}"

    def link(self, text: str) -> dict[str, Any]:
        """The link to it."""
        return {"href": self.url, "rel": "self", "method": "GET", "description": text}


@cache
def _accepted_model(name: str, id_field: str) -> type[BaseModel]:
    return create_model(f"{name}Accepted", __base__=Accepted, **{id_field: (str, ...)})  # type: ignore[call-overload,no-any-return]


def accepted(example: Example) -> dict[str, Any]:
    """The answer 202: a command was accepted that is about such a thing. It leads nowhere: the thing may not be shown yet."""
    model = _accepted_model(example.name, example.id_field)
    links = {"self": {"href": example.url, "rel": "self", "method": "GET", "description": None}}
    body = {"status": "accepted", "command_id": EXAMPLE_COMMAND, example.id_field: example.id, "_links": links}
    headers = {
        "Location": {"description": f"The {example.name.lower()}.", "schema": {"type": "string", "format": "uri"}},
        "Retry-After": {"description": "Seconds after which to look.", "schema": {"type": "integer"}},
    }
    return {**good(model, "Accepted: the outcome is not known, or not shown, yet.", body), "headers": headers}


def refused(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Every operation's refusals, and those of this one."""
    common = ("UNAUTHORIZED", "FORBIDDEN", "NOT_ACCEPTABLE", "RATE_LIMITED", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE")
    found: dict[int | str, dict[str, Any]] = {KINDS[code].status: error(KINDS[code].status, code) for code in (*codes, *common)}
    found[422] = error(422, "BUSINESS_RULE_VIOLATION", "The call breaks its schema, or the state does not allow it")
    return found


def changed(example: Example, *codes: str) -> dict[int | str, dict[str, Any]]:
    """What may come of a command with a body, beside success."""
    return {
        202: accepted(example),
        **refused(*codes, "VALIDATION_ERROR", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "CONCURRENCY_CONFLICT"),
    }


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


def body(
    model: type[BaseModel], examples: Mapping[str, Any], without: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A body that is a model's JSON form, but for what the gateway sets itself: always, or where a field is absent."""
    schema = model.model_json_schema()
    properties = {name: value for name, value in schema["properties"].items() if name not in without}
    told = {
        "type": "object",
        "additionalProperties": False,
        "properties": _inlined(properties, schema.get("$defs", {})),
        "required": [name for name in schema.get("required", []) if name not in (*without, *optional)],
    }
    content = {JSON: {"schema": told, "examples": {name: {"value": value} for name, value in examples.items()}}}
    return {"requestBody": {"required": True, "content": content}}


def document(app: FastAPI, routes: Iterable[APIRoute], base_url: str) -> dict[str, Any]:
    """The document of the application, with its security and its server; `routes` are those of its routers."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes, servers=[{"url": base_url}])
    for route in routes:
        for method in (route.methods or ()) if route.include_in_schema else ():
            _restore_examples(found["paths"][route.path_format][method.lower()], route)
    found["components"]["schemas"] |= _schemas(ErrorAnswer, ProblemAnswer)
    found["components"]["securitySchemes"] = {
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "HS256; claims role, tenant_id, user_id, customer_id.",
        },
        API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Acts as its owner; or `Authorization: ApiKey …`."},
    }
    found["security"] = [{BEARER: []}, {API_KEY: []}]
    return found


def _restore_examples(operation: dict[str, Any], route: APIRoute) -> None:
    """The framework leaves out what is null, in examples too: put these back as they were given."""
    given = [(operation["responses"][str(status)], said) for status, said in route.responses.items()]
    given.append((operation.get("requestBody", {}), (route.openapi_extra or {}).get("requestBody", {})))
    for told, said in given:
        for media_type, content in said.get("content", {}).items():
            for name in ("example", "examples"):
                if name in content:
                    told["content"][media_type][name] = content[name]
