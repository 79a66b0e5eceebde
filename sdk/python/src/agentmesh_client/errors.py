"""What goes wrong, by kind: the gateway's error object in, one typed error out; raised by both clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

CORRELATION = "x-correlation-id"


class AgentMeshError(Exception):
    """The base of all. `status` is that of HTTP, 0 where no answer came; `retry_after` is in seconds."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        details: Mapping[str, Any] | None = None,
        status: int = 0,
        correlation_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details: Mapping[str, Any] = details or {}
        self.status = status
        self.correlation_id = correlation_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        told = [self.code, str(self.status) if self.status else "", self.correlation_id]
        return f"{self.message} ({', '.join(filter(None, told))})" if any(told) else self.message


class ValidationError(AgentMeshError):
    """A field breaks its rule; `details` names it."""


class BusinessRuleViolation(AgentMeshError):
    """The state does not allow it."""


class IdempotencyKeyReused(AgentMeshError):
    """The key belongs to another body."""


class Unauthorized(AgentMeshError):
    """The gateway does not know the caller."""


class Forbidden(AgentMeshError):
    """The caller may not do that."""


class NotFound(AgentMeshError):
    """There is no such thing, or it is another tenant's."""


class Conflict(AgentMeshError):
    """Somebody else was first."""


class RateLimited(AgentMeshError):
    """Too many calls."""


class Unavailable(AgentMeshError):
    """The gateway cannot take the call now."""


class ServerError(AgentMeshError):
    """The gateway failed."""


class NotConnected(AgentMeshError):
    """No whole answer came: there is no connection, it broke, or it took too long. Whether the call was done is not known."""


class UnexpectedAnswer(AgentMeshError):
    """An answer that is not one of a gateway of this version."""


class WaitTimedOut(AgentMeshError, TimeoutError):
    """What was waited for did not come in time; it may still come."""


class EndedOtherwise(AgentMeshError):
    """What was waited for cannot come any more, because the request has ended in another status: `details["status"]`."""


_OF_CODES: Mapping[str, type[AgentMeshError]] = {
    "VALIDATION_ERROR": ValidationError,
    "BUSINESS_RULE_VIOLATION": BusinessRuleViolation,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReused,
}
_OF_STATUSES: Mapping[int, type[AgentMeshError]] = {
    400: ValidationError,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: ValidationError,
    429: RateLimited,
    503: Unavailable,
}


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> AgentMeshError:
    """The error of an answer. A body that is no error object, as of a proxy, is told by its status alone."""
    found = _error_object(content)
    code = str(found.get("code", ""))
    kind = _OF_CODES.get(code) or _OF_STATUSES.get(status) or (ServerError if status >= 500 else AgentMeshError)
    details = found.get("details")
    return kind(
        str(found.get("message") or f"The gateway answered {status}."),
        code=code,
        details=details if isinstance(details, dict) else {},
        status=status,
        correlation_id=headers.get(CORRELATION, ""),
        retry_after=seconds_of(headers.get("retry-after")),
    )


def seconds_of(text: str | None) -> float | None:
    """The seconds of a Retry-After; None for none, or for a date, which the gateway does not send."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _error_object(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    found = body.get("error") if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}
