"""Given an event, then these commands follow: the whole process of a request, its failures, and what it leaves alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.customers.values import CustomerTier
from contracts.envelope import Metadata, RecordedEvent
from contracts.fields import MAX_REASON_CHARACTERS
from contracts.message import Command, Event
from contracts.money import Money
from contracts.rejections import CommandRejected, rejected_type
from contracts.requests.commands import CompleteRequest, FailRequest, RequireApproval, StartResearch, TriageRequest
from contracts.requests.events import (
    EVENTS,
    ApprovalNotRequired,
    ApprovalRequested,
    ProcessingStarted,
    RequestApproved,
    RequestCompleted,
    RequestCreated,
    RequestDeleted,
    RequestFailed,
    RequestTriaged,
    RequestUpdated,
    ResearchStarted,
)
from contracts.requests.values import ApprovalReason, Category, Priority
from contracts.tasks.commands import CancelTask, RequestTask
from contracts.tasks.events import TaskCompleted
from contracts.tasks.values import Requirement, TaskOutcome
from contracts.topics import MAX_RECORD_BYTES
from infra.process_managers.base import NextCommand
from services.requests.process import PROCESS, RESEARCH, RESOLUTION, STEPS, TRIAGE, RequestProcess, Step, task_of

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
REQUEST: dict[str, Any] = {"tenant_id": "test-tenant", "request_id": "req-1"}
EVENT_ID = "0b5a6b53-7c1f-4f0e-8a51-2f6f3e1d9a10"
KNOWN = {"message": "where is my order", "category": None, "priority": 3, "metadata": {"order_id": "A-1", "tags": ["a", None]}}
TRIAGED = {"category": "technical", "priority": 3, "confidence": 0.9, "reason": "names an order"}
FOUND = {"findings": [{"title": "Orders"}], "message": "as it was", "priority": 1, "search_terms": ["order"], "refund": {"amount": "9"}}

CREATED = RequestCreated(
    **REQUEST,
    customer_id="cust-0042",
    message="where is my order",
    priority=Priority.HIGH,
    category=None,
    metadata=KNOWN["metadata"],
    thread_id="thread-1",
    created_at=NOW,
    requested_at=NOW,
)
REQUEST_TRIAGED = RequestTriaged(
    **REQUEST, assigned_category=Category.TECHNICAL, assigned_priority=Priority.HIGH, confidence=0.9, triaged_at=NOW
)
STARTED = ResearchStarted(
    **REQUEST,
    message="where is my order",
    category=Category.TECHNICAL,
    priority=Priority.CRITICAL,
    metadata=KNOWN["metadata"],
    task_id="task-2",
    started_at=NOW,
)
TERMS: dict[str, Any] = {
    "task_id": "task-3",
    "customer_id": "cust-0042",
    "message": "where is my order",
    "category": Category.REFUND,
    "priority": Priority.CRITICAL,
    "metadata": KNOWN["metadata"],
    "findings": FOUND,
}
NOT_REQUIRED = ApprovalNotRequired(
    **REQUEST, **TERMS, approval_threshold=Money("1000.00"), customer_tier=CustomerTier.STANDARD, decided_at=NOW
)
APPROVED = RequestApproved(**REQUEST, **TERMS, approved_by="grace", financial_impact=Money("99.90", "EUR"), approved_at=NOW)
RESTARTED = ProcessingStarted(
    **REQUEST, task_id="task-9", replaces="task-1", message="where is my order", priority=3, metadata=KNOWN["metadata"], started_at=NOW
)
REQUESTED = ApprovalRequested(
    **REQUEST,
    reasons=(ApprovalReason.REFUND,),
    customer_id="cust-0042",
    message="where is my order",
    approval_threshold=Money("1000.00"),
    customer_tier=CustomerTier.STANDARD,
    remind_at=NOW,
    escalate_at=NOW,
    expires_at=NOW,
    requested_at=NOW,
)


def completed(step: str, **changes: Any) -> TaskCompleted:
    """The end of a step's task."""
    fields: dict[str, Any] = {
        "tenant_id": "test-tenant",
        "task_id": task_of("req-1", step),
        "task_type": step,
        "kind": step,
        "subject_id": "req-1",
        "agent_id": "agent-1",
        "attempt": 1,
        "outcome": TaskOutcome.SUCCESS,
        "completed_at": NOW,
    }
    return TaskCompleted(**{**fields, **changes})


def rejected(command: type[Command], code: str, **changes: Any) -> CommandRejected:
    fields: dict[str, Any] = {
        "tenant_id": "test-tenant",
        "aggregate_id": "req-1",
        "command_id": "c-1",
        "command_type": command.type_name,
        "error_type": "ValidationError",
        "code": code,
        "message": "Priority should be 1, 2, 3 or 4",
    }
    return CommandRejected(**{**fields, **changes})


def recorded(event: Event, event_id: str = EVENT_ID, source: str = "") -> RecordedEvent:
    """The event as the worker gets it; a rejection has the source of the refused command."""
    context = event.context or "requests"
    type_name = rejected_type(context) if isinstance(event, CommandRejected) else event.type_name
    given = source or (PROCESS.source if isinstance(event, CommandRejected) else f"/agentmesh/{context}")
    metadata = Metadata(
        event_id, type_name, given, event.aggregate_id, "2026-05-04T09:30:00Z", event.tenant_id, "user", "u-1", "corr-1", "cause-1"
    )
    return RecordedEvent(metadata, event.to_json(), 1, 7, context)


def reactions(event: Event, **changes: Any) -> list[NextCommand]:
    return PROCESS.changes(recorded(event, **changes))


def follows(event: Event, **changes: Any) -> list[Command]:
    return [following.command for following in reactions(event, **changes)]


def failure(event: Event, task_id: str | None = None) -> str:
    """The reason of the one FailRequest that follows, which names the task that led to it."""
    (command,) = follows(event)
    assert isinstance(command, FailRequest)
    assert (command.tenant_id, command.request_id) == ("test-tenant", "req-1")
    assert command.task_id == (event.task_id if isinstance(event, TaskCompleted) else task_id)
    return command.reason


def task(step: str, priority: Priority, known: Any, task_id: str = "") -> RequestTask:
    return RequestTask(
        tenant_id="test-tenant",
        task_id=task_id or task_of("req-1", step),
        task_type=step,
        kind=step,
        subject_id="req-1",
        requirements=(Requirement(name=step),),
        priority=priority,
        input=known,
    )


# --- the way of a request ---------------------------------------------------------------------------------------------


def test_a_new_request_is_triaged_by_an_agent_that_is_told_all_of_it() -> None:
    assert follows(CREATED) == [task(TRIAGE, Priority.HIGH, KNOWN)]
    of_a_category = CREATED.model_copy(update={"category": Category.BILLING})
    (asked,) = follows(of_a_category)
    assert isinstance(asked, RequestTask)
    assert asked.input["category"] == "billing"


def test_what_triage_found_is_recorded_at_the_request() -> None:
    of = {**REQUEST, "task_id": task_of("req-1", TRIAGE)}
    assert follows(completed(TRIAGE, result=TRIAGED)) == [TriageRequest(**of, **TRIAGED)]
    without_reason = {name: value for name, value in TRIAGED.items() if name != "reason"}
    assert follows(completed(TRIAGE, result={**without_reason, "model": "rules"})) == [TriageRequest(**of, **without_reason)]


def test_research_of_a_triaged_request_starts() -> None:
    assert follows(REQUEST_TRIAGED) == [StartResearch(**REQUEST)]


def test_research_that_started_is_an_agents_work() -> None:
    assert follows(STARTED) == [task(RESEARCH, Priority.CRITICAL, {**KNOWN, "category": "technical", "priority": 4}, "task-2")]


def test_research_that_was_recorded_before_it_told_the_request_is_asked_for_all_the_same() -> None:
    (asked,) = follows(ResearchStarted(**REQUEST, started_at=NOW))
    assert asked == task(RESEARCH, Priority.MEDIUM, {"message": "", "category": None, "priority": 2, "metadata": {}})


def test_what_research_found_goes_to_the_policies() -> None:
    done = completed(RESEARCH, task_id="task-2", result=FOUND)
    assert follows(done) == [RequireApproval(**REQUEST, task_id="task-2", findings=FOUND)]


RESOLVABLE = {
    "findings": [{"title": "Orders"}],
    "search_terms": ["order"],
    "message": "where is my order",
    "category": "refund",
    "priority": 4,
    "metadata": KNOWN["metadata"],
    "request_id": "req-1",
    "customer_id": "cust-0042",
}


def test_what_needs_no_approval_goes_to_the_agent_that_answers_as_the_request_says_it_and_without_a_refund() -> None:
    assert follows(NOT_REQUIRED) == [task(RESOLUTION, Priority.CRITICAL, RESOLVABLE, "task-3")]


def test_an_approved_refund_is_told_to_the_agent_that_answers_with_the_approved_amount() -> None:
    refund = {"amount": "99.90", "currency": "EUR"}
    assert follows(APPROVED) == [task(RESOLUTION, Priority.CRITICAL, {**RESOLVABLE, "refund": refund}, "task-3")]


@pytest.mark.parametrize("change", [{"category": Category.BILLING}, {"financial_impact": None}])
def test_an_approval_of_anything_else_brings_no_refund(change: dict[str, Any]) -> None:
    (asked,) = follows(APPROVED.model_copy(update=change))
    assert isinstance(asked, RequestTask)
    assert "refund" not in asked.input


def test_a_resolution_completes_the_request() -> None:
    done = completed(RESOLUTION, task_id="task-3", result={"resolution": "it is on its way", "cited": []})
    assert follows(done) == [CompleteRequest(**REQUEST, task_id="task-3", resolution="it is on its way")]


def test_a_workflow_that_was_started_again_has_a_new_task_and_the_old_one_is_called_off() -> None:
    asked, cancelled = follows(RESTARTED)
    assert asked == task(TRIAGE, Priority.HIGH, KNOWN, "task-9")
    assert isinstance(cancelled, CancelTask)
    assert (cancelled.tenant_id, cancelled.task_id) == ("test-tenant", "task-1")


STOPPING: list[Any] = [
    REQUESTED,
    RequestCompleted(**REQUEST, resolution="done", completed_at=NOW),
    RequestFailed(**REQUEST, reason="given up", failed_at=NOW),
    RequestDeleted(**REQUEST, deleted_at=NOW),
]


@pytest.mark.parametrize("event", STOPPING, ids=lambda event: type(event).__name__)
def test_a_step_that_is_not_wanted_any_more_is_called_off(event: Event) -> None:
    assert follows(event) == []
    (cancelled,) = follows(event.model_copy(update={"stopped_task_id": "task-3"}))
    assert isinstance(cancelled, CancelTask)
    assert (cancelled.tenant_id, cancelled.task_id) == ("test-tenant", "task-3")


def test_no_other_event_is_reacted_to() -> None:
    starting = {RequestCreated, ProcessingStarted, RequestTriaged, ResearchStarted, ApprovalNotRequired, RequestApproved}
    assert set(PROCESS.reactions) == {*starting, *(type(event) for event in STOPPING), TaskCompleted}
    assert {event.context for event in PROCESS.reactions} == set(PROCESS.contexts)
    assert RequestUpdated in EVENTS
    assert follows(RequestUpdated(**REQUEST, priority=Priority.HIGH, updated_at=NOW)) == []


def test_a_deployment_exchanges_the_strategy_of_a_step_by_data() -> None:
    own = Step("classification", "my-classifier", (Requirement(name="german", level=4),), time_limit_seconds=20)
    manager = RequestProcess({**STEPS, TRIAGE: own}).manager()
    (asked,) = (following.command for following in manager.changes(recorded(CREATED)))
    assert isinstance(asked, RequestTask)
    assert (asked.task_type, asked.kind, asked.time_limit_seconds) == ("classification", "my-classifier", 20)
    assert asked.requirements == own.requirements
    done = completed(TRIAGE, task_type="classification", kind="my-classifier", result=TRIAGED)
    (triage,) = (following.command for following in manager.changes(recorded(done)))
    assert isinstance(triage, TriageRequest)
    assert manager.changes(recorded(completed(TRIAGE, result=TRIAGED))) == []


# --- what ends without success -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [TRIAGE, RESEARCH, RESOLUTION])
@pytest.mark.parametrize(
    ("outcome", "why", "told"),
    [
        (TaskOutcome.FAILURE, "given_up", "FAILURE: given_up."),
        (TaskOutcome.FAILURE, "cancelled", "FAILURE: cancelled."),
        (TaskOutcome.TIMEOUT, None, "TIMEOUT: its deadline passed."),
    ],
)
def test_a_step_without_success_fails_the_request(step: str, outcome: TaskOutcome, why: str | None, told: str) -> None:
    assert failure(completed(step, outcome=outcome, reason=why)) == f"The task {step} ended with {told}"


def test_the_kind_of_the_last_error_is_told() -> None:
    ended = completed(TRIAGE, outcome=TaskOutcome.FAILURE, reason="given_up", error_type="ModelNonsense")
    assert failure(ended) == "The task triage ended with FAILURE: given_up (ModelNonsense)."


def test_what_somebody_else_triaged_is_not_waited_for_any_more() -> None:
    started, cancelled = follows(REQUEST_TRIAGED.model_copy(update={"stopped_task_id": "task-1"}))
    assert isinstance(started, StartResearch)
    assert isinstance(cancelled, CancelTask)
    assert cancelled.task_id == "task-1"


def test_a_result_that_came_with_a_failure_is_not_used() -> None:
    assert failure(completed(TRIAGE, outcome=TaskOutcome.FAILURE, reason="given_up", result=TRIAGED))


def test_a_reason_as_long_as_a_reason_can_be_still_fails_the_request() -> None:
    told = failure(completed(TRIAGE, outcome=TaskOutcome.FAILURE, reason="x" * MAX_REASON_CHARACTERS))
    assert told.startswith("The task triage ended with FAILURE: xxx")
    assert len(told) == MAX_REASON_CHARACTERS


@pytest.mark.parametrize(
    ("step", "result"),
    [
        (TRIAGE, {}),
        (TRIAGE, {**TRIAGED, "category": "weather"}),
        (TRIAGE, {**TRIAGED, "category": ["billing"]}),
        (TRIAGE, {**TRIAGED, "priority": 7}),
        (TRIAGE, {**TRIAGED, "priority": None}),
        (TRIAGE, {**TRIAGED, "confidence": 1.5}),
        (TRIAGE, {**TRIAGED, "reason": ""}),
        (TRIAGE, {**TRIAGED, "category": "refund", "priority": 1}),
        (RESOLUTION, {}),
        (RESOLUTION, {"resolution": None}),
        (RESOLUTION, {"resolution": "  "}),
        (RESOLUTION, {"resolution": {"text": "done"}}),
        (RESOLUTION, {"resolution": "x" * 10_001}),
    ],
)
def test_a_result_that_is_none_fails_the_request(step: str, result: dict[str, Any]) -> None:
    assert failure(completed(step, result=result)).startswith(f"The result of the task {step} cannot be used: ")


def test_a_result_too_large_to_be_handed_on_fails_the_request() -> None:
    """The refusal of the next task would name the task alone, and nobody could tell whose step it was."""
    large = {"text": "x" * (MAX_RECORD_BYTES - 100)}
    assert failure(completed(RESEARCH, result=large)) == "The result of the task research is too large for the next step."
    (fits,) = follows(completed(RESEARCH, result={"text": "x" * (MAX_RECORD_BYTES - 1_000)}))
    assert isinstance(fits, RequireApproval)


@pytest.mark.parametrize(("event", "task_id"), [(NOT_REQUIRED, "task-3"), (APPROVED, "task-3")], ids=["not-required", "approved"])
def test_what_an_agent_would_be_told_and_cannot_fails_the_request(event: Event, task_id: str) -> None:
    large = event.model_copy(update={"findings": {"text": "x" * MAX_RECORD_BYTES}})
    assert failure(large, task_id) == "What the task resolution needs to know is too large for it."


def test_metadata_too_deep_to_be_told_an_agent_fails_the_request() -> None:
    deep: dict[str, Any] = {}
    for _ in range(99):
        deep = {"a": deep}
    created = CREATED.model_copy(update={"metadata": CREATED.model_validate({**CREATED.model_dump(), "metadata": deep}).metadata})
    assert failure(created, task_of("req-1", TRIAGE)) == "The task triage cannot be asked for: ValidationError."


def test_what_follows_a_usable_result_is_a_command_that_its_worker_takes_from_the_wire() -> None:
    """Workers are strict where the process is lax: nothing that passed here may be refused there."""
    lax = {**TRIAGED, "confidence": 1, "reason": None}
    for event in (CREATED, RESTARTED, STARTED, NOT_REQUIRED, APPROVED, completed(TRIAGE, result=lax), completed(RESEARCH, result=FOUND)):
        for command in follows(event):
            assert type(command).from_json(command.to_json()) == command


# --- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [TriageRequest, RequireApproval, CompleteRequest])
@pytest.mark.parametrize("code", ["VALIDATION_ERROR", "TOO_LARGE"])
def test_a_step_refused_for_what_it_says_fails_the_request(command: type[Command], code: str) -> None:
    name = command.__name__
    assert failure(rejected(command, code)) == f"{name} was refused: Priority should be 1, 2, 3 or 4"


def test_a_refused_task_fails_the_request_that_it_was_for() -> None:
    whose = {"rule": "task_must_not_exist", "subject_id": "req-1", "task_type": TRIAGE}
    refusal = rejected(RequestTask, "BUSINESS_RULE_VIOLATION", aggregate_id="task-1", message="It exists.", details=whose)
    assert failure(refusal, "task-1") == "The task triage was refused: It exists."


def test_a_refused_task_that_does_not_say_whose_it_was_is_left_alone() -> None:
    for details in ({}, {"subject_id": 1, "task_type": TRIAGE}, {"subject_id": "req-1"}):
        assert follows(rejected(RequestTask, "VALIDATION_ERROR", aggregate_id="task-1", details=details)) == []


def test_every_command_of_the_process_has_its_reaction_to_a_refusal() -> None:
    samples = (CREATED, RESTARTED, REQUEST_TRIAGED, STARTED, NOT_REQUIRED, APPROVED)
    results = {TRIAGE: TRIAGED, RESEARCH: FOUND, RESOLUTION: {"resolution": "done"}}
    events: list[Event] = [*samples, *(completed(step, result=result) for step, result in results.items()), completed(TRIAGE)]
    sent = {command.type_name for event in events for command in follows(event)}
    assert PROCESS.on_rejection is not None
    assert sent == set(PROCESS.on_rejection)


def test_the_reason_of_a_refusal_is_cut_to_what_a_reason_can_hold() -> None:
    assert len(failure(rejected(TriageRequest, "VALIDATION_ERROR", message="x" * 5_000))) == MAX_REASON_CHARACTERS


@pytest.mark.parametrize("command", [TriageRequest, RequireApproval, CompleteRequest])
@pytest.mark.parametrize("code", ["BUSINESS_RULE_VIOLATION", "RESOURCE_NOT_FOUND"])
def test_a_step_refused_for_when_it_came_is_left_alone(command: type[Command], code: str) -> None:
    assert follows(rejected(command, code)) == []


@pytest.mark.parametrize("command", [StartResearch, FailRequest, CancelTask])
def test_the_refusal_of_other_commands_is_left_alone(command: type[Command]) -> None:
    assert follows(rejected(command, "VALIDATION_ERROR")) == []


@pytest.mark.parametrize("source", ["unknown", "/agentmesh/gateway", "/agentmesh/requests"])
def test_the_refusal_of_somebody_elses_command_is_left_alone(source: str) -> None:
    assert follows(rejected(TriageRequest, "VALIDATION_ERROR"), source=source) == []


# --- somebody else's tasks ---------------------------------------------------------------------------------------------


def test_a_task_of_another_type_is_left_alone() -> None:
    assert follows(completed(TRIAGE, result=TRIAGED, task_type="weather")) == []
    assert follows(completed(TRIAGE, task_type="weather", outcome=TaskOutcome.FAILURE, reason="given_up")) == []


def test_the_request_judges_by_its_task_whether_a_result_is_its_own() -> None:
    (command,) = follows(completed(TRIAGE, result=TRIAGED, task_id="task-of-somebody"))
    assert isinstance(command, TriageRequest)
    assert command.task_id == "task-of-somebody"


def test_a_task_of_the_same_subject_in_another_tenant_speaks_for_that_tenant_only() -> None:
    (command,) = follows(completed(TRIAGE, tenant_id="other-tenant", result=TRIAGED))
    assert command.tenant_id == "other-tenant", "the request is not found there, so nothing comes of it"


# --- ids ---------------------------------------------------------------------------------------------------------------


def test_task_ids_are_those_of_every_release() -> None:
    assert {step: task_of("req-4f1c6c9e-7a41-4a5e-9f7c-1c2d3e4f5a6b", step) for step in (TRIAGE, RESEARCH, RESOLUTION)} == {
        "triage": "task-b2b43a3b-093c-56b8-bf0c-13071b012f73",
        "research": "task-17c69b96-bc7d-59c6-9405-906c6884e97b",
        "resolution": "task-49a14fdc-d28c-5b0e-befa-426cc3850d16",
    }


@pytest.mark.parametrize(
    ("event", "command_id"),
    [
        (CREATED, "03aa29b7-b8d8-59a7-9072-b23c33592929"),
        (REQUEST_TRIAGED, "97552fd1-d2e8-5752-a862-1e1da67bae60"),
        (STARTED, "f3176c80-bdea-5ec9-b5ed-a152041628e7"),
        (completed(TRIAGE, result=TRIAGED), "2080cd8c-512f-5bc7-83a5-e8e4f46005b1"),
        (rejected(TriageRequest, "VALIDATION_ERROR"), "65aaa266-01c2-591b-be94-816705b597aa"),
    ],
    ids=["ask-for-triage", "start-research", "ask-for-research", "record-result", "give-up"],
)
def test_command_ids_are_those_of_every_release(event: Event, command_id: str) -> None:
    """A redelivery across a release must lead to the ids that were published before it."""
    (following,) = reactions(event)
    assert following.metadata.message_id == command_id


def test_a_redelivery_leads_to_the_same_commands_byte_for_byte() -> None:
    for event in (CREATED, RESTARTED, REQUEST_TRIAGED, STARTED, NOT_REQUIRED, APPROVED, completed(RESEARCH, result=FOUND)):
        first, second = reactions(event), reactions(event)
        assert first == second
        assert [each.command.to_json() for each in first] == [each.command.to_json() for each in second]


def test_other_events_of_the_same_request_lead_to_other_command_ids() -> None:
    later = CREATED.model_copy(update={"created_at": NOW + timedelta(seconds=1)})
    (first,), (second,) = reactions(CREATED), reactions(later, event_id="e2")
    assert first.metadata.message_id != second.metadata.message_id
    assert first.command.aggregate_id == second.command.aggregate_id


def test_a_task_is_told_as_json_like_everything_else() -> None:
    (asked,) = follows(CREATED)
    assert json.loads(asked.to_json())["input"] == KNOWN
