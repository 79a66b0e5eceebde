"""Rows of a request's timeline become steps: what was waited for, who worked how long, what it used; also while it is under way."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from projections.timeline.projection import TIMELINE
from projections.timeline.steps import Entry, Part, StepKind, parts, totals
from tests.mixed_log import ENDINGS, mixed_log
from tests.unit.projections.recording import tables_after

LOGS = mixed_log(len(ENDINGS))
ROWS = tables_after(TIMELINE, [LOGS["requests"], LOGS["tasks"]])
SIMPLE, APPROVED, REJECTED, EXPIRED, FAILED, DELETED, ASKED_ANEW, IN_ADVANCE, WAITING = (f"req-{number}" for number in range(len(ENDINGS)))
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
AGENT, WORK, PERSON = StepKind.WAITING_FOR_AGENT, StepKind.WORK, StepKind.WAITING_FOR_PERSON


def entries(request_id: str) -> list[Entry]:
    rows = [row for row in ROWS.values() if row["request_id"] == request_id]
    found = [Entry(**{name: row[name] for name in Entry.model_fields}) for row in rows]
    return sorted(found, key=lambda entry: (entry.at, entry.context, entry.stream_id, entry.version))


def steps(part: Part) -> list[tuple[Any, ...]]:
    return [(step.kind, step.seconds, step.attempt, step.agent_id, step.outcome) for step in part.steps]


def entry(seconds: float, event: str, **fields: Any) -> Entry:
    known = {"stream_id": "task-1", "context": "tasks", "version": int(seconds * 1000) + 1, "position": 1, "by": "system"}
    unknown = dict.fromkeys(Entry.model_fields)
    return Entry(**{**unknown, **known, "at": NOON + timedelta(seconds=seconds), "event": event, "task_type": "triage", **fields})


def test_every_event_of_requests_and_tasks_is_one_row() -> None:
    assert len(ROWS) == len(LOGS["requests"]) + len(LOGS["tasks"])


def test_a_task_is_waiting_and_work_in_turn() -> None:
    triage, research, resolution = parts(entries(SIMPLE), NOON)
    assert (triage.name, research.name, resolution.name) == ("triage", "research", "resolution")
    assert steps(triage) == [(AGENT, 2.959, None, None, None), (WORK, 0.041, 1, "triage-1", "SUCCESS")]
    assert steps(research) == [
        (AGENT, 2.0, None, None, None),
        (WORK, 1.0, 1, "research-1", "FAILURE"),
        (AGENT, 2.959, None, None, None),
        (WORK, 0.041, 2, "research-2", "SUCCESS"),
    ]
    failed = research.steps[1]
    assert (failed.reason, failed.model, failed.input_tokens, failed.cost) == ("no answer", "small", 120, Decimal("0.0120"))


def test_an_attempt_that_ran_into_its_deadline_worked_until_then() -> None:
    (part,) = parts(entries(FAILED), NOON)
    assert steps(part)[-2:] == [(AGENT, 1.0, None, None, None), (WORK, 2.0, 3, "triage-3", "TIMEOUT")]


@pytest.mark.parametrize(
    ("request_id", "waited", "outcome", "reason"),
    [
        (APPROVED, 3.0, "RequestApproved", "as agreed"),
        (REJECTED, 4.0, "RequestRejected", "not covered"),
        (EXPIRED, 2.0, "RequestRejected", "approval_expired"),
        (DELETED, 1.0, "RequestDeleted", "withdrawn"),
    ],
)
def test_an_approval_is_a_wait_for_a_person(request_id: str, waited: float, outcome: str, reason: str) -> None:
    (approval,) = (part for part in parts(entries(request_id), NOON) if part.name == "approval")
    (step,) = approval.steps
    assert (step.kind, step.seconds, step.outcome, step.reason) == (PERSON, waited, outcome, reason)


def test_a_paused_task_is_a_wait_for_a_person_between_two_attempts() -> None:
    (resolution,) = (part for part in parts(entries(IN_ADVANCE), NOON) if part.name == "resolution")
    assert steps(resolution) == [
        (AGENT, 2.0, None, None, None),
        (WORK, 1.0, 1, "resolution-1", "PAUSED"),
        (PERSON, 1.0, None, None, None),
        (AGENT, 2.959, None, None, None),
        (WORK, 0.041, 2, "resolution-2", "SUCCESS"),
    ]
    assert [step.reason for step in resolution.steps[1:3]] == ["it may have happened"] * 2


def test_a_task_that_is_still_paused_waits_until_now() -> None:
    told = [
        entry(0, "TaskQueued"),
        entry(1, "TaskAssigned", attempt=1, agent_id="a"),
        entry(3, "TaskPaused", attempt=1, agent_id="a", what="it may have happened"),
    ]
    (part,) = parts(told, NOON + timedelta(seconds=10))
    assert [(step.kind, step.seconds, step.ended_at is None) for step in part.steps] == [
        (AGENT, 1.0, False),
        (WORK, 2.0, False),
        (PERSON, 7.0, True),
    ]


def test_asking_anew_is_another_wait() -> None:
    first, second = (part.steps[0] for part in parts(entries(ASKED_ANEW), NOON) if part.name == "approval")
    assert (first.outcome, first.seconds, second.outcome, second.seconds) == ("ApprovalRequested", 3.0, "RequestApproved", 1.0)


def test_what_goes_on_counts_until_now() -> None:
    queued, taken = entry(0, "TaskQueued"), entry(2, "TaskAssigned", attempt=1, agent_id="a")
    (waiting,) = parts([queued], NOON + timedelta(seconds=5))
    assert steps(waiting) == [(AGENT, 5.0, None, None, None)]
    assert waiting.steps[0].ended_at is None
    (working,) = parts([queued, taken], NOON + timedelta(seconds=5))
    assert steps(working) == [(AGENT, 2.0, None, None, None), (WORK, 3.0, 1, "a", None)]
    assert working.steps[1].ended_at is None


def test_a_task_that_ends_before_anybody_had_it_was_only_waited_for() -> None:
    queued, cancelled = entry(0, "TaskQueued"), entry(2, "TaskCancelled", what="withdrawn")
    ended = entry(2.5, "TaskCompleted", outcome="FAILURE", what="cancelled", duration_ms=0)
    assert steps(parts([queued, cancelled, ended], NOON)[0]) == [(AGENT, 2.5, None, None, None)]


def test_work_begins_at_the_assignment_where_the_agent_measured_more_or_nothing() -> None:
    queued, taken = entry(0, "TaskQueued"), entry(2, "TaskAssigned", attempt=1, agent_id="a")
    for measured, waited, worked in ((0, 2.0, 1.0), (5_000, 0.0, 3.0), (400, 2.6, 0.4)):
        ended = entry(3, "TaskCompleted", attempt=1, agent_id="a", outcome="SUCCESS", duration_ms=measured)
        assert [step.seconds for step in parts([queued, taken, ended], NOON)[0].steps] == [waited, worked]


def test_totals_add_up_and_name_what_is_left_over() -> None:
    rows = entries(APPROVED)
    found = totals(rows, parts(rows, NOON), True, NOON)
    assert found.seconds == (rows[-1].at - rows[0].at).total_seconds()
    apart = found.waiting_for_agent_seconds + found.work_seconds + found.waiting_for_person_seconds + found.other_seconds
    assert apart == pytest.approx(found.seconds)
    assert (found.attempts, found.input_tokens, found.output_tokens, found.cost) == (4, 480, 60, Decimal("0.048"))
    waiting = entries(WAITING)
    still = totals(waiting, parts(waiting, NOON), False, NOON)
    assert still.seconds == (NOON - waiting[0].at).total_seconds()


def test_clocks_that_differ_never_make_time_negative() -> None:
    queued, taken = entry(5, "TaskQueued", version=1), entry(4, "TaskAssigned", version=2, attempt=1, agent_id="a")
    ended = entry(3, "TaskCompleted", version=3, attempt=1, agent_id="a", outcome="SUCCESS", duration_ms=10)
    rows = [ended, taken, queued]
    found = parts(rows, NOON)
    assert all(step.seconds >= 0 for step in found[0].steps)
    assert totals(rows, found, True, NOON).other_seconds >= 0


@pytest.mark.parametrize(
    ("flags", "trace_id"),
    [("01", "4bf92f3577b34da6a3ce929d0e0e4736"), ("03", "4bf92f3577b34da6a3ce929d0e0e4736"), ("00", None), ("02", None)],
)
def test_a_row_has_the_trace_of_its_event_where_that_is_recorded(flags: str, trace_id: str | None) -> None:
    traceparent = f"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}"
    logs = [[event._replace(metadata=event.metadata._replace(traceparent=traceparent)) for event in log] for log in LOGS.values()]
    rows = tables_after(TIMELINE, logs)
    assert {row["trace_id"] for row in rows.values()} == {trace_id}
    assert {row["trace_id"] for row in ROWS.values()} == {None}
