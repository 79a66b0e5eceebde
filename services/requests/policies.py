"""The named rules of requests, as specifications: a request in, yes or no out; pure, asked by the handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from contracts.requests.values import FINAL_STATUSES, REFUND_RULE, Category, Priority, RequestStatus, contradicts_refund_rule

TRIAGE_REQUIRES_PENDING = "triage_requires_pending"
RESEARCH_REQUIRES_TRIAGED = "research_requires_triaged"
COMPLETION_REQUIRES_IN_PROGRESS = "completion_requires_in_progress"
FAILURE_REQUIRES_OPEN_REQUEST = "failure_requires_open_request"
UPDATE_REQUIRES_OPEN_REQUEST = "update_requires_open_request"
REQUEST_MUST_NOT_EXIST = "request_must_not_exist"
REFUND_REQUIRES_MEDIUM_PRIORITY = REFUND_RULE

T = TypeVar("T")


class Specification(ABC, Generic[T]):
    """A rule as an object. The combinators answer specifications again, so rules nest."""

    @abstractmethod
    def is_satisfied_by(self, candidate: T) -> bool:
        """True when the candidate keeps the rule."""

    def and_(self, other: Specification[T]) -> Specification[T]:
        """Both rules hold."""
        return _And(self, other)

    def or_(self, other: Specification[T]) -> Specification[T]:
        """At least one of the rules holds."""
        return _Or(self, other)

    def not_(self) -> Specification[T]:
        """This rule does not hold."""
        return _Not(self)


@dataclass(frozen=True, slots=True)
class _And(Specification[T]):
    left: Specification[T]
    right: Specification[T]

    def is_satisfied_by(self, candidate: T) -> bool:
        return self.left.is_satisfied_by(candidate) and self.right.is_satisfied_by(candidate)


@dataclass(frozen=True, slots=True)
class _Or(Specification[T]):
    left: Specification[T]
    right: Specification[T]

    def is_satisfied_by(self, candidate: T) -> bool:
        return self.left.is_satisfied_by(candidate) or self.right.is_satisfied_by(candidate)


@dataclass(frozen=True, slots=True)
class _Not(Specification[T]):
    inner: Specification[T]

    def is_satisfied_by(self, candidate: T) -> bool:
        return not self.inner.is_satisfied_by(candidate)


class HasPriority(Protocol):
    """Whatever carries a priority."""

    @property
    def priority(self) -> Priority: ...


class HasStatus(Protocol):
    """Whatever stands somewhere in the workflow."""

    @property
    def status(self) -> RequestStatus: ...


class Terms(NamedTuple):
    """Category and priority as they would be after a change."""

    category: Category | None
    priority: Priority


@dataclass(frozen=True, slots=True)
class HighPriority(Specification[HasPriority]):
    """REQ-29: HIGH or above."""

    def is_satisfied_by(self, candidate: HasPriority) -> bool:
        return candidate.priority >= Priority.HIGH


@dataclass(frozen=True, slots=True)
class RefundPriority(Specification[Terms]):
    """REQ-31: a refund has priority MEDIUM or above; other categories have any."""

    def is_satisfied_by(self, candidate: Terms) -> bool:
        return not contradicts_refund_rule(candidate.category, candidate.priority)


@dataclass(frozen=True, slots=True)
class InStatus(Specification[HasStatus]):
    """The request stands at exactly this place of the workflow."""

    status: RequestStatus

    def is_satisfied_by(self, candidate: HasStatus) -> bool:
        return candidate.status is self.status


@dataclass(frozen=True, slots=True)
class OpenRequest(Specification[HasStatus]):
    """REQ-08: the request is in no final state, so it can be changed."""

    def is_satisfied_by(self, candidate: HasStatus) -> bool:
        return candidate.status not in FINAL_STATUSES
