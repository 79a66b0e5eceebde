"""The named rules at their boundaries, and their combinators."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.customers.values import CustomerTier
from contracts.money import Money
from contracts.requests.values import FINAL_STATUSES, ApprovalReason, Category, EscalationReason, Priority, RequestStatus
from services.requests.policies import (
    Candidate,
    Deciders,
    HighPriority,
    InStatus,
    OpenRequest,
    RefundPriority,
    RequiresApproval,
    RequiresEscalation,
    Specification,
    Terms,
    approval_reasons,
    escalation_reasons,
    impact_of,
)

THRESHOLD = Money("1000.00")
PLAIN = Candidate(Category.BILLING, Priority.MEDIUM, 0.9)


def of_amount(amount: str, currency: str = "USD", **fields: Any) -> Candidate:
    return PLAIN._replace(financial_impact=Money(amount, currency), **fields)


@dataclass(frozen=True)
class Constant(Specification[object]):
    """Answers the same for everybody."""

    answer: bool

    def is_satisfied_by(self, candidate: object) -> bool:
        return self.answer


@dataclass(frozen=True)
class Standing:
    status: RequestStatus


@pytest.mark.parametrize(("priority", "high"), [(1, False), (2, False), (3, True), (4, True)])
def test_high_priority_begins_at_three(priority: int, high: bool) -> None:
    assert HighPriority().is_satisfied_by(Terms(None, Priority(priority))) is high


@pytest.mark.parametrize("category", [None, *Category])
@pytest.mark.parametrize("priority", [*Priority])
def test_only_a_refund_needs_at_least_medium_priority(category: Category | None, priority: Priority) -> None:
    kept = category is not Category.REFUND or priority >= 2
    assert RefundPriority().is_satisfied_by(Terms(category, priority)) is kept


@pytest.mark.parametrize("status", [*RequestStatus])
def test_a_request_is_open_in_every_state_that_is_not_final(status: RequestStatus) -> None:
    assert OpenRequest().is_satisfied_by(Standing(status)) is (status not in FINAL_STATUSES)
    assert [each for each in RequestStatus if InStatus(each).is_satisfied_by(Standing(status))] == [status]


@given(st.booleans(), st.booleans(), st.booleans())
def test_combinators_are_and_or_not_and_nest(a: bool, b: bool, c: bool) -> None:
    first, second, third = Constant(a), Constant(b), Constant(c)
    assert first.and_(second).is_satisfied_by(0) is (a and b)
    assert first.or_(second).is_satisfied_by(0) is (a or b)
    assert first.not_().is_satisfied_by(0) is (not a)
    assert first.and_(second.or_(third.not_())).not_().is_satisfied_by(0) is (not (a and (b or not c)))


# --- approval ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "needed"),
    [
        (PLAIN, False),
        (of_amount("999.99"), False),
        (of_amount("1000.00"), False),
        (of_amount("1000.001"), True),
        (of_amount("1000.01"), True),
        (of_amount("1", "EUR"), True),
        (of_amount("0", "EUR"), True),
        (PLAIN._replace(amount_unreadable=True), True),
    ],
)
def test_an_impact_strictly_above_the_threshold_of_another_currency_or_unreadable_needs_an_approval(
    candidate: Candidate, needed: bool
) -> None:
    assert RequiresApproval(THRESHOLD).is_satisfied_by(candidate) is needed


def test_the_threshold_is_a_parameter_with_its_currency() -> None:
    assert RequiresApproval(Money("5", "EUR")).is_satisfied_by(of_amount("5.01", "EUR"))
    assert not RequiresApproval(Money("5", "EUR")).is_satisfied_by(of_amount("5", "EUR"))
    assert RequiresApproval(Money("5", "EUR")).is_satisfied_by(of_amount("5", "USD"))


@pytest.mark.parametrize("amount", ["0", "99.99", "1000.00"])
def test_a_refund_needs_an_approval_whatever_its_amount(amount: str) -> None:
    refund = of_amount(amount, category=Category.REFUND)
    assert approval_reasons(refund, THRESHOLD, escalated=False) == (ApprovalReason.REFUND,)
    no_amount = PLAIN._replace(category=Category.REFUND)
    assert approval_reasons(no_amount, THRESHOLD, escalated=False) == (ApprovalReason.REFUND,)


@pytest.mark.parametrize("category", [None, *Category])
def test_nothing_to_approve_and_not_escalated_is_the_only_way_to_go_on_alone(category: Category | None) -> None:
    reasons = approval_reasons(of_amount("1000.00", category=category), THRESHOLD, escalated=False)
    assert (reasons == ()) is (category is not Category.REFUND)
    assert ApprovalReason.ESCALATED in approval_reasons(PLAIN._replace(category=category), THRESHOLD, escalated=True)


def test_every_reason_for_an_approval_is_told() -> None:
    large = of_amount("1000.01", category=Category.REFUND)
    assert approval_reasons(large, THRESHOLD, escalated=True) == (
        ApprovalReason.REFUND,
        ApprovalReason.AMOUNT_ABOVE_THRESHOLD,
        ApprovalReason.ESCALATED,
    )
    foreign = of_amount("1000.01", "EUR")
    assert approval_reasons(foreign, THRESHOLD, escalated=False) == (ApprovalReason.ANOTHER_CURRENCY,)


# --- escalation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidate", "reasons"),
    [
        (PLAIN, []),
        (of_amount("1000.01", priority=Priority.HIGH), [EscalationReason.HIGH_PRIORITY_NEEDS_APPROVAL]),
        (of_amount("1000.00", priority=Priority.HIGH), []),
        (of_amount("1000.01", priority=Priority.MEDIUM), []),
        (PLAIN._replace(category=Category.REFUND, priority=Priority.CRITICAL), []),
        (PLAIN._replace(confidence_score=0.59), [EscalationReason.LOW_CONFIDENCE]),
        (PLAIN._replace(confidence_score=0.5999999), [EscalationReason.LOW_CONFIDENCE]),
        (PLAIN._replace(confidence_score=0.6), []),
        (PLAIN._replace(confidence_score=0.0), [EscalationReason.LOW_CONFIDENCE]),
        (PLAIN._replace(confidence_score=None), []),
        (PLAIN._replace(customer_tier=CustomerTier.ENTERPRISE), [EscalationReason.VIP_CUSTOMER]),
        (PLAIN._replace(customer_tier=CustomerTier.PREMIUM), []),
    ],
)
def test_what_is_escalated_and_why(candidate: Candidate, reasons: list[EscalationReason]) -> None:
    assert list(escalation_reasons(candidate)) == reasons
    assert RequiresEscalation().is_satisfied_by(candidate) is bool(reasons)


def test_rules_on_the_same_candidate_combine() -> None:
    urgent: Specification[Candidate] = HighPriority()
    quiet = urgent.not_().and_(RequiresApproval(THRESHOLD).or_(RequiresEscalation()).not_())
    assert quiet.is_satisfied_by(PLAIN)
    assert not quiet.is_satisfied_by(of_amount("1000.01"))
    assert not quiet.is_satisfied_by(PLAIN._replace(priority=Priority.HIGH))


def test_the_impact_is_read_from_the_metadata_and_an_unreadable_one_is_told_from_none() -> None:
    assert impact_of({"amount": "99.99"}) == (Money("99.99", "USD"), False)
    assert impact_of({"amount": "5", "currency": "eur"}) == (Money("5", "EUR"), False)
    assert impact_of({"order_id": "A-1"}) == (None, False)
    assert impact_of({"amount": "a lot"}) == (None, True)


# --- who may decide ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deciders", "rule"),
    [
        (Deciders((), False, ("grace",)), None),
        (Deciders((), True, ("ada",)), None),
        (Deciders((), True, ("ada", "grace")), "four_eyes"),
        (Deciders(("grace",), False, ()), None),
        (Deciders(("ada",), False, ()), "approver_must_be_listed"),
        (Deciders((), False, (), "ada"), "approval_was_delegated"),
        (Deciders((), False, (), "grace"), None),
        (Deciders(("ada",), True, ("grace",), "ada"), "approver_must_be_listed"),
    ],
)
def test_the_rule_that_keeps_a_person_from_deciding(deciders: Deciders, rule: str | None) -> None:
    assert deciders.broken_rule("grace") == rule
