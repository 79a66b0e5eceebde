"""The named rules of requests, as specifications: a request in, yes or no out; pure, asked by the handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from contracts.customers.values import CustomerTier
from contracts.errors import ValidationError
from contracts.money import Money, financial_impact
from contracts.requests.values import (
    FINAL_STATUSES,
    REFUND_RULE,
    ApprovalReason,
    Category,
    EscalationReason,
    Priority,
    RequestStatus,
    contradicts_refund_rule,
)
from services.requests.domain import Request

TRIAGE_REQUIRES_PENDING = "triage_requires_pending"
PROCESSING_REQUIRES_PENDING = "processing_requires_pending"
RESEARCH_REQUIRES_TRIAGED = "research_requires_triaged"
APPROVAL_REQUIRES_IN_PROGRESS = "approval_requires_in_progress"
APPROVING_REQUIRES_AWAITING_APPROVAL = "approving_requires_awaiting_approval"
REJECTING_REQUIRES_AWAITING_APPROVAL = "rejecting_requires_awaiting_approval"
DELEGATING_REQUIRES_AWAITING_APPROVAL = "delegating_requires_awaiting_approval"
ASKING_REQUIRES_AWAITING_APPROVAL = "asking_requires_awaiting_approval"
ANSWERING_REQUIRES_AWAITING_APPROVAL = "answering_requires_awaiting_approval"
ANSWERING_REQUIRES_QUESTION = "answering_requires_question"
APPROVER_MUST_BE_LISTED = "approver_must_be_listed"
APPROVAL_WAS_DELEGATED = "approval_was_delegated"
FOUR_EYES = "four_eyes"
DECIDER_MUST_BE_A_PERSON = "decider_must_be_a_person"
APPROVAL_MUST_BE_OF_THE_IMPACT = "approval_must_be_of_the_impact"
APPROVED_TERMS_ARE_FIXED = "approved_terms_are_fixed"
COMPLETION_REQUIRES_IN_PROGRESS = "completion_requires_in_progress"
COMPLETION_REQUIRES_APPROVAL = "completion_requires_approval"
STEP_MUST_BE_CURRENT = "step_must_be_current"
FAILURE_REQUIRES_OPEN_REQUEST = "failure_requires_open_request"
UPDATE_REQUIRES_OPEN_REQUEST = "update_requires_open_request"
REQUEST_MUST_NOT_EXIST = "request_must_not_exist"
REFUND_REQUIRES_MEDIUM_PRIORITY = REFUND_RULE

ESCALATION_THRESHOLD = Money("1000.00")
"""REQ-28. Inside escalation it is the same for every tenant."""
LEAST_CONFIDENCE = 0.6
"""REQ-30: below it a person looks; exactly this is enough."""
RESTART_AFTER = timedelta(minutes=15)
"""A workflow that was started less than this ago counts as running: ProcessRequest leaves it alone."""

T_contra = TypeVar("T_contra", contravariant=True)
S = TypeVar("S")


class Specification(ABC, Generic[T_contra]):
    """A rule as an object. The combinators answer specifications again, so rules nest."""

    @abstractmethod
    def is_satisfied_by(self, candidate: T_contra) -> bool:
        """True when the candidate keeps the rule."""

    def and_(self: Specification[S], other: Specification[S]) -> Specification[S]:
        """Both rules hold."""
        return _And(self, other)

    def or_(self: Specification[S], other: Specification[S]) -> Specification[S]:
        """At least one of the rules holds."""
        return _Or(self, other)

    def not_(self: Specification[S]) -> Specification[S]:
        """This rule does not hold."""
        return _Not(self)


@dataclass(frozen=True, slots=True)
class _And(Specification[S]):
    left: Specification[S]
    right: Specification[S]

    def is_satisfied_by(self, candidate: S) -> bool:
        return self.left.is_satisfied_by(candidate) and self.right.is_satisfied_by(candidate)


@dataclass(frozen=True, slots=True)
class _Or(Specification[S]):
    left: Specification[S]
    right: Specification[S]

    def is_satisfied_by(self, candidate: S) -> bool:
        return self.left.is_satisfied_by(candidate) or self.right.is_satisfied_by(candidate)


@dataclass(frozen=True, slots=True)
class _Not(Specification[S]):
    inner: Specification[S]

    def is_satisfied_by(self, candidate: S) -> bool:
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


# --- what needs an approval, what is escalated ------------------------------------------------------------------------


class Candidate(NamedTuple):
    """What the policies read of a request (REQ-01), as it is or as it would be after a change."""

    category: Category | None
    priority: Priority
    confidence_score: float | None = None
    financial_impact: Money | None = None
    amount_unreadable: bool = False
    """An amount that nobody understands must not pass as no amount. Commands refuse it; old events may hold one."""
    customer_tier: CustomerTier = CustomerTier.STANDARD


def candidate_of(request: Request, tier: CustomerTier) -> Candidate:
    """The request as the policies see it, of a customer of this tier."""
    impact, unreadable = impact_of(request.metadata)
    return Candidate(request.category, request.priority, request.confidence_score, impact, unreadable, tier)


def impact_of(metadata: Mapping[str, Any]) -> tuple[Money | None, bool]:
    """The financial impact (REQ-35), and whether there is an amount that cannot be read."""
    try:
        return financial_impact(metadata), False
    except ValidationError:
        return None, True


@dataclass(frozen=True, slots=True)
class AmountAbove(Specification[Candidate]):
    """REQ-27: a financial impact above the threshold, strictly, in its currency."""

    threshold: Money

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        impact = candidate.financial_impact
        return impact is not None and impact.currency == self.threshold.currency and impact > self.threshold


@dataclass(frozen=True, slots=True)
class AnotherCurrency(Specification[Candidate]):
    """REQ-36: a financial impact that cannot be compared with the threshold."""

    currency: str

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        impact = candidate.financial_impact
        return impact is not None and impact.currency != self.currency


@dataclass(frozen=True, slots=True)
class UnreadableAmount(Specification[Candidate]):
    """REQ-35: an amount was given that nobody understands."""

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        return candidate.amount_unreadable


@dataclass(frozen=True, slots=True)
class IsRefund(Specification[Candidate]):
    """REQ-32: a refund, whatever its amount."""

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        return candidate.category is Category.REFUND


@dataclass(frozen=True, slots=True)
class RequiresApproval(Specification[Candidate]):
    """REQ-27, REQ-36: the financial impact asks for a person's approval at this threshold. No impact never does."""

    threshold: Money

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        above = AmountAbove(self.threshold)
        return above.or_(AnotherCurrency(self.threshold.currency)).or_(UnreadableAmount()).is_satisfied_by(candidate)


@dataclass(frozen=True, slots=True)
class LowConfidence(Specification[Candidate]):
    """REQ-30: triage was not sure. What was never triaged has no confidence, and is not low."""

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        return candidate.confidence_score is not None and candidate.confidence_score < LEAST_CONFIDENCE


@dataclass(frozen=True, slots=True)
class VipCustomer(Specification[Candidate]):
    """TEN-06: the tier `enterprise`."""

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        return candidate.customer_tier is CustomerTier.ENTERPRISE


_high_priority: Specification[Candidate] = HighPriority()
ESCALATION_RULES: Mapping[EscalationReason, Specification[Candidate]] = {
    EscalationReason.HIGH_PRIORITY_NEEDS_APPROVAL: _high_priority.and_(RequiresApproval(ESCALATION_THRESHOLD)),
    EscalationReason.LOW_CONFIDENCE: LowConfidence(),
    EscalationReason.VIP_CUSTOMER: VipCustomer(),
}


@dataclass(frozen=True, slots=True)
class RequiresEscalation(Specification[Candidate]):
    """REQ-30: any of the reasons for which a person has to look."""

    def is_satisfied_by(self, candidate: Candidate) -> bool:
        return bool(escalation_reasons(candidate))


def escalation_reasons(candidate: Candidate) -> tuple[EscalationReason, ...]:
    """Every reason for which the candidate is escalated (REQ-34)."""
    return tuple(reason for reason, rule in ESCALATION_RULES.items() if rule.is_satisfied_by(candidate))


def approval_reasons(candidate: Candidate, threshold: Money, *, escalated: bool) -> tuple[ApprovalReason, ...]:
    """Every reason for which a person has to approve (REQ-20, REQ-32); none of them: the request completes by itself (REQ-33)."""
    rules: Mapping[ApprovalReason, Specification[Candidate]] = {
        ApprovalReason.REFUND: IsRefund(),
        ApprovalReason.AMOUNT_ABOVE_THRESHOLD: AmountAbove(threshold),
        ApprovalReason.ANOTHER_CURRENCY: AnotherCurrency(threshold.currency),
        ApprovalReason.UNREADABLE_AMOUNT: UnreadableAmount(),
    }
    reasons = tuple(reason for reason, rule in rules.items() if rule.is_satisfied_by(candidate))
    return (*reasons, ApprovalReason.ESCALATED) if escalated else reasons


# --- who may decide ---------------------------------------------------------------------------------------------------


class Deciders(NamedTuple):
    """Who may decide on an approval, as the tenant's settings said when it was asked for."""

    approvers: Collection[str]
    """Empty: everybody who holds the permission."""
    four_eyes: bool
    participants: Collection[str]
    delegate: str | None = None
    """The one who decides alone, while the delegation binds."""

    def broken_rule(self, actor: str) -> str | None:
        """The rule that keeps the actor from deciding; None where nothing does."""
        if self.approvers and actor not in self.approvers:
            return APPROVER_MUST_BE_LISTED
        if self.delegate is not None and actor != self.delegate:
            return APPROVAL_WAS_DELEGATED
        if self.four_eyes and actor in self.participants:
            return FOUR_EYES
        return None
