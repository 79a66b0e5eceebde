"""Given the events of a request, when a command comes, then these events follow or this rule refuses it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.errors import BusinessRuleViolation, DomainError, ResourceNotFound
from contracts.message import Command
from contracts.requests.commands import (
    COMMANDS,
    CompleteRequest,
    CreateRequest,
    DeleteRequest,
    FailRequest,
    StartResearch,
    TriageRequest,
    UpdateRequest,
)
from contracts.requests.events import (
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestEvent,
    RequestFailed,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)
from contracts.requests.values import Category, Priority, RequestStatus
from infra.runtime.base import DecisionContext
from services.requests.domain import RESEARCH, Request, UnexpectedEvent, evolve, task_of
from services.requests.domain import TRIAGE as TRIAGE_STEP
from services.requests.handlers import DECISIONS
from services.requests.handlers.workflow import thread_of

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
RECORDED = NOW - timedelta(seconds=3)
CONTEXT = DecisionContext(NOW, RECORDED, "test-tenant", "user", "u-1", "c-1")
REQUEST: dict[str, Any] = {"tenant_id": "test-tenant", "request_id": "req-1"}
STRANGER: dict[str, Any] = {"tenant_id": "other-tenant", "request_id": "req-1"}

CREATE = CreateRequest(**REQUEST, customer_id="cust-0042", message="where is my order", metadata={"order_id": "A-1"})
TRIAGE = TriageRequest(**REQUEST, category="technical", priority=3, confidence=0.9, reason="names an order")
START = StartResearch(**REQUEST)
COMPLETE = CompleteRequest(**REQUEST, resolution="it is on its way")
UPDATE = UpdateRequest(**REQUEST, message="where is my parcel")
FAIL = FailRequest(**REQUEST, reason="the task triage was given up")
DELETE = DeleteRequest(**REQUEST)
COMMANDS_ON_EXISTING = [TRIAGE, START, COMPLETE, UPDATE, FAIL, DELETE]

TO_PENDING = [CREATE]
TO_TRIAGED = [*TO_PENDING, TRIAGE]
TO_IN_PROGRESS = [*TO_TRIAGED, START]
TO_COMPLETED = [*TO_IN_PROGRESS, COMPLETE]
TO_FAILED = [*TO_PENDING, FAIL]
TO_DELETED = [*TO_PENDING, DELETE]
PATHS: dict[RequestStatus, list[Command]] = {
    RequestStatus.PENDING: TO_PENDING,
    RequestStatus.TRIAGED: TO_TRIAGED,
    RequestStatus.IN_PROGRESS: TO_IN_PROGRESS,
    RequestStatus.COMPLETED: TO_COMPLETED,
    RequestStatus.FAILED: TO_FAILED,
    RequestStatus.DELETED: TO_DELETED,
}


def decide(request: Request | None, command: Command, context: DecisionContext = CONTEXT) -> tuple[RequestEvent, ...]:
    return DECISIONS[type(command)](request, command, context)  # type: ignore[return-value]


def given(*commands: Command) -> Request:
    """The state after commands that must succeed."""
    request: Request | None = None
    for command in commands:
        for event in decide(request, command):
            request = evolve(request, event)
    assert request is not None
    return request


def refused(request: Request | None, command: Command) -> DomainError:
    with pytest.raises(DomainError) as caught:
        decide(request, command)
    return caught.value


def broken_rule(request: Request, command: Command) -> str:
    error = refused(request, command)
    assert isinstance(error, BusinessRuleViolation)
    assert error.code == "BUSINESS_RULE_VIOLATION"
    return error.rule


def test_every_command_of_the_context_has_its_decision() -> None:
    assert set(DECISIONS) == set(COMMANDS)


# --- create -----------------------------------------------------------------------------------------------------------


def test_creating_raises_exactly_one_event_that_holds_the_whole_first_state() -> None:
    assert decide(None, CREATE) == (
        RequestCreated(
            **REQUEST,
            customer_id="cust-0042",
            message="where is my order",
            priority=Priority.MEDIUM,
            category=None,
            metadata={"order_id": "A-1"},
            thread_id=thread_of(CREATE.request_id),
            created_at=NOW,
            requested_at=RECORDED,
            created_by="u-1",
        ),
    )


def test_a_created_request_is_pending_since_now() -> None:
    request = given(CREATE)
    assert request.status is RequestStatus.PENDING
    assert request.created_at == NOW


def test_the_commands_own_timestamp_and_thread_are_kept() -> None:
    asked = NOW - timedelta(days=1)
    (created,) = decide(None, CREATE.model_copy(update={"timestamp": asked, "thread_id": "thread-7"}))
    assert isinstance(created, RequestCreated)
    assert created.requested_at == asked
    assert created.created_at == NOW
    assert created.thread_id == "thread-7"


def test_a_derived_thread_is_the_same_for_the_same_request_and_another_for_another() -> None:
    assert thread_of(CREATE.request_id) == thread_of(CREATE.request_id)
    assert thread_of(CREATE.request_id).startswith("thread-")
    assert thread_of(CREATE.request_id) != thread_of(CREATE.request_id + "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("status", PATHS)
@pytest.mark.parametrize("tenant", ["test-tenant", "other-tenant"])
def test_an_id_is_used_once_by_whichever_tenant_and_in_whatever_state(status: RequestStatus, tenant: str) -> None:
    again = CREATE.model_copy(update={"tenant_id": tenant})
    assert broken_rule(given(*PATHS[status]), again) == "request_must_not_exist"


# --- the state machine ------------------------------------------------------------------------------------------------


def test_triage_assigns_category_priority_and_confidence() -> None:
    pending = given(*TO_PENDING)
    assert decide(pending, TRIAGE) == (
        RequestTriaged(
            **REQUEST,
            assigned_category=Category.TECHNICAL,
            assigned_priority=Priority.HIGH,
            confidence=0.9,
            reason="names an order",
            customer_tier=CustomerTier.STANDARD,
            stopped_task_id=task_of("req-1", TRIAGE_STEP),
            triaged_at=NOW,
        ),
    )
    triaged = given(*TO_TRIAGED)
    assert (triaged.status, triaged.category, triaged.priority) == (RequestStatus.TRIAGED, Category.TECHNICAL, Priority.HIGH)
    assert triaged.confidence_score == 0.9


def test_triage_overrides_what_the_customer_sent() -> None:
    sent = CREATE.model_copy(update={"category": Category.BILLING, "priority": Priority.CRITICAL})
    request = given(sent, TRIAGE)
    assert (request.category, request.priority) == (Category.TECHNICAL, Priority.HIGH)


def test_triage_may_make_a_refund_of_a_request_with_low_priority() -> None:
    low = CREATE.model_copy(update={"priority": Priority.LOW})
    request = given(low, TriageRequest(**REQUEST, category="refund", priority=2, confidence=1))
    assert (request.category, request.priority) == (Category.REFUND, Priority.MEDIUM)


def test_research_starts_on_a_triaged_request() -> None:
    (started,) = decide(given(*TO_TRIAGED), START)
    assert started == ResearchStarted(
        **REQUEST,
        message="where is my order",
        category=Category.TECHNICAL,
        priority=Priority.HIGH,
        metadata={"order_id": "A-1"},
        task_id=task_of("req-1", RESEARCH, "c-1"),
        started_at=NOW,
    )
    assert given(*TO_IN_PROGRESS).status is RequestStatus.IN_PROGRESS


def test_research_is_told_what_the_request_says_by_now() -> None:
    changed = UpdateRequest(**REQUEST, message="where is my parcel", priority=4, category="product", metadata={})
    (started,) = decide(given(*TO_TRIAGED, changed), START)
    assert isinstance(started, ResearchStarted)
    assert (started.message, started.priority, started.category) == ("where is my parcel", Priority.CRITICAL, Category.PRODUCT)
    assert json.loads(started.to_json())["metadata"] == {}


def test_research_of_a_request_that_has_neither_category_nor_metadata_says_so_on_the_wire() -> None:
    triaged = given(CREATE.model_copy(update={"metadata": {}}), TRIAGE).model_copy(update={"category": None})
    (started,) = decide(triaged, START)
    fields = json.loads(started.to_json())
    assert list(fields) == ["tenant_id", "request_id", "message", "category", "priority", "metadata", "task_id", "started_at"]
    assert (fields["category"], fields["metadata"]) == (None, {})


def test_research_that_was_recorded_before_it_told_the_request_is_read_and_written_as_it_was() -> None:
    old = b'{"tenant_id":"test-tenant","request_id":"req-1","started_at":"2026-05-04T09:30:00Z"}'
    event = ResearchStarted.from_json(old)
    assert (event.message, event.category, event.priority, event.metadata) == ("", None, Priority.MEDIUM, {})
    assert event.to_json() == old
    assert evolve(given(*TO_TRIAGED), event) == given(*TO_IN_PROGRESS).model_copy(update={"task_id": task_of("req-1", RESEARCH)})


def test_a_request_in_progress_completes_with_its_resolution() -> None:
    in_progress = given(*TO_IN_PROGRESS)
    done = RequestCompleted(**REQUEST, resolution="it is on its way", stopped_task_id=in_progress.task_id, completed_at=NOW)
    assert decide(in_progress, COMPLETE) == (done,)
    completed = given(*TO_COMPLETED)
    assert (completed.status, completed.resolution) == (RequestStatus.COMPLETED, "it is on its way")


@pytest.mark.parametrize(
    ("command", "allowed", "rule"),
    [
        (TRIAGE, {RequestStatus.PENDING}, "triage_requires_pending"),
        (START, {RequestStatus.TRIAGED}, "research_requires_triaged"),
        (COMPLETE, {RequestStatus.IN_PROGRESS}, "completion_requires_in_progress"),
        (UPDATE, {RequestStatus.PENDING, RequestStatus.TRIAGED, RequestStatus.IN_PROGRESS}, "update_requires_open_request"),
        (
            FAIL,
            {RequestStatus.PENDING, RequestStatus.TRIAGED, RequestStatus.IN_PROGRESS, RequestStatus.FAILED},
            "failure_requires_open_request",
        ),
    ],
)
@pytest.mark.parametrize("status", [each for each in PATHS if each is not RequestStatus.DELETED])
def test_a_command_is_taken_in_its_states_and_refused_by_its_rule_in_all_others(
    command: Command, allowed: set[RequestStatus], rule: str, status: RequestStatus
) -> None:
    request = given(*PATHS[status])
    assert request.status is status
    if status in allowed:
        assert len(decide(request, command)) == (0 if (command, status) == (FAIL, RequestStatus.FAILED) else 1)
    else:
        error = refused(request, command)
        assert error.details == {"rule": rule, "status": status.value}


# --- update -----------------------------------------------------------------------------------------------------------


def test_an_update_records_only_what_differs() -> None:
    command = UpdateRequest(**REQUEST, message="where is my order", priority=4, category="product", metadata={"order_id": "A-1"})
    (updated,) = decide(given(CREATE), command)
    assert updated == RequestUpdated(**REQUEST, priority=Priority.CRITICAL, category=Category.PRODUCT, updated_by="u-1", updated_at=NOW)
    assert b"message" not in updated.to_json()


def test_an_update_replaces_the_metadata_whole() -> None:
    request = given(CREATE, UpdateRequest(**REQUEST, metadata={"note": [1, {"a": None}]}))
    assert request.metadata == {"note": (1, {"a": None})}
    assert given(CREATE, UpdateRequest(**REQUEST, metadata={})).metadata == {}


def test_an_update_that_changes_nothing_has_nothing_to_record() -> None:
    same = UpdateRequest(**REQUEST, message=" where is my order ", priority=2, metadata={"order_id": "A-1"})
    assert decide(given(CREATE), same) == ()


def test_the_order_of_metadata_is_no_change_and_another_type_is_one() -> None:
    request = given(CREATE.model_copy(update={"metadata": {"a": 1, "b": [2]}}))
    assert decide(request, UpdateRequest(**REQUEST, metadata={"b": [2], "a": 1})) == ()
    assert decide(request, UpdateRequest(**REQUEST, metadata={"b": [2], "a": True}))
    assert decide(request, UpdateRequest(**REQUEST, metadata={"b": [2], "a": 1.0}))


@pytest.mark.parametrize(
    ("category", "priority", "change"),
    [("refund", 2, {"priority": 1}), ("billing", 1, {"category": "refund"}), (None, 1, {"category": "refund"})],
)
def test_an_update_cannot_make_a_refund_of_low_priority(category: str | None, priority: int, change: dict[str, Any]) -> None:
    request = given(CreateRequest(**REQUEST, customer_id="cust-0042", message="m", category=category, priority=priority))
    assert broken_rule(request, UpdateRequest(**REQUEST, **change)) == "refund_requires_medium_priority"


@pytest.mark.parametrize("change", [{"category": "refund", "priority": 2}, {"priority": 3}, {"category": "account"}])
def test_an_update_within_the_refund_rule_is_taken(change: dict[str, Any]) -> None:
    low = CreateRequest(**REQUEST, customer_id="cust-0042", message="m", category="billing", priority=1)
    assert decide(given(low), UpdateRequest(**REQUEST, **change))


# --- fail -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [RequestStatus.PENDING, RequestStatus.TRIAGED, RequestStatus.IN_PROGRESS])
def test_an_open_request_fails_with_the_reason(status: RequestStatus) -> None:
    request = given(*PATHS[status])
    stopped = request.task_id
    assert decide(request, FAIL) == (RequestFailed(**REQUEST, reason=FAIL.reason, stopped_task_id=stopped, failed_at=NOW),)
    failed = given(*PATHS[status], FAIL)
    assert failed == request.model_copy(update={"status": RequestStatus.FAILED, "task_id": None, "findings": {}})


def test_a_failure_that_its_own_task_led_to_has_no_task_to_stop() -> None:
    request = given(*TO_IN_PROGRESS)
    (failed,) = decide(request, FAIL.model_copy(update={"task_id": request.task_id}))
    assert isinstance(failed, RequestFailed)
    assert failed.stopped_task_id is None


def test_failing_a_failed_request_changes_nothing_whatever_the_reason() -> None:
    assert decide(given(*TO_FAILED), FAIL) == ()
    assert decide(given(*TO_FAILED), FAIL.model_copy(update={"reason": "another"})) == ()


@pytest.mark.parametrize("command", [TRIAGE, START, COMPLETE, UPDATE])
def test_a_failed_request_is_worked_on_no_more(command: Command) -> None:
    assert refused(given(*TO_FAILED), command).details["status"] == "failed"


# --- delete -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [each for each in PATHS if each is not RequestStatus.DELETED])
def test_a_request_is_deleted_from_any_state(status: RequestStatus) -> None:
    request = given(*PATHS[status])
    command = DeleteRequest(**REQUEST, reason="withdrawn")
    stopped = request.task_id
    assert decide(request, command) == (RequestDeleted(**REQUEST, reason="withdrawn", stopped_task_id=stopped, deleted_at=NOW),)
    assert given(*PATHS[status], command).status is RequestStatus.DELETED


def test_deleting_a_deleted_request_changes_nothing() -> None:
    assert decide(given(*TO_DELETED), DELETE) == ()


# --- not there --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS_ON_EXISTING)
def test_a_request_that_does_not_exist_is_not_found(command: Command) -> None:
    error = refused(None, command)
    assert isinstance(error, ResourceNotFound)
    assert error.details == {"resource_type": "Request", "resource_id": "req-1"}


@pytest.mark.parametrize("command", COMMANDS_ON_EXISTING)
@pytest.mark.parametrize("status", PATHS)
def test_a_request_of_another_tenant_is_not_found_in_whatever_state(command: Command, status: RequestStatus) -> None:
    strange = command.model_copy(update={"tenant_id": "other-tenant"})
    error = refused(given(*PATHS[status]), strange)
    assert isinstance(error, ResourceNotFound)
    assert error.to_error() == refused(None, strange).to_error()


@pytest.mark.parametrize("command", [each for each in COMMANDS_ON_EXISTING if each is not DELETE])
def test_a_deleted_request_is_not_found(command: Command) -> None:
    assert isinstance(refused(given(*TO_DELETED), command), ResourceNotFound)


# --- the state itself -------------------------------------------------------------------------------------------------


def test_the_state_cannot_be_changed_in_place() -> None:
    request = given(CREATE)
    with pytest.raises(ValueError, match="frozen"):
        request.status = RequestStatus.COMPLETED  # type: ignore[misc]
    with pytest.raises(TypeError):
        request.metadata["order_id"] = "B"  # type: ignore[index]


def test_an_event_out_of_order_is_a_defect_and_no_refusal() -> None:
    (created,) = decide(None, CREATE)
    with pytest.raises(UnexpectedEvent, match="first event"):
        evolve(None, ResearchStarted(**REQUEST, started_at=NOW))
    with pytest.raises(UnexpectedEvent, match="cannot follow"):
        evolve(given(CREATE), created)


def test_evolving_leaves_the_earlier_state_as_it_was() -> None:
    before = given(CREATE)
    (deleted,) = decide(before, DELETE)
    after = evolve(before, deleted)
    assert before.status is RequestStatus.PENDING
    assert after.status is RequestStatus.DELETED
