"""The named rules at their boundaries, and their combinators."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.requests.values import FINAL_STATUSES, Category, Priority, RequestStatus
from services.requests.policies import HighPriority, InStatus, OpenRequest, RefundPriority, Specification, Terms


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
