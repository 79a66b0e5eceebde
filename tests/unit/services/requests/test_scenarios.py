"""The scenarios of TST-10 through the whole workflow, and the promise that no request is ever stuck, whatever comes in between."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.customers.values import CustomerTier
from contracts.message import Command
from contracts.money import Money
from contracts.requests.commands import (
    ApproveRequest,
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    ExpireApproval,
    ProcessRequest,
    RejectRequest,
    ReviewRequest,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.events import ApprovalRequested, RequestApproved, RequestCompleted, RequestEscalated
from contracts.requests.values import ApprovalReason, EscalationReason, RequestStatus
from contracts.tasks.values import TaskOutcome
from services.requests.domain import RESEARCH, RESOLUTION, TRIAGE
from tests.unit.services.requests.request_states import reference
from tests.unit.services.requests.workflow_model import TRIAGED, Workflow

REQUEST: dict[str, Any] = {"tenant_id": "test-tenant", "request_id": "req-1"}
COMPLETED_ALONE = ["RequestCreated", "RequestTriaged", "ResearchStarted", "ApprovalNotRequired", "RequestCompleted"]


def created(workflow: Workflow, **fields: Any) -> Workflow:
    workflow.send(CreateRequest(**{**REQUEST, "customer_id": "cust-0042", "message": "I forgot my password", **fields}))
    return workflow


def triaged_as(**fields: Any) -> Workflow:
    workflow = Workflow()
    workflow.results[TRIAGE] = {**TRIAGED, **fields}
    return workflow


def escalation(workflow: Workflow) -> tuple[EscalationReason, ...]:
    reasons: tuple[EscalationReason, ...] = workflow.last(RequestEscalated).reasons
    return reasons


def test_a_password_reset_completes_without_a_human() -> None:
    workflow = created(triaged_as(category="account", priority=2)).run()
    assert workflow.names == COMPLETED_ALONE


def test_a_refund_of_99_99_waits_for_an_approval_and_completes_once_it_is_given() -> None:
    workflow = created(triaged_as(category="refund"), metadata={"amount": "99.99", "order_id": "A-1"}).run()
    assert workflow.status is RequestStatus.AWAITING_APPROVAL
    assert workflow.last(ApprovalRequested).reasons == (ApprovalReason.REFUND,)
    workflow.send(ApproveRequest(**REQUEST), "grace")
    asked: list[Any] = []
    while not asked:
        assert workflow.advance_requests() or workflow.advance_events() or workflow.advance_tasks()
        asked = list(workflow.tasks.values())
    assert asked[0].input["refund"] == {"amount": "99.99", "currency": "USD"}
    assert workflow.run().names[-2:] == ["RequestApproved", "RequestCompleted"]


def test_a_refund_that_is_rejected_is_never_answered() -> None:
    workflow = created(triaged_as(category="refund"), metadata={"amount": "99.99"}).run()
    workflow.send(RejectRequest(**REQUEST, reason="never paid"), "grace")
    assert workflow.run().status is RequestStatus.REJECTED
    assert "RequestApproved" not in workflow.names


def test_1500_00_at_high_priority_is_escalated() -> None:
    workflow = created(triaged_as(category="billing", priority=3), metadata={"amount": "1500.00"}).run()
    assert escalation(workflow) == (EscalationReason.HIGH_PRIORITY_NEEDS_APPROVAL,)
    assert workflow.last(ApprovalRequested).reasons == (ApprovalReason.AMOUNT_ABOVE_THRESHOLD, ApprovalReason.ESCALATED)


def test_a_request_of_an_enterprise_customer_is_escalated() -> None:
    workflow = triaged_as()
    workflow.known = reference(tier=CustomerTier.ENTERPRISE)
    created(workflow).run()
    assert escalation(workflow) == (EscalationReason.VIP_CUSTOMER,)
    assert workflow.status is RequestStatus.AWAITING_APPROVAL


@pytest.mark.parametrize(("confidence", "status"), [(0.59, RequestStatus.AWAITING_APPROVAL), (0.60, RequestStatus.COMPLETED)])
def test_a_confidence_below_0_6_is_escalated_and_0_6_is_not(confidence: float, status: RequestStatus) -> None:
    assert created(triaged_as(confidence=confidence)).run().status is status


@pytest.mark.parametrize(("amount", "status"), [("1000.00", RequestStatus.COMPLETED), ("1000.01", RequestStatus.AWAITING_APPROVAL)])
def test_exactly_1000_00_needs_no_approval_and_a_cent_more_does(amount: str, status: RequestStatus) -> None:
    assert created(triaged_as(category="billing"), metadata={"amount": amount}).run().status is status


def test_the_threshold_is_the_tenants() -> None:
    workflow = triaged_as(category="billing")
    workflow.known = reference(approval_threshold=Money("50", "USD"))
    created(workflow, metadata={"amount": "50.01"}).run()
    assert workflow.last(ApprovalRequested).reasons == (ApprovalReason.AMOUNT_ABOVE_THRESHOLD,)
    assert workflow.last(ApprovalRequested).approval_threshold == Money("50", "USD")


def test_a_refund_approved_in_advance_completes_without_waiting() -> None:
    workflow = created(triaged_as(category="refund"), metadata={"amount": "99.99"})
    workflow.send(ApproveRequest(**REQUEST), "grace")
    workflow.run()
    assert workflow.names[1] == "ApprovedInAdvance"
    assert workflow.names[-3:] == ["ApprovalRequested", "RequestApproved", "RequestCompleted"]


def test_an_approval_that_expires_rejects_the_request() -> None:
    workflow = created(triaged_as(category="refund")).run()
    workflow.send(ExpireApproval(**REQUEST, due_at=workflow.last(ApprovalRequested).expires_at), "scheduler")
    assert workflow.run().names[-2:] == ["ApprovalExpired", "RequestRejected"]


def test_a_lost_workflow_is_started_again_and_a_running_one_is_left_alone() -> None:
    workflow = created(Workflow())
    workflow.advance_requests()
    workflow.events.clear()  # what should have asked for the triage is lost
    workflow.send(ProcessRequest(**REQUEST))
    assert workflow.run().status is RequestStatus.PENDING
    workflow.pass_time(timedelta(minutes=15))
    workflow.send(ProcessRequest(**REQUEST))
    assert workflow.run().status is RequestStatus.COMPLETED


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_step_that_fails_fails_the_request(step: int) -> None:
    workflow = created(Workflow())
    done = 0
    while not (workflow.tasks and done == step):
        if workflow.tasks:
            workflow.finish(next(iter(workflow.tasks)))
            done += 1
        assert workflow.advance_events() or workflow.advance_requests() or workflow.advance_tasks()
    workflow.finish(next(iter(workflow.tasks)), TaskOutcome.TIMEOUT)
    assert workflow.run().status is RequestStatus.FAILED


def test_a_failed_resolution_fails_an_approved_request() -> None:
    workflow = created(triaged_as(category="refund")).run()
    workflow.results[RESOLUTION] = {}
    workflow.send(ApproveRequest(**REQUEST), "grace")
    assert workflow.run().names[-2:] == ["RequestApproved", "RequestFailed"]


# --- whatever comes in between ----------------------------------------------------------------------------------------

IN_BETWEEN: list[Command] = [
    ApproveRequest(**REQUEST),
    RejectRequest(**REQUEST, reason="no"),
    UpdateRequest(**REQUEST, metadata={"amount": "1500.00"}),
    UpdateRequest(**REQUEST, category="refund", priority=2),
    UpdateRequest(**REQUEST, category="account", priority=4),
    UpdateRequest(**REQUEST, message="hurry"),
    ReviewRequest(**REQUEST),
    ProcessRequest(**REQUEST),
    TriageRequest(**REQUEST, category="refund", priority=3, confidence=0.5),
    StartResearch(**REQUEST),
    CompleteRequest(**REQUEST, resolution="by hand"),
    DeleteRequest(**REQUEST),
]
ACTIONS = ["events", "events", "requests", "requests", "tasks", "tasks", "finish", "finish", "fail", "hour", "vip"]


def until_open(workflow: Workflow, step: str) -> None:
    """Everything goes on until an agent has the step's task; a request that waits for a person before that waits."""
    for _ in range(30):
        if any(task.task_type == step for task in workflow.tasks.values()):
            return
        if not (workflow.advance_events() or workflow.advance_requests() or workflow.advance_tasks()) and workflow.tasks:
            workflow.finish(next(iter(workflow.tasks)))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["account", "refund"]),
    st.sampled_from([TRIAGE, RESEARCH, RESOLUTION]),
    st.lists(st.sampled_from(ACTIONS) | st.sampled_from(IN_BETWEEN), max_size=40),
)
def test_no_request_is_ever_stuck_whatever_comes_in_between(category: str, begin: str, actions: list[str | Command]) -> None:
    workflow = created(triaged_as(category=category))
    until_open(workflow, begin)
    for action in actions:
        if isinstance(action, Command):
            workflow.send(action, "grace")
        elif action in ("finish", "fail") and workflow.tasks:
            workflow.finish(next(iter(workflow.tasks)), TaskOutcome.SUCCESS if action == "finish" else TaskOutcome.FAILURE)
        elif action == "hour":
            workflow.pass_time(timedelta(hours=1))
        elif action == "vip":
            workflow.known = reference(tier=CustomerTier.ENTERPRISE)
        elif action in ("events", "requests", "tasks"):
            getattr(workflow, f"advance_{action}")()
    workflow.run()
    assert not workflow.is_stuck, workflow.names
    assert not workflow.tasks
    approved = [event for event in workflow.history if isinstance(event, RequestApproved)]
    assert len(approved) <= 1, "a refund is told to an agent once"
    if approved and workflow.status is RequestStatus.COMPLETED:
        assert workflow.last(RequestCompleted).resolution in (approved[0].task_id, "by hand"), "what was stopped answers nothing"
