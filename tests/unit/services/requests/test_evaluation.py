"""Escalation, and what a change of an open request makes the policies say anew."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.requests.commands import UpdateRequest
from contracts.requests.events import ApprovalRequested, RequestApproved, RequestEscalated, RequestFailed, RequestReviewed, RequestTriaged
from contracts.requests.values import ApprovalReason, EscalationReason, Priority, RequestStatus
from infra.runtime.base import DecisionContext
from services.requests.domain import TRIAGE as TRIAGE_STEP
from services.requests.domain import Request, evolve, task_of
from tests.unit.services.requests.request_states import (
    APPROVE,
    COMPLETE,
    CREATE,
    DELEGATE,
    EXPIRE,
    FAIL,
    FINDINGS,
    HOUR,
    NOW,
    PROCESS,
    REQUEST,
    REQUIRE,
    REVIEW,
    START,
    TRIAGE,
    TRIAGE_AS_REFUND,
    after,
    answer,
    context,
    decide,
    fold,
    reference,
    request_in,
    usd,
    waiting,
)

VIP = context(known=reference(tier=CustomerTier.ENTERPRISE))
STANDARD = context(known=reference())


def update(**changes: Any) -> UpdateRequest:
    return UpdateRequest(**REQUEST, **changes)


def escalation(events: tuple[Any, ...]) -> tuple[EscalationReason, ...]:
    found = [event.reasons for event in events if isinstance(event, RequestEscalated)]
    return found[0] if found else ()


# --- at triage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "priority", "confidence", "of", "reasons"),
    [
        ("1000.01", 3, 0.6, STANDARD, ["high_priority_needs_approval"]),
        ("1000.00", 3, 0.6, STANDARD, []),
        ("1000.01", 2, 0.6, STANDARD, []),
        (None, 4, 0.6, STANDARD, []),
        (None, 2, 0.59, STANDARD, ["low_confidence"]),
        (None, 2, 0.6, VIP, ["vip_customer"]),
        ("1500.00", 4, 0.1, VIP, ["high_priority_needs_approval", "low_confidence", "vip_customer"]),
    ],
)
def test_triage_escalates_for_every_reason_in_the_same_decision(
    amount: str | None, priority: int, confidence: float, of: DecisionContext, reasons: list[str]
) -> None:
    pending = after(None, CREATE.model_copy(update={"metadata": {} if amount is None else {"amount": amount}}))
    events = decide(pending, TRIAGE.model_copy(update={"priority": Priority(priority), "confidence": confidence}), of)
    assert isinstance(events[0], RequestTriaged)
    assert list(escalation(events)) == reasons
    assert len(events) == (2 if reasons else 1)
    state = fold(pending, events)
    assert (state.status, list(state.escalation_reasons)) == (RequestStatus.TRIAGED, reasons)


def test_the_tier_that_triage_knew_is_in_its_event_and_an_unknown_customer_is_standard() -> None:
    for of, tier in ((VIP, CustomerTier.ENTERPRISE), (STANDARD, CustomerTier.STANDARD), (context(), CustomerTier.STANDARD)):
        event = decide(request_in("pending"), TRIAGE, of)[0]
        assert isinstance(event, RequestTriaged)
        assert event.customer_tier is tier


def test_inside_escalation_the_threshold_is_the_same_for_every_tenant() -> None:
    known = context(known=reference(approval_threshold=usd("5")))
    pending = request_in("pending")
    assert escalation(decide(pending, TRIAGE.model_copy(update={"priority": Priority.HIGH}), known)) == ()


# --- at a change ------------------------------------------------------------------------------------------------------


def test_a_change_of_priority_or_amount_escalates_once_for_each_new_reason() -> None:
    request = request_in("triaged")
    raised = decide(request, update(priority=3, metadata={"amount": "1500.00"}))
    assert [type(event).__name__ for event in raised] == ["RequestUpdated", "RequestEscalated"]
    assert escalation(raised) == (EscalationReason.HIGH_PRIORITY_NEEDS_APPROVAL,)
    again = fold(request, raised)
    assert answer(again, update(priority=4)) == "RequestUpdated"
    assert answer(after(again, update(priority=1)), update(priority=3)) == "RequestUpdated"


def test_before_triage_and_after_an_approval_a_change_escalates_nothing() -> None:
    for state in ("pending", "approved"):
        assert answer(request_in(state), update(priority=4, message="1500")) == "RequestUpdated"
    assert answer(request_in("pending"), update(priority=4, metadata={"amount": "1500.00"})) == "RequestUpdated"


def test_a_change_of_what_an_approval_is_waited_for_asks_for_it_anew() -> None:
    request = after(waiting(), DELEGATE)
    later = context("ada", at=NOW + 70 * HOUR)
    events = decide(request, update(priority=3, metadata={"amount": "1500.00"}), later)
    assert [type(event).__name__ for event in events] == ["RequestUpdated", "RequestEscalated", "ApprovalRequested"]
    asked = events[-1]
    assert isinstance(asked, ApprovalRequested)
    assert (asked.financial_impact, asked.findings, asked.stopped_task_id) == (usd("1500.00"), request.findings, None)
    assert asked.reasons == (ApprovalReason.REFUND, ApprovalReason.AMOUNT_ABOVE_THRESHOLD, ApprovalReason.ESCALATED)
    changed = fold(request, events)
    assert changed.approval is not None
    assert (changed.approval.delegated_to, changed.approval.expires_at) == (None, NOW + (70 + 72) * HOUR)
    assert answer(changed, EXPIRE) == "-", "the end of the time for another amount is not the end of this one's"
    assert changed.status is RequestStatus.AWAITING_APPROVAL
    (approved,) = decide(changed, APPROVE)
    assert isinstance(approved, RequestApproved)
    assert approved.financial_impact == usd("1500.00")


def test_who_was_asked_decides_even_where_a_change_leaves_no_reason() -> None:
    events = decide(waiting(), update(category="billing"))
    assert [type(event).__name__ for event in events] == ["RequestUpdated", "ApprovalRequested"]
    assert events[-1].reasons == ()  # type: ignore[attr-defined]


def test_another_change_while_an_approval_is_waited_for_asks_nobody_anew() -> None:
    assert answer(waiting(), update(message="please be quick", priority=3)) == "RequestUpdated"


def test_what_was_approved_in_advance_is_approved_when_a_change_leads_back_to_it() -> None:
    asked = after(request_in("approved in advance"), TRIAGE_AS_REFUND, START, update(metadata={"amount": "5000.00"}), REQUIRE)
    assert asked.status is RequestStatus.AWAITING_APPROVAL
    assert answer(asked, update(metadata=dict(CREATE.metadata)), context("ada")).endswith("ApprovalRequested RequestApproved")


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"category": "refund"}, [ApprovalReason.REFUND]),
        ({"metadata": {"amount": "1000.01"}}, [ApprovalReason.AMOUNT_ABOVE_THRESHOLD]),
        ({"metadata": {"amount": "1", "currency": "EUR"}}, [ApprovalReason.ANOTHER_CURRENCY]),
        ({"priority": 3, "metadata": {"amount": "1000.01"}}, [ApprovalReason.AMOUNT_ABOVE_THRESHOLD, ApprovalReason.ESCALATED]),
    ],
)
def test_a_change_that_needs_an_approval_stops_the_resolution_that_is_under_way(
    change: dict[str, Any], reasons: list[ApprovalReason]
) -> None:
    resolving = request_in("resolving")
    events = decide(resolving, update(**change))
    requested = events[-1]
    assert isinstance(requested, ApprovalRequested)
    assert list(requested.reasons) == reasons
    assert requested.stopped_task_id == resolving.task_id
    assert requested.findings == FINDINGS
    waits = fold(resolving, events)
    assert waits.status is RequestStatus.AWAITING_APPROVAL
    late = COMPLETE.model_copy(update={"task_id": resolving.task_id})
    assert answer(waits, late) == "completion_requires_approval"
    approved = after(waits, APPROVE, of=context(command_id="c-2"))
    assert approved.task_id not in (None, resolving.task_id)
    assert answer(approved, late) == "step_must_be_current"


def test_a_change_that_needs_none_leaves_the_resolution_under_way() -> None:
    resolving = request_in("resolving")
    changed = after(resolving, update(message="and thank you", metadata={"amount": "1000.00"}))
    assert (changed.task_id, changed.approval_not_required) == (resolving.task_id, True)


@pytest.mark.parametrize(
    "change",
    [{"category": "billing"}, {"metadata": {"amount": "99.98"}}, {"metadata": {"amount": "99.99", "currency": "EUR"}}, {"metadata": {}}],
)
def test_what_was_approved_is_fixed(change: dict[str, Any]) -> None:
    assert answer(request_in("approved"), update(**change)) == "approved_terms_are_fixed"


def test_what_was_not_approved_can_be_changed_after_the_approval() -> None:
    approved = request_in("approved")
    changed = after(approved, update(message="hurry", priority=4, metadata={"amount": "99.990", "note": "x"}))
    assert (changed.status, changed.message, changed.task_id) == (RequestStatus.APPROVED, "hurry", approved.task_id)


# --- at a review ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["triaged", "researching", "awaiting"])
def test_a_customer_who_became_vip_is_reviewed_and_escalated_once(state: str) -> None:
    request = request_in(state)
    events = decide(request, REVIEW, VIP)
    assert events[0] == RequestReviewed(**REQUEST, customer_tier=CustomerTier.ENTERPRISE, reviewed_at=NOW)
    assert [type(event).__name__ for event in events[1:]] == ["RequestEscalated"]
    assert answer(fold(request, events), REVIEW, VIP) == "-"
    back = after(fold(request, events), REVIEW, of=STANDARD)
    assert answer(back, REVIEW, VIP) == "RequestReviewed", "the reason is known"


def test_a_review_stops_a_resolution_that_now_needs_a_person() -> None:
    resolving = request_in("resolving")
    events = decide(resolving, REVIEW, VIP)
    assert [type(event).__name__ for event in events] == ["RequestReviewed", "RequestEscalated", "ApprovalRequested"]
    assert isinstance(events[2], ApprovalRequested)
    assert events[2].stopped_task_id == resolving.task_id
    assert events[2].customer_tier is CustomerTier.ENTERPRISE


def test_a_review_of_what_triage_has_yet_to_look_at_or_of_what_is_over_changes_nothing() -> None:
    for state in ("pending", "approved in advance", "rejected", "completed", "failed", "deleted"):
        assert answer(request_in(state), REVIEW, VIP) == "-"
    assert answer(request_in("approved"), REVIEW, VIP) == "RequestReviewed", "a person has approved it"
    assert answer(request_in("triaged"), REVIEW, STANDARD) == "-"


def test_an_escalated_request_waits_for_a_human_although_its_reason_is_gone() -> None:
    escalated = after(request_in("triaged"), REVIEW, of=VIP)
    back = after(escalated, REVIEW, of=STANDARD)
    events = decide(after(back, START), REQUIRE, STANDARD)
    assert isinstance(events[-1], ApprovalRequested)
    assert events[-1].reasons == (ApprovalReason.ESCALATED,)
    assert escalation(events) == ()


# --- an amount that nobody can read -----------------------------------------------------------------------------------


def test_an_amount_in_old_events_that_nobody_can_read_needs_an_approval_and_is_covered_by_none_in_advance() -> None:
    def unreadable(request: Request) -> Request:
        return request.model_copy(update={"metadata": {"amount": "a lot"}})

    researching = unreadable(request_in("researching"))
    (requested,) = decide(researching, REQUIRE)
    assert isinstance(requested, ApprovalRequested)
    assert (requested.reasons, requested.financial_impact) == ((ApprovalReason.UNREADABLE_AMOUNT,), None)
    in_advance = after(unreadable(request_in("pending")), APPROVE, TRIAGE, START)
    assert answer(in_advance, REQUIRE) == "ApprovalRequested"
    assert answer(evolve(researching, requested), APPROVE) == "RequestApproved"


# --- starting again ---------------------------------------------------------------------------------------------------


def test_a_workflow_is_started_again_after_fifteen_minutes_and_not_before() -> None:
    pending = request_in("pending")
    assert answer(pending, PROCESS, context(at=NOW + timedelta(minutes=15, microseconds=-1))) == "-"
    at = NOW + timedelta(minutes=15)
    (started,) = decide(pending, PROCESS, context(at=at, command_id="c-9"))
    again = evolve(pending, started)
    assert (again.status, again.task_id) == (RequestStatus.PENDING, task_of("req-1", TRIAGE_STEP, "c-9"))
    assert answer(again, PROCESS, context(at=at + timedelta(minutes=14))) == "-"
    late = TRIAGE.model_copy(update={"task_id": pending.task_id})
    assert answer(again, late) == "step_must_be_current"
    assert answer(again, late.model_copy(update={"task_id": again.task_id})) == "RequestTriaged"


def test_a_failure_of_a_task_that_is_not_current_is_refused() -> None:
    request = request_in("researching")
    assert answer(request, FAIL.model_copy(update={"task_id": task_of("req-1", TRIAGE_STEP)})) == "step_must_be_current"
    assert answer(request, FAIL.model_copy(update={"task_id": request.task_id})) == "RequestFailed"
    (failed,) = decide(request, FAIL)
    assert isinstance(failed, RequestFailed)
    assert failed.stopped_task_id == request.task_id
