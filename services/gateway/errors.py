"""One table from what goes wrong to what a caller reads: a failure in, an error object or problem details out (API-18 to API-28)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import pydantic

from contracts.errors import MAX_FIELD_NAME, MAX_REPORTED_ERRORS, DomainError, shape
from contracts.rejections import CommandRejected

JSON = "application/json"
PROBLEM = "application/problem+json"


class Kind(NamedTuple):
    """What a code means to a caller."""

    status: int
    title: str


# Every code that a caller may read. What the domain refuses with a code that is not here is our fault, not the caller's (API-24).
KINDS: Mapping[str, Kind] = {
    "VALIDATION_ERROR": Kind(400, "A field breaks its rule"),
    "BUSINESS_RULE_VIOLATION": Kind(422, "The state does not allow it"),
    "RESOURCE_NOT_FOUND": Kind(404, "There is no such resource"),
    "CONCURRENCY_CONFLICT": Kind(409, "Somebody else was first"),
    "IDEMPOTENCY_KEY_REUSED": Kind(422, "The key belongs to another body"),
    "UNAUTHORIZED": Kind(401, "The caller is not known"),
    "FORBIDDEN": Kind(403, "The caller may not do that"),
    "METHOD_NOT_ALLOWED": Kind(405, "The resource has no such method"),
    "NOT_ACCEPTABLE": Kind(406, "There is no such version"),
    "REQUEST_TIMEOUT": Kind(408, "The body did not come in time"),
    "PAYLOAD_TOO_LARGE": Kind(413, "The body is too large"),
    "URI_TOO_LONG": Kind(414, "The URL is too long"),
    "TOO_LARGE": Kind(413, "The command is too large"),
    "UNSUPPORTED_MEDIA_TYPE": Kind(415, "The body is not JSON"),
    "RATE_LIMITED": Kind(429, "Too many calls"),
    "HEADERS_TOO_LARGE": Kind(431, "The header is too large"),
    "INTERNAL_ERROR": Kind(500, "Internal server error"),
    "SERVICE_UNAVAILABLE": Kind(503, "Try again later"),
}
SCHEMA_STATUS = 422
"""Of a VALIDATION_ERROR that the schema catches before a command is made (API-20)."""
_OF_HTTP = {405: "METHOD_NOT_ALLOWED", 404: "RESOURCE_NOT_FOUND", 413: "PAYLOAD_TOO_LARGE"}
PROBLEMS_PATH = "/problems/"


class ApiError(Exception):
    """A call is refused. `details` and `message` are read by the caller."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        error_type: str = "",
        status: int = 0,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.error_type = error_type or _type_of(code)
        self.status = status or KINDS.get(code, KINDS["INTERNAL_ERROR"]).status
        self.details: Mapping[str, Any] = details or {}
        self.headers: Mapping[str, str] = headers or {}

    def to_error(self) -> dict[str, Any]:
        """The `error` object of API-18."""
        return {"error_type": self.error_type, "message": self.message, "code": self.code, "details": dict(self.details)}


def _type_of(code: str) -> str:
    """`PAYLOAD_TOO_LARGE` is called `PayloadTooLarge`."""
    return "".join(word.capitalize() for word in code.split("_"))


# --- what goes wrong ------------------------------------------------------------------------------------------------


def of_domain(error: DomainError) -> ApiError:
    """A refusal of the domain, with the status of its code."""
    return ApiError(error.code, error.message, error_type=error.error_type, details=error.details)


def of_rejection(rejection: CommandRejected) -> ApiError:
    """A command that was published and refused."""
    return ApiError(rejection.code, rejection.message, error_type=rejection.error_type, details=rejection.details)


def of_schema(error: pydantic.ValidationError, where: str = "") -> ApiError:
    """A body, or with `where` a part of the URL, that breaks its schema. A value is never repeated: it may be private or hostile."""
    problems = error.errors(include_url=False, include_context=True, include_input=True)
    return broken_rules([_problem(each, where) for each in problems[:MAX_REPORTED_ERRORS]], len(problems))


def of_request(problems: Sequence[Any]) -> ApiError:
    """Query, path or headers that break their schema, as the framework tells it."""
    entries = [_entry(each["loc"][1:], str(each["msg"]), shape(each.get("input")), str(each["loc"][0])) for each in problems]
    return broken_rules(entries[:MAX_REPORTED_ERRORS], len(entries))


def broken_rules(errors: Sequence[Mapping[str, Any]], count: int = 0) -> ApiError:
    """422 with the rules that the caller broke, each with a pointer to its field."""
    details: dict[str, Any] = {"errors": list(errors)}
    if count > len(errors):
        details["more_errors"] = count - len(errors)
    message = f"{errors[0]['field']}: {errors[0]['rule']}"
    return ApiError("VALIDATION_ERROR", message, error_type="ValidationError", status=SCHEMA_STATUS, details=details)


def broken_rule(field: str, rule: str, value: object = None, *, where: str = "") -> ApiError:
    """422 for one field."""
    return broken_rules([_entry((field,), rule, shape(value), where)])


def _problem(problem: Any, where: str) -> dict[str, Any]:
    location = problem["loc"] or tuple(filter(None, (problem.get("ctx", {}).get("field", ""),)))
    return _entry(location, str(problem["msg"]), "absent" if problem["type"] == "missing" else shape(problem["input"]), where)


def _entry(location: Sequence[str | int], rule: str, found: str, where: str) -> dict[str, Any]:
    parts = [_printable(str(part)) for part in location]
    entry = {"field": ".".join(parts)[:MAX_FIELD_NAME] or "(whole body)", "rule": rule, "shape": found}
    if where:
        return {**entry, "in": where}
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
    return {**entry, "pointer": pointer[: 2 * MAX_FIELD_NAME]}


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_FIELD_NAME])


def not_found(resource_type: str, resource_id: str) -> ApiError:
    """404: it does not exist, or belongs to another tenant; the two are told apart to nobody."""
    details = {"resource_type": resource_type, "resource_id": resource_id}
    return ApiError("RESOURCE_NOT_FOUND", f"{resource_type} not found.", error_type="ResourceNotFound", details=details)


def unavailable(retry_after: int, message: str = "The service cannot take this call now: try again later.") -> ApiError:
    """503: what the call needs is away or overloaded."""
    return ApiError("SERVICE_UNAVAILABLE", message, headers={"Retry-After": str(retry_after)})


def internal() -> ApiError:
    """500: the cause is in the log, and nothing of it in the answer."""
    return ApiError("INTERNAL_ERROR", "Internal server error")


def of_status(status: int, headers: Mapping[str, str] | None, path: str) -> ApiError:
    """What the framework itself refuses: an unknown path, a method that a path does not have."""
    code = _OF_HTTP.get(status, "INTERNAL_ERROR" if status >= 500 else "VALIDATION_ERROR")
    if code == "RESOURCE_NOT_FOUND":
        return not_found("Path", _printable(path))
    return ApiError(code, KINDS[code].title + ".", status=status, headers=headers)


# --- what the caller reads ------------------------------------------------------------------------------------------


def accepts_problem(accept: str) -> bool:
    """True for a caller that names `application/problem+json` in its Accept header, and does not refuse it."""
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if kind == PROBLEM:
            return not any(name.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for name in parameters)
    return False


def render(error: ApiError, *, url: str, accept: str, base_url: str, request_id: str, trace_id: str) -> tuple[bytes, str]:
    """The body and its media type."""
    if accepts_problem(accept):
        body: dict[str, Any] = {
            "type": f"{base_url}{PROBLEMS_PATH}{error.code}" if error.code in KINDS else "about:blank",
            "title": KINDS[error.code].title if error.code in KINDS else HTTPStatus(error.status).phrase,
            "status": error.status,
            "detail": error.message,
            "instance": url,
            "request_id": request_id,
            "trace_id": trace_id,
            **_errors_of(error),
            "error": error.to_error(),
        }
        return _dump(body), PROBLEM
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _dump({"error": error.to_error(), "timestamp": now, "path": url}), JSON


def _errors_of(error: ApiError) -> dict[str, Any]:
    found = error.details.get("errors")
    if not isinstance(found, Sequence) or isinstance(found, str):
        return {}
    pointed = [each for each in found if isinstance(each, Mapping)]
    return {"errors": [{"pointer": each.get("pointer", f"/{each.get('field', '')}"), "detail": each.get("rule", "")} for each in pointed]}


def _dump(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=dict).encode("utf-8", "replace")
