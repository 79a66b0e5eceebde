"""Approvals: when one is asked for, who may decide, what happens while it is waited for, and what an approval covers."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.errors import ActorRequired
from contracts.message import Command
from contracts.money import Money
from contracts.requests.commands import CreateRequest, DelegateApproval, RequireApproval, UpdateRequest
from contracts.requests.events import (
    ApprovalDelegated,
    ApprovalExpired,
    ApprovalNotRequired,
    ApprovalRequested,
    ApprovedInAdvance,
    InformationGiven,
    InformationRequested,
    RequestApproved,
    RequestRejected,
    RequestUpdated,
)
from contracts.requests.values import ApprovalReason, Category, EscalationReason, Priority, RequestStatus
from contracts.topics import MAX_EVENT_BYTES, MAX_RECORD_BYTES
from infra.runtime.base import DecisionContext
from services.requests.domain import RESOLUTION, UnexpectedEvent, evolve, task_of
from tests.unit.services.requests.request_states import (
    ANSWER,
    APPROVE,
    ASK,
    COMPLETE,
    CREATE,
    DELEGATE,
    ESCALATE,
    ESCALATE_AT,
    EXPIRE,
    EXPIRES_AT,
    FINDINGS,
    NOBODY,
    NOW,
    REJECT,
    REMIND,
    REMIND_AT,
    REQUEST,
    REQUIRE,
    START,
    TRIAGE,
    TRIAGE_AS_REFUND,
    UPDATE,
    USD_99,
    after,
    answer,
    context,
    decide,
    fold,
    reference,
    refused,
    request_in,
    usd,
    waiting,
)

RESOLVABLE: dict[str, Any] = {
    **REQUEST,
    "task_id": task_of("req-1", RESOLUTION, "c-1"),
    "customer_id": "cust-0042",
    "message": CREATE.message,
    "priority": Priority.MEDIUM,
    "metadata": USD_99,
    "findings": FINDINGS,
}


# --- whether one is needed --------------------------------------------------------------------------------------------


def test_what_needs_no_approval_goes_on_by_itself_with_all_that_the_answer_needs() -> None:
    request = request_in("researching")
    events = decide(request, REQUIRE)
    assert events == (
        ApprovalNotRequired(
            **RESOLVABLE,
            category=Category.BILLING,
            approval_threshold=usd("1000.00"),
            customer_tier=CustomerTier.STANDARD,
            decided_at=NOW,
        ),
    )
    resolving = fold(request, events)
    assert (resolving.status, resolving.task_id) == (RequestStatus.IN_PROGRESS, RESOLVABLE["task_id"])


def test_what_needs_one_waits_with_all_that_a_person_needs_to_decide() -> None:
    request = request_in("refund researching")
    known = reference(four_eyes=True, approvers=("ada", "grace"), approval_threshold=Money("50", "USD"))
    events = decide(request, REQUIRE, context(known=known))
    assert events == (
        ApprovalRequested(
            **REQUEST,
            reasons=(ApprovalReason.REFUND, ApprovalReason.AMOUNT_ABOVE_THRESHOLD),
            escalation_reasons=(),
            customer_id=request.customer_id,
            message=CREATE.message,
            category=Category.REFUND,
            priority=Priority.MEDIUM,
            financial_impact=usd("99.99"),
            approval_threshold=usd("50"),
            customer_tier=CustomerTier.STANDARD,
            four_eyes=True,
            approvers=("ada", "grace"),
            findings=FINDINGS,
            remind_at=REMIND_AT,
            escalate_at=ESCALATE_AT,
            expires_at=EXPIRES_AT,
            requested_at=NOW,
        ),
    )
    awaiting = fold(request, events)
    assert (awaiting.status, awaiting.task_id) == (RequestStatus.AWAITING_APPROVAL, None)


@pytest.mark.parametrize(("hours", "minutes"), [(72, (2160, 3240, 4320)), (1, (30, 45, 60)), (8760, (262800, 394200, 525600))])
def test_the_moments_of_an_approval_are_half_three_quarters_and_all_of_the_tenants_limit(hours: int, minutes: tuple[int, ...]) -> None:
    (event,) = decide(request_in("refund researching"), REQUIRE, context(known=reference(approval_time_limit_hours=hours)))
    assert isinstance(event, ApprovalRequested)
    assert [event.remind_at, event.escalate_at, event.expires_at] == [NOW + timedelta(minutes=each) for each in minutes]


def test_a_tier_that_became_known_since_triage_escalates_when_the_approval_is_decided() -> None:
    events = decide(request_in("researching"), REQUIRE, context(known=reference(tier=CustomerTier.ENTERPRISE)))
    assert [type(event).__name__ for event in events] == ["RequestEscalated", "ApprovalRequested"]
    assert isinstance(events[1], ApprovalRequested)
    assert events[1].reasons == (ApprovalReason.ESCALATED,)
    assert events[1].escalation_reasons == (EscalationReason.VIP_CUSTOMER,)
    assert events[1].customer_tier is CustomerTier.ENTERPRISE


def test_the_result_of_a_task_that_is_not_current_is_refused() -> None:
    request = request_in("researching")
    assert answer(request, REQUIRE.model_copy(update={"task_id": "task-1"})) == "step_must_be_current"
    assert answer(request, REQUIRE.model_copy(update={"task_id": request.task_id})) == "ApprovalNotRequired"


# --- approving and rejecting ------------------------------------------------------------------------------------------


def test_an_approval_says_who_why_what_and_which_task_follows() -> None:
    request = waiting()
    events = decide(request, APPROVE)
    assert events == (
        RequestApproved(
            **RESOLVABLE,
            category=Category.REFUND,
            approved_by="grace",
            reason="the customer is right",
            in_advance=False,
            financial_impact=usd("99.99"),
            approved_at=NOW,
        ),
    )
    approved = fold(request, events)
    assert (approved.status, approved.task_id) == (RequestStatus.APPROVED, RESOLVABLE["task_id"])
    assert answer(approved, COMPLETE.model_copy(update={"task_id": approved.task_id})) == "RequestCompleted"
    assert answer(approved, COMPLETE.model_copy(update={"task_id": "task-1"})) == "step_must_be_current"


def test_a_rejection_ends_the_request_with_who_and_why() -> None:
    request = waiting()
    events = decide(request, REJECT)
    assert events == (RequestRejected(**REQUEST, rejected_by="grace", reason="never paid", rejected_at=NOW),)
    assert fold(request, events).status is RequestStatus.REJECTED


@pytest.mark.parametrize("command", [APPROVE, REJECT, DELEGATE, ASK, ANSWER])
@pytest.mark.parametrize(
    "nobody",
    [
        NOBODY,
        context("", auth_type="user"),
        context("unknown", auth_type="user"),
        context("ada", auth_type="unknown"),
        context("ada", auth_type=""),
    ],
)
def test_a_decision_of_a_person_needs_a_known_actor(command: Command, nobody: DecisionContext) -> None:
    for state in ("pending", "awaiting", "asked", "approved"):
        error = refused(request_in(state), command, nobody)
        assert isinstance(error, ActorRequired)
        assert (error.code, error.error_type) == ("ACTOR_REQUIRED", "ActorRequired")


@pytest.mark.parametrize("command", [APPROVE, REJECT, DELEGATE, ASK], ids=lambda command: type(command).__name__)
@pytest.mark.parametrize("auth_type", ["agent", "system"])
def test_neither_an_agent_nor_the_mesh_decides(command: Command, auth_type: str) -> None:
    assert answer(waiting(), command, context("agent-7", auth_type=auth_type)) == "decider_must_be_a_person"


def test_an_agent_approves_nothing_in_advance() -> None:
    assert answer(request_in("pending"), APPROVE, context("agent-7", auth_type="agent")) == "decider_must_be_a_person"


@pytest.mark.parametrize("state", ["pending", "awaiting"])
def test_an_approval_that_names_its_amount_is_of_no_other_one(state: str) -> None:
    request = request_in(state)
    seen = APPROVE.model_copy(update={"financial_impact": usd("99.99")})
    assert decide(request, seen)
    changed = after(request, UpdateRequest(**REQUEST, metadata={"amount": "9999.00"}), of=context("ada"))
    assert answer(changed, seen) == "approval_must_be_of_the_impact"
    assert answer(changed, APPROVE) in ("RequestApproved", "ApprovedInAdvance"), "who names none approves what it is now"


def test_the_largest_findings_a_command_can_bring_fit_into_every_event_that_tells_them() -> None:
    letter = "\U00020000"  # four bytes in UTF-8
    created = CREATE.model_copy(update={"message": letter * 10_000, "metadata": {"amount": "99.99", "note": letter * 9_960}})
    room = MAX_RECORD_BYTES - len(RequireApproval(**REQUEST, findings={"findings": ""}).to_json())
    required = RequireApproval(**REQUEST, findings={"findings": "x" * room})
    assert len(required.to_json()) == MAX_RECORD_BYTES
    request = after(None, CreateRequest.model_validate(dict(created)), APPROVE, TRIAGE_AS_REFUND, START)
    asked, approved = decide(request, required)
    assert isinstance(asked, ApprovalRequested)
    assert isinstance(approved, RequestApproved)
    for event in (asked, approved):
        assert MAX_RECORD_BYTES < len(event.to_json()) < MAX_EVENT_BYTES


def test_what_is_completed_by_hand_stops_the_resolution_that_may_still_pay() -> None:
    approved = request_in("approved")
    (by_hand,) = decide(approved, COMPLETE)
    assert by_hand.stopped_task_id == approved.task_id  # type: ignore[attr-defined]
    (by_task,) = decide(approved, COMPLETE.model_copy(update={"task_id": approved.task_id}))
    assert by_task.stopped_task_id is None  # type: ignore[attr-defined]


def test_approving_again_what_the_same_person_approved_changes_nothing_and_another_is_refused() -> None:
    for state in ("approved", "completed"):
        assert answer(request_in(state), APPROVE, context("grace")) == "-"
        assert answer(request_in(state), APPROVE, context("linus")) == "approving_requires_awaiting_approval"
    assert answer(request_in("rejected"), APPROVE, context("grace")) == "approving_requires_awaiting_approval"
    assert answer(request_in("approved"), REJECT, context("grace")) == "rejecting_requires_awaiting_approval"


# --- who may decide ---------------------------------------------------------------------------------------------------

DECIDING = [APPROVE, REJECT, DELEGATE, ASK]


@pytest.mark.parametrize("command", DECIDING)
def test_only_who_is_listed_decides_where_there_is_a_list(command: Command) -> None:
    request = waiting(approvers=("grace", "linus"))
    assert answer(request, command, context("grace")).startswith(("Request", "Approval", "Information"))
    assert answer(request, command, context("bob")) == "approver_must_be_listed"


def test_the_list_is_that_of_the_moment_when_the_approval_was_asked_for() -> None:
    request = waiting(approvers=("grace",))
    assert answer(request, APPROVE, context("bob", known=reference(approvers=("bob",)))) == "approver_must_be_listed"


@pytest.mark.parametrize("command", DECIDING)
def test_with_four_eyes_who_took_part_does_not_decide(command: Command) -> None:
    request = waiting(four_eyes=True)
    assert answer(request, command, context("ada")) == "four_eyes"
    assert answer(request, command, context("grace")) != "four_eyes"
    assert answer(waiting(four_eyes=False), command, context("ada")) != "four_eyes"


def test_whoever_changed_the_request_or_answered_a_question_took_part() -> None:
    changed = after(waiting(four_eyes=True), UPDATE, of=context("grace"))
    assert answer(changed, APPROVE, context("grace")) == "four_eyes"
    asked = after(waiting(four_eyes=True), ASK, of=context("linus"))
    answered = after(asked, ANSWER, of=context("grace"))
    assert answer(answered, APPROVE, context("grace")) == "four_eyes"
    assert answer(answered, APPROVE, context("linus")) == "RequestApproved", "asking back is no part in it"
    assert answered.participants == ("ada", "grace")


def test_whom_nobody_knows_takes_no_part() -> None:
    request = after(None, CREATE, of=NOBODY)
    assert request.participants == ()
    (updated,) = decide(request, UPDATE, NOBODY)
    assert isinstance(updated, RequestUpdated)
    assert updated.updated_by is None
    assert b"updated_by" not in updated.to_json()


# --- delegation -------------------------------------------------------------------------------------------------------


def test_a_delegated_approval_is_decided_by_the_delegate_alone() -> None:
    request = waiting()
    events = decide(request, DELEGATE)
    assert events == (ApprovalDelegated(**REQUEST, delegated_by="grace", delegated_to="linus", reason="out of office", delegated_at=NOW),)
    delegated = fold(request, events)
    for command in DECIDING:
        assert answer(delegated, command, context("grace")) == "approval_was_delegated"
    assert answer(delegated, APPROVE, context("linus")) == "RequestApproved"
    assert answer(delegated, DELEGATE, context("linus")) == "-", "to the delegate again"
    assert delegated.status is RequestStatus.AWAITING_APPROVAL


def test_a_delegate_hands_on() -> None:
    delegated = after(waiting(), DELEGATE)
    handed_on = after(delegated, DelegateApproval(**REQUEST, to="dennis"), of=context("linus"))
    assert answer(handed_on, APPROVE, context("linus")) == "approval_was_delegated"
    assert answer(handed_on, APPROVE, context("dennis")) == "RequestApproved"


def test_nobody_delegates_to_a_person_who_may_not_decide() -> None:
    assert answer(waiting(approvers=("grace", "dennis")), DELEGATE) == "approver_must_be_listed"
    assert answer(waiting(four_eyes=True), DelegateApproval(**REQUEST, to="ada")) == "four_eyes"
    assert answer(waiting(approvers=("grace", "linus")), DELEGATE) == "ApprovalDelegated"


def test_once_the_approval_was_escalated_a_delegation_binds_nobody() -> None:
    delegated = after(waiting(), DELEGATE)
    escalated = after(delegated, ESCALATE)
    assert answer(escalated, APPROVE, context("grace")) == "RequestApproved"
    assert answer(escalated, APPROVE, context("linus")) == "RequestApproved"
    later = after(escalated, DelegateApproval(**REQUEST, to="dennis"))
    assert answer(later, APPROVE, context("grace")) == "RequestApproved"


# --- asking back ------------------------------------------------------------------------------------------------------


def test_a_question_and_its_answer_leave_the_request_waiting() -> None:
    request = waiting()
    asked = decide(request, ASK)
    assert asked == (InformationRequested(**REQUEST, question="which order?", asked_by="grace", asked_at=NOW),)
    answered = decide(fold(request, asked), ANSWER, context("ada"))
    assert answered == (InformationGiven(**REQUEST, answer="the one of May", given_by="ada", given_at=NOW),)
    after_both = fold(request, (*asked, *answered))
    assert after_both.status is RequestStatus.AWAITING_APPROVAL
    assert answer(after_both, ANSWER) == "answering_requires_question"
    assert answer(after_both, ASK) == "InformationRequested"


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [REMIND, ESCALATE, EXPIRE])
def test_a_moment_counts_once_and_only_if_it_is_the_one_that_the_request_holds(command: Any) -> None:
    request = waiting()
    assert answer(request, command.model_copy(update={"due_at": command.due_at + timedelta(seconds=1)})) == "-"
    assert answer(request, command.model_copy(update={"due_at": command.due_at - timedelta(seconds=1)})) == "-"
    assert answer(request, command, context(at=NOW - timedelta(days=400))) != "-", "no clock is asked"
    assert answer(after(request, command), command) == "-"


def test_an_approval_that_nobody_gave_in_time_ends_rejected_by_nobody() -> None:
    request = waiting()
    events = decide(request, EXPIRE)
    assert events == (
        ApprovalExpired(**REQUEST, expired_at=NOW),
        RequestRejected(**REQUEST, rejected_by=None, reason="approval_expired", rejected_at=NOW),
    )
    assert fold(request, events).status is RequestStatus.REJECTED


def test_an_approval_just_before_its_end_counts_and_the_end_then_changes_nothing() -> None:
    approved = after(waiting(), REMIND, ESCALATE, APPROVE)
    assert answer(approved, EXPIRE) == "-"
    assert approved.status is RequestStatus.APPROVED


def test_what_happens_to_an_approval_that_nobody_waits_for_is_a_defect() -> None:
    with pytest.raises(UnexpectedEvent, match="nobody waits"):
        evolve(request_in("pending"), ApprovalExpired(**REQUEST, expired_at=NOW))


# --- in advance -------------------------------------------------------------------------------------------------------

TO_DECISION = (TRIAGE_AS_REFUND, START, REQUIRE)


def test_an_approval_in_advance_is_recorded_and_the_request_stays_pending() -> None:
    pending = request_in("pending")
    events = decide(pending, APPROVE)
    assert events == (
        ApprovedInAdvance(**REQUEST, approved_by="grace", reason="the customer is right", financial_impact=usd("99.99"), approved_at=NOW),
    )
    assert fold(pending, events).status is RequestStatus.PENDING


def test_an_approval_in_advance_counts_when_one_is_asked_for() -> None:
    request = after(request_in("approved in advance"), TRIAGE_AS_REFUND, START)
    requested, approved = decide(request, REQUIRE, context("requests-process", auth_type="system"))
    assert isinstance(requested, ApprovalRequested)
    assert approved == RequestApproved(
        **RESOLVABLE,
        category=Category.REFUND,
        approved_by="grace",
        reason="the customer is right",
        in_advance=True,
        financial_impact=usd("99.99"),
        approved_at=NOW,
    )
    assert fold(request, (requested, approved)).status is RequestStatus.APPROVED


@pytest.mark.parametrize("metadata", [{"amount": "99.98"}, {"amount": "100"}, {"amount": "99.99", "currency": "EUR"}, {}])
def test_an_approval_in_advance_does_not_cover_another_amount(metadata: dict[str, str]) -> None:
    changed = after(request_in("approved in advance"), UpdateRequest(**REQUEST, metadata=metadata))
    assert after(changed, *TO_DECISION).status is RequestStatus.AWAITING_APPROVAL
    assert answer(changed, APPROVE) == "ApprovedInAdvance", "the new amount can be approved in advance too"


def test_an_approval_in_advance_counts_only_if_its_giver_may_decide_when_it_is_asked_for() -> None:
    request = after(request_in("approved in advance"), TRIAGE_AS_REFUND, START)
    for known in (reference(approvers=("linus",)), reference(four_eyes=True)):
        participant = after(request, UPDATE, of=context("grace"))
        assert answer(participant, REQUIRE, context(known=known)) == "ApprovalRequested"
    assert answer(request, REQUIRE, context(known=reference(four_eyes=True))) == "ApprovalRequested RequestApproved"


def test_who_may_approve_in_advance_is_who_may_decide() -> None:
    pending = request_in("pending")
    assert answer(pending, APPROVE, context("bob", known=reference(approvers=("grace",)))) == "approver_must_be_listed"
    assert answer(pending, APPROVE, context("ada", known=reference(four_eyes=True))) == "four_eyes"
    assert answer(request_in("approved in advance"), APPROVE, context("linus")) == "approving_requires_awaiting_approval"


def test_an_approval_in_advance_of_what_needs_none_is_not_used() -> None:
    assert after(request_in("approved in advance"), TRIAGE, START, REQUIRE).approval_not_required


# --- completing without asking ----------------------------------------------------------------------------------------


def test_a_request_driven_by_hand_is_completed_only_if_the_policies_want_no_approval() -> None:
    error = refused(request_in("refund researching"), COMPLETE)
    assert error.details == {"rule": "completion_requires_approval", "status": "in_progress", "reasons": ["refund"]}
    vip = context(known=reference(tier=CustomerTier.ENTERPRISE))
    assert refused(request_in("researching"), COMPLETE, vip).details["reasons"] == ["escalated"]
    assert answer(request_in("resolving"), COMPLETE, vip) == "RequestCompleted", "that was decided"


def test_an_approval_is_asked_for_with_what_research_found_or_without() -> None:
    (event,) = decide(request_in("refund researching"), RequireApproval(**REQUEST))
    assert isinstance(event, ApprovalRequested)
    assert event.findings == {}
