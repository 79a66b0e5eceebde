"""The refusals of the domain: what a handler raises and a rejection carries, told apart by what the sender can do about it.

DomainError
├── ValidationError          the command breaks its schema or a rule of its own fields      VALIDATION_ERROR
├── BusinessRuleViolation    the command does not fit the aggregate's state                 BUSINESS_RULE_VIOLATION
├── ActorRequired            a decision of a person names nobody                            ACTOR_REQUIRED
├── ResourceNotFound         there is no such aggregate for this tenant                     RESOURCE_NOT_FOUND
└── ConcurrencyConflict      a write against a stale expected version                       CONCURRENCY_CONFLICT
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

MAX_REPORTED_ERRORS = 20
MAX_FIELD_NAME = 100


class DomainError(Exception):
    """A command is refused; nothing changed, a retry of the same command cannot help."""

    def __init__(self, message: str, *, code: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details: Mapping[str, Any] = dict(details or {})

    @property
    def error_type(self) -> str:
        """The name of the error's class, as it stands in rejections and HTTP errors."""
        return type(self).__name__

    def to_error(self) -> dict[str, Any]:
        """The error as API-18 and CommandRejected spell it."""
        return {"error_type": self.error_type, "message": self.message, "code": self.code, "details": dict(self.details)}


class ValidationError(DomainError):
    """A field of the command breaks a rule; `details` names the field."""

    def __init__(self, message: str, *, field: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code="VALIDATION_ERROR", details={"field": field, **(details or {})})
        self.field = field


class BusinessRuleViolation(DomainError):
    """The command does not fit the state of its aggregate; `details` names the rule, which is never empty."""

    def __init__(self, message: str, *, rule: str, details: Mapping[str, Any] | None = None) -> None:
        if not rule:
            raise ValueError("a business rule violation names its rule")
        super().__init__(message, code="BUSINESS_RULE_VIOLATION", details={"rule": rule, **(details or {})})
        self.rule = rule


class ActorRequired(DomainError):
    """Whoever decides about a request has to be known: the record's headers name no actor."""

    def __init__(self) -> None:
        super().__init__("The command needs an actor: set ce_authtype and ce_authid.", code="ACTOR_REQUIRED")


class ResourceNotFound(DomainError):
    """There is no such aggregate, or it belongs to another tenant: the two are told apart to nobody."""

    def __init__(self, resource_type: str, resource_id: str) -> None:
        super().__init__(
            f"{resource_type} not found.",
            code="RESOURCE_NOT_FOUND",
            details={"resource_type": resource_type, "resource_id": resource_id},
        )
        self.resource_type = resource_type
        self.resource_id = resource_id


class ConcurrencyConflict(DomainError):
    """Somebody else wrote the aggregate first; load it again and decide anew."""

    def __init__(self, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code="CONCURRENCY_CONFLICT", details=details)


def validation_details(error: pydantic.ValidationError) -> dict[str, Any]:
    """Field, rule and the value's shape of each broken rule. A value is never repeated: it may be private or hostile."""
    problems = error.errors(include_url=False, include_context=True, include_input=True)
    reported = [
        {"field": _field(problem), "rule": str(problem["msg"]), "shape": _shape_of(problem)} for problem in problems[:MAX_REPORTED_ERRORS]
    ]
    details: dict[str, Any] = {"errors": reported}
    if len(problems) > MAX_REPORTED_ERRORS:
        details["more_errors"] = len(problems) - MAX_REPORTED_ERRORS
    return details


def _field(problem: Any) -> str:
    location = problem["loc"] or (problem.get("ctx", {}).get("field", ""),)
    name = ".".join(str(part) for part in location)[:MAX_FIELD_NAME]
    return "".join(letter if letter.isprintable() else "?" for letter in name) or "(whole message)"


def _shape_of(problem: Any) -> str:
    return "absent" if problem["type"] == "missing" else shape(problem["input"])


def shape(value: object) -> str:
    """The kind and the size of a value, and nothing of its content."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return f"text of {len(value)} characters"
        case bytes():
            return f"{len(value)} bytes"
        case list() | tuple():
            return f"list of {len(value)} items"
        case dict():
            return f"object of {len(value)} fields"
        case _:
            return type(value).__name__
