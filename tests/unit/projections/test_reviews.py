"""Events of a request say on which tier it was decided last, and when nothing more is decided."""

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.message import Event
from contracts.money import Money
from contracts.requests.events import (
    ApprovalNotRequired,
    ApprovalRequested,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestFailed,
    RequestRejected,
    RequestReviewed,
    RequestTriaged,
)
from contracts.requests.values import ApprovalReason, Category, Priority
from projections.reviews.projection import REVIEWS
from tests.unit.projections.recording import FIRST_POSITION, recorded, rows_after

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
REQUEST: dict[str, Any] = {"tenant_id": "acme", "request_id": "req-1"}
ABOUT: dict[str, Any] = {**REQUEST, "customer_id": "cust-0042", "message": "Money back"}
CREATED = RequestCreated(**ABOUT, priority=Priority.HIGH, category=None, thread_id="thread-1", created_at=NOW, requested_at=NOW)


def triaged(**known: Any) -> RequestTriaged:
    return RequestTriaged(
        **REQUEST, assigned_category=Category.REFUND, assigned_priority=Priority.HIGH, confidence=0.9, triaged_at=NOW, **known
    )


AGAIN = [
    RequestReviewed(**REQUEST, customer_tier=CustomerTier.ENTERPRISE, reviewed_at=NOW),
    ApprovalNotRequired(
        **ABOUT, task_id="task-1", approval_threshold=Money("1.00"), customer_tier=CustomerTier.ENTERPRISE, decided_at=NOW
    ),
    ApprovalRequested(
        **ABOUT, reasons=(ApprovalReason.REFUND,), approval_threshold=Money("1.00"), customer_tier=CustomerTier.ENTERPRISE,
        remind_at=NOW, escalate_at=NOW, expires_at=NOW, requested_at=NOW,
    ),
]  # fmt: skip
ENDS = [
    RequestCompleted(**REQUEST, resolution="done", completed_at=NOW),
    RequestRejected(**REQUEST, rejected_by="ada", reason="no", rejected_at=NOW),
    RequestFailed(**REQUEST, reason="no", failed_at=NOW),
    RequestDeleted(**REQUEST, deleted_at=NOW),
]


def row(*events: Event) -> dict[str, Any] | None:
    return rows_after(REVIEWS, recorded(events)).get(("reviews", "req-1"))


def test_a_request_is_looked_at_from_triage_on() -> None:
    assert row(CREATED) is None
    assert row(CREATED, triaged(customer_tier=CustomerTier.PREMIUM)) == {
        **REQUEST, "customer_tier": "premium", "status": "open", "version": 2, "position": FIRST_POSITION + 2,
    }  # fmt: skip


def test_a_triage_that_knew_no_tier_was_decided_on_the_default() -> None:
    found = row(CREATED, triaged())
    assert found is not None
    assert found["customer_tier"] == "standard"


@pytest.mark.parametrize("event", AGAIN, ids=[type(event).__name__ for event in AGAIN])
def test_every_decision_says_on_which_tier_it_was_taken(event: Event) -> None:
    found = row(CREATED, triaged(customer_tier=CustomerTier.FREE), event)
    assert found is not None
    assert (found["customer_tier"], found["status"], found["version"]) == ("enterprise", "open", 3)


@pytest.mark.parametrize("end", ENDS, ids=[type(end).__name__ for end in ENDS])
def test_a_request_that_is_over_is_looked_at_no_more(end: Event) -> None:
    found = row(CREATED, triaged(), end)
    assert found is not None
    assert found["status"] == "closed"
    assert row(CREATED, end) is None
