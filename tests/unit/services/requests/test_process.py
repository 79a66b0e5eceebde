"""Given an event, then these commands follow: the whole process of a request, its failures, and what it leaves alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.envelope import Metadata, RecordedEvent
from contracts.fields import MAX_REASON_CHARACTERS
from contracts.message import Command, Event
from contracts.rejections import CommandRejected, rejected_type
from contracts.requests.commands import CompleteRequest, FailRequest, StartResearch, TriageRequest
from contracts.requests.events import RequestCompleted, RequestCreated, RequestEvent, RequestFailed, RequestTriaged, ResearchStarted
from contracts.requests.values import Category, Priority, RequestStatus
from contracts.tasks.commands import RequestTask
from contracts.tasks.events import TaskCompleted
from contracts.tasks.values import Requirement, TaskOutcome
from contracts.topics import MAX_RECORD_BYTES
from infra.process_managers.base import NextCommand
from infra.runtime.base import DecisionContext
from services.requests.domain import Request, evolve
from services.requests.handlers import DECISIONS
from services.requests.process import PROCESS, RESEARCH, RESOLUTION, TRIAGE, task_of

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
REQUEST: dict[str, Any] = {"tenant_id": "test-tenant", "request_id": "req-1"}
EVENT_ID = "0b5a6b53-7c1f-4f0e-8a51-2f6f3e1d9a10"
KNOWN = {"message": "where is my order", "category": None, "priority": 3, "metadata": {"order_id": "A-1", "tags": ["a", None]}}
TRIAGED = {"category": "technical", "priority": 3, "confidence": 0.9, "reason": "names an order"}
FOUND = {"articles": [{"title": "Orders"}], "message": "where is my order", "priority": 4}

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
    started_at=NOW,
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


def failure(event: Event) -> str:
    """The reason of the one FailRequest that follows."""
    (command,) = follows(event)
    assert isinstance(command, FailRequest)
    assert (command.tenant_id, command.request_id) == ("test-tenant", "req-1")
    return command.reason


def task(step: str, priority: Priority, known: Any) -> RequestTask:
    return RequestTask(
        tenant_id="test-tenant",
        task_id=task_of("req-1", step),
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
    assert follows(completed(TRIAGE, result=TRIAGED)) == [TriageRequest(**REQUEST, **TRIAGED)]
    without_reason = {name: value for name, value in TRIAGED.items() if name != "reason"}
    assert follows(completed(TRIAGE, result={**without_reason, "model": "rules"})) == [TriageRequest(**REQUEST, **without_reason)]


def test_research_of_a_triaged_request_starts() -> None:
    assert follows(REQUEST_TRIAGED) == [StartResearch(**REQUEST)]


def test_research_that_started_is_an_agents_work() -> None:
    assert follows(STARTED) == [task(RESEARCH, Priority.CRITICAL, {**KNOWN, "category": "technical", "priority": 4})]


def test_research_that_was_recorded_before_it_told_the_request_is_asked_for_all_the_same() -> None:
    (asked,) = follows(ResearchStarted(**REQUEST, started_at=NOW))
    assert asked == task(RESEARCH, Priority.MEDIUM, {"message": "", "category": None, "priority": 2, "metadata": {}})


def test_what_research_found_goes_to_the_agent_that_answers() -> None:
    assert follows(completed(RESEARCH, result=FOUND)) == [task(RESOLUTION, Priority.CRITICAL, FOUND)]


def test_research_that_found_nothing_is_answered_with_middle_urgency() -> None:
    assert follows(completed(RESEARCH)) == [task(RESOLUTION, Priority.MEDIUM, {})]


def test_a_resolution_completes_the_request() -> None:
    done = completed(RESOLUTION, result={"resolution": "it is on its way", "cited": []})
    assert follows(done) == [CompleteRequest(**REQUEST, resolution="it is on its way")]


def test_no_other_event_is_reacted_to() -> None:
    assert set(PROCESS.reactions) == {RequestCreated, RequestTriaged, ResearchStarted, TaskCompleted}
    assert {event.context for event in PROCESS.reactions} == set(PROCESS.contexts)


def test_the_ends_of_a_request_have_no_next_command() -> None:
    assert follows(RequestCompleted(**REQUEST, resolution="done", completed_at=NOW)) == []
    assert follows(RequestFailed(**REQUEST, reason="given up", failed_at=NOW)) == []


def test_a_request_whose_steps_succeed_comes_to_its_end() -> None:
    """The commands are decided by the real decisions, tasks are answered as soon as they are asked for."""
    results = {TRIAGE: TRIAGED, RESEARCH: FOUND, RESOLUTION: {"resolution": "it is on its way"}}
    state: Request | None = evolve(None, CREATED)
    waiting: list[Event] = [CREATED]
    for number in range(20):
        if not waiting:
            break
        for command in follows(waiting.pop(0), event_id=f"e{number}"):
            if isinstance(command, RequestTask):
                waiting.append(completed(command.task_type, result=results[command.task_type]))
                continue
            decided = DECISIONS[type(command)](state, command, DecisionContext(NOW, NOW, "test-tenant", "system", "p", "c"))
            for event in decided:
                assert isinstance(event, RequestEvent)
                state = evolve(state, event)
                waiting.append(event)
    assert state is not None
    assert (state.status, state.resolution) == (RequestStatus.COMPLETED, "it is on its way")


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
        (RESEARCH, {"priority": 9}),
        (RESEARCH, {"priority": "high"}),
        (RESEARCH, {"priority": [1]}),
        (RESEARCH, {"priority": None}),
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
    assert isinstance(fits, RequestTask)


def test_what_follows_a_usable_result_is_a_command_that_its_worker_takes_from_the_wire() -> None:
    """Workers are strict where the process is lax: nothing that passed here may be refused there."""
    lax = {**TRIAGED, "confidence": 1, "reason": None}
    for event in (CREATED, STARTED, completed(TRIAGE, result=lax), completed(RESEARCH, result=FOUND)):
        for command in follows(event):
            assert type(command).from_json(command.to_json()) == command


# --- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [TriageRequest, CompleteRequest])
def test_a_step_refused_for_what_it_says_fails_the_request(command: type[Command]) -> None:
    name = command.__name__
    assert failure(rejected(command, "VALIDATION_ERROR")) == f"{name} was refused: Priority should be 1, 2, 3 or 4"


def test_the_reason_of_a_refusal_is_cut_to_what_a_reason_can_hold() -> None:
    assert len(failure(rejected(TriageRequest, "VALIDATION_ERROR", message="x" * 5_000))) == MAX_REASON_CHARACTERS


@pytest.mark.parametrize("code", ["BUSINESS_RULE_VIOLATION", "RESOURCE_NOT_FOUND"])
def test_a_step_refused_for_when_it_came_is_left_alone(code: str) -> None:
    assert follows(rejected(TriageRequest, code)) == []


@pytest.mark.parametrize("command", [StartResearch, FailRequest, RequestTask])
def test_the_refusal_of_other_commands_is_left_alone(command: type[Command]) -> None:
    assert follows(rejected(command, "VALIDATION_ERROR")) == []


@pytest.mark.parametrize("source", ["unknown", "/agentmesh/gateway", "/agentmesh/requests"])
def test_the_refusal_of_somebody_elses_command_is_left_alone(source: str) -> None:
    assert follows(rejected(TriageRequest, "VALIDATION_ERROR"), source=source) == []


# --- somebody else's tasks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"task_id": "task-1"},
        {"subject_id": "req-2"},
        {"task_type": RESEARCH},
        {"task_type": "weather", "task_id": task_of("req-1", "weather")},
        {"task_id": "task-1", "outcome": TaskOutcome.FAILURE, "reason": "given_up"},
    ],
)
def test_a_foreign_task_is_left_alone(changes: dict[str, Any]) -> None:
    assert follows(completed(TRIAGE, **{"result": TRIAGED, **changes})) == []


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
    for event in (CREATED, REQUEST_TRIAGED, STARTED, completed(RESEARCH, result=FOUND)):
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
