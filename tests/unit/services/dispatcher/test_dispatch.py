"""Facts in, assignments out: waiting, slots taken by unanswered commands, refusals, expiry, late facts, other dispatchers, snapshots."""

from __future__ import annotations

import pytest

from contracts.agents.events import (
    AgentCapabilitiesChanged,
    AgentDrained,
    AgentEvent,
    AgentHealthCheckFailed,
    AgentRecovered,
    AgentResumed,
    AgentSuspended,
    AgentTerminated,
)
from contracts.agents.values import AgentStatus
from contracts.ids import AgentId, TaskId
from contracts.requests.values import Priority
from contracts.tasks.events import TaskEvent, TaskStarted, TaskTimedOut
from contracts.tasks.values import RoutingStrategy
from services.dispatcher.dispatch import Assignment, Decided, Dispatcher, Told
from tests.unit.services.dispatcher.fleet import (
    KIND,
    MOMENT,
    TENANT,
    agent,
    agent_created,
    assigned,
    cancelled,
    capabilities,
    completed,
    paused,
    queued,
    reassigned,
)

A, B = AgentId("agent-a"), AgentId("agent-b")
T = {"tenant_id": TENANT, "agent_id": A}


def dispatcher_with(*agents: tuple[str, int]) -> Dispatcher:
    dispatcher = Dispatcher(answer_seconds=30.0, refusal_pause_seconds=1.0)
    for agent_id, limit in agents:
        assert dispatcher.apply_agent(agent_created(agent_id, limit=limit), 1)
    return dispatcher


def put(dispatcher: Dispatcher, *task_ids: str) -> None:
    for task_id in task_ids:
        assert dispatcher.apply_task(queued(task_id), 1, 0.0)


def given_out(dispatcher: Dispatcher, now: float = 0.0, at_most: int = 100) -> list[tuple[str, str, int]]:
    return [(given.task_id, given.agent_id, given.attempt) for given in dispatcher.dispatch(now, at_most)]


def open_assignments(dispatcher: Dispatcher, agent_id: AgentId) -> int:
    record = dispatcher.directory.find(TENANT, agent_id)
    assert record is not None
    return record.open_assignments


# --- giving tasks out -------------------------------------------------------------------------------------------------


def test_a_waiting_task_is_given_to_an_able_agent_once() -> None:
    dispatcher = dispatcher_with((A, 2))
    put(dispatcher, "task-1")
    assert dispatcher.dispatch(0.0, 10) == [Assignment(TaskId("task-1"), A, 1, TENANT)]
    assert dispatcher.dispatch(0.0, 10) == []
    assert dispatcher.unanswered == 1


def test_at_most_so_many_are_given_at_a_call_and_the_rest_at_the_next() -> None:
    dispatcher = dispatcher_with((A, 9))
    put(dispatcher, "task-1", "task-2", "task-3")
    assert len(dispatcher.dispatch(0.0, 2)) == 2
    assert given_out(dispatcher, at_most=0) == []
    assert given_out(dispatcher) == [("task-3", A, 1)]


def test_a_task_that_no_agent_can_take_waits_and_is_given_the_moment_one_can() -> None:
    dispatcher = dispatcher_with()
    put(dispatcher, "task-1")
    assert given_out(dispatcher) == []
    dispatcher.apply_agent(agent_created(A, tenant="other"), 1)
    assert given_out(dispatcher) == []
    dispatcher.apply_agent(agent_created(A), 1)
    assert given_out(dispatcher) == [("task-1", A, 1)]


def test_tasks_beyond_the_limit_follow_as_slots_become_free() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1", "task-2")
    assert given_out(dispatcher) == [("task-1", A, 1)]
    dispatcher.apply_task(assigned("task-1", A), 2, 0.0)
    assert given_out(dispatcher) == []
    dispatcher.apply_task(completed("task-1"), 3, 0.0)
    assert given_out(dispatcher) == [("task-2", A, 1)]


def test_the_more_urgent_task_is_given_first_and_the_strategy_is_the_tasks_own() -> None:
    dispatcher = Dispatcher()
    dispatcher.apply_agent(agent_created(A, {"text": 1}, limit=2), 1)
    dispatcher.apply_agent(agent_created(B, {"text": 5}, limit=2), 1)
    dispatcher.apply_task(queued("low", {"text": 1}, Priority.LOW), 1, 0.0)
    dispatcher.apply_task(queued("high", {"text": 1}, Priority.HIGH, RoutingStrategy.BEST_LEVEL), 1, 0.0)
    assert given_out(dispatcher) == [("high", B, 1), ("low", A, 1)]


@pytest.mark.parametrize(
    ("hides", "shows"),
    [
        (AgentSuspended(**T, suspended_at=MOMENT), AgentResumed(**T, resumed_at=MOMENT)),
        (AgentDrained(**T, drained_at=MOMENT), AgentResumed(**T, resumed_at=MOMENT)),
        (AgentHealthCheckFailed(**T, failure_reason="silent", failed_at=MOMENT), AgentRecovered(**T, recovered_at=MOMENT)),
        (
            AgentCapabilitiesChanged(**T, capabilities=capabilities({"speech": 1}), changed_at=MOMENT),
            AgentCapabilitiesChanged(**T, capabilities=capabilities({"text": 1}), changed_at=MOMENT),
        ),
        (AgentTerminated(**T, terminated_at=MOMENT), None),
    ],
)
def test_an_agent_that_cannot_take_tasks_gets_none_until_it_can(hides: AgentEvent, shows: AgentEvent | None) -> None:
    dispatcher = dispatcher_with((A, 1))
    assert dispatcher.apply_agent(hides, 2)
    dispatcher.apply_task(queued("task-1", {"text": 1}), 1, 0.0)
    assert given_out(dispatcher) == []
    if shows is not None:
        assert dispatcher.apply_agent(shows, 3)
        assert given_out(dispatcher) == [("task-1", A, 1)]


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_confirmed_assignment_keeps_its_slot_and_does_not_expire() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    dispatcher.dispatch(0.0, 10)
    dispatcher.apply_task(assigned("task-1", A), 2, 0.0)
    assert dispatcher.unanswered == 0
    assert dispatcher.next_due() is None
    assert given_out(dispatcher, now=1_000.0) == []
    assert open_assignments(dispatcher, A) == 1


def test_a_refused_assignment_frees_the_slot_and_the_task_waits_after_a_pause() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    (given,) = dispatcher.dispatch(0.0, 10)
    assert dispatcher.refuse(given, 0.5)
    assert not dispatcher.refuse(given, 0.5)
    assert open_assignments(dispatcher, A) == 0
    assert dispatcher.next_due() == 1.5
    assert given_out(dispatcher, now=1.4) == []
    assert given_out(dispatcher, now=1.5) == [("task-1", A, 1)]


def test_the_fact_behind_a_refusal_ends_its_pause() -> None:
    dispatcher = dispatcher_with((A, 1), (B, 1))
    put(dispatcher, "task-1")
    (given,) = dispatcher.dispatch(0.0, 10)
    dispatcher.refuse(given, 0.0)
    dispatcher.apply_task(assigned("task-1", B), 2, 0.0)
    assert dispatcher.next_due() is None
    assert given_out(dispatcher, now=9.0) == []
    assert (open_assignments(dispatcher, A), open_assignments(dispatcher, B)) == (0, 1)


def test_a_task_that_is_over_by_its_refusal_is_not_tried_again() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    (given,) = dispatcher.dispatch(0.0, 10)
    assert dispatcher.refuse(given, 0.0, over=True)
    assert not dispatcher.apply_task(queued("task-1"), 1, 0.0)
    assert given_out(dispatcher, now=100.0) == []
    assert open_assignments(dispatcher, A) == 0


@pytest.mark.parametrize("wrong", [{"agent_id": B}, {"attempt": 2}, {"task_id": TaskId("task-2")}])
def test_a_refusal_of_another_assignment_changes_nothing(wrong: dict[str, object]) -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    (given,) = dispatcher.dispatch(0.0, 10)
    assert not dispatcher.refuse(given._replace(**wrong), 0.0)
    assert dispatcher.unanswered == 1


def test_an_assignment_that_nobody_answers_is_given_anew_in_its_old_place() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    dispatcher.dispatch(5.0, 10)
    dispatcher.apply_task(queued("task-2"), 1, 6.0)
    assert dispatcher.next_due() == 35.0
    assert given_out(dispatcher, now=34.9) == []
    assert given_out(dispatcher, now=35.0) == [("task-1", A, 1)]
    assert dispatcher.take_told().decided[Decided.UNANSWERED] == 1


def test_an_answer_after_expiry_is_taken_over() -> None:
    dispatcher = dispatcher_with((A, 1), (B, 1))
    put(dispatcher, "task-1")
    dispatcher.dispatch(0.0, 10)
    dispatcher.apply_task(queued("task-2"), 1, 0.0)
    dispatcher.dispatch(1.0, 10)
    dispatcher.dispatch(30.0, 0)
    dispatcher.apply_task(assigned("task-1", A), 2, 30.0)
    assert given_out(dispatcher, now=30.5) == []
    assert (open_assignments(dispatcher, A), open_assignments(dispatcher, B)) == (1, 1)


# --- the life of a task -----------------------------------------------------------------------------------------------


def test_a_reassigned_task_frees_its_agent_and_waits_with_the_next_attempt() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    dispatcher.dispatch(0.0, 10)
    dispatcher.apply_task(assigned("task-1", A), 2, 0.0)
    dispatcher.apply_task(reassigned("task-1", A), 3, 7.0)
    assert dispatcher.waiting.oldest_waits(9.0) == {KIND: 2.0}
    assert given_out(dispatcher, now=9.0) == [("task-1", A, 2)]


@pytest.mark.parametrize("ends", [cancelled("task-1"), completed("task-1")])
@pytest.mark.parametrize("stage", ["waiting", "published", "assigned"])
def test_a_task_that_ends_leaves_the_queue_and_its_slot(stage: str, ends: TaskEvent) -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    if stage != "waiting":
        dispatcher.dispatch(0.0, 10)
    if stage == "assigned":
        dispatcher.apply_task(assigned("task-1", A), 2, 0.0)
    assert dispatcher.apply_task(ends, 3, 0.0)
    assert dispatcher.apply_task(completed("task-1"), 4, 0.0)
    assert dispatcher.unanswered == 0
    assert len(dispatcher.waiting) == 0
    put(dispatcher, "task-2")
    assert given_out(dispatcher, now=100.0) == [("task-2", A, 1)]


def test_what_another_dispatcher_assigns_is_taken_over_even_beyond_the_limit() -> None:
    dispatcher = dispatcher_with((A, 1), (B, 1))
    put(dispatcher, "task-1", "task-2", "task-3")
    assert given_out(dispatcher, at_most=1) == [("task-1", A, 1)]
    dispatcher.apply_task(assigned("task-1", B), 2, 0.0)  # ours comes too late
    dispatcher.apply_task(assigned("task-2", B), 2, 0.0)
    assert (open_assignments(dispatcher, A), open_assignments(dispatcher, B)) == (0, 2)
    assert given_out(dispatcher) == [("task-3", A, 1)]
    dispatcher.apply_task(completed("task-1"), 3, 0.0)
    put(dispatcher, "task-4")
    assert given_out(dispatcher) == []
    dispatcher.apply_task(completed("task-2"), 3, 0.0)
    assert given_out(dispatcher) == [("task-4", B, 1)]


def test_a_task_that_was_assigned_before_we_knew_it_is_counted_and_can_wait_again() -> None:
    dispatcher = dispatcher_with((A, 1))
    dispatcher.apply_task(assigned("task-1", A, attempt=2), 5, 0.0)
    assert open_assignments(dispatcher, A) == 1
    dispatcher.apply_task(reassigned("task-1", A, attempt=3), 6, 0.0)
    assert given_out(dispatcher) == [("task-1", A, 3)]


@pytest.mark.parametrize(
    "late", [queued("task-1"), assigned("task-1", B), reassigned("task-1", A), completed("task-1"), cancelled("task-1")]
)
@pytest.mark.parametrize("version", [1, 2])
def test_facts_that_come_twice_or_late_change_nothing(late: TaskEvent, version: int) -> None:
    dispatcher = dispatcher_with((A, 1), (B, 1))
    put(dispatcher, "task-1")
    dispatcher.dispatch(0.0, 10)
    dispatcher.apply_task(assigned("task-1", A), 2, 0.0)
    assert not dispatcher.apply_task(late, version, 0.0)
    assert (open_assignments(dispatcher, A), open_assignments(dispatcher, B)) == (1, 0)
    dispatcher.apply_task(completed("task-1"), 4, 0.0)
    assert not dispatcher.apply_task(late, version, 0.0)
    assert given_out(dispatcher, now=100.0) == []
    assert (open_assignments(dispatcher, A), open_assignments(dispatcher, B)) == (0, 0)


def test_started_and_timed_out_change_nobodys_slot() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "task-1")
    dispatcher.dispatch(0.0, 10)
    dispatcher.apply_task(assigned("task-1", A), 2, 0.0)
    task = {"tenant_id": TENANT, "task_id": TaskId("task-1"), "task_type": "triage", "kind": KIND, "subject_id": "req-1"}
    held = {"agent_id": A, "attempt": 1}
    assert not dispatcher.apply_task(TaskStarted(**task, **held, started_at=MOMENT), 3, 0.0)
    assert not dispatcher.apply_task(TaskTimedOut(**task, **held, deadline_at=MOMENT, timed_out_at=MOMENT), 4, 0.0)
    assert open_assignments(dispatcher, A) == 1


def test_ended_tasks_are_remembered_up_to_a_number() -> None:
    dispatcher = Dispatcher(remembered_tasks=2)
    for number in range(4):
        dispatcher.apply_task(completed(f"task-{number}"), 3, 0.0)
    assert [dispatcher.apply_task(queued(f"task-{number}"), 1, 0.0) for number in range(4)] == [True, True, False, False]


# --- snapshots --------------------------------------------------------------------------------------------------------


def test_agents_of_a_read_model_and_then_facts_give_the_same_as_all_facts() -> None:
    dispatcher = Dispatcher()
    dispatcher.apply_task(queued("task-1"), 1, 9.0)
    dispatcher.apply_task(assigned("task-1", A), 2, 9.0)
    dispatcher.apply_task(queued("task-2"), 1, 9.0)
    assert dispatcher.directory.unknown() == [A]
    dispatcher.restore([agent(A, version=3), agent(B)])
    assert dispatcher.directory.unknown() == []
    assert not dispatcher.apply_agent(agent_created(A), 1), "the row is newer"
    assert not dispatcher.apply_task(assigned("task-1", B), 2, 9.0)
    assert given_out(dispatcher, now=9.0) == [("task-2", B, 1)]


def test_facts_newer_than_the_read_model_stay() -> None:
    dispatcher = dispatcher_with((A, 1))
    dispatcher.apply_agent(AgentSuspended(**T, suspended_at=MOMENT), 2)
    dispatcher.restore([agent(A)])
    dispatcher.apply_task(queued("task-1"), 1, 0.0)
    assert given_out(dispatcher) == []
    assert len(dispatcher.waiting) == 1


# --- agents that are gone (AGT-11) --------------------------------------------------------------------------------------


def terminated(dispatcher: Dispatcher, agent_id: str, version: int = 2) -> None:
    dispatcher.apply_agent(AgentTerminated(tenant_id=TENANT, agent_id=AgentId(agent_id), terminated_at=MOMENT), version)


def test_the_tasks_of_a_terminated_agent_are_taken_from_it_once() -> None:
    dispatcher = Dispatcher()
    dispatcher.restore([agent("a", limit=3), agent("b")])
    for number in range(2):
        dispatcher.apply_task(queued(f"task-{number}"), 1, 0.0)
        dispatcher.apply_task(assigned(f"task-{number}", "a"), 2, 0.0)
    dispatcher.apply_task(queued("task-2"), 1, 0.0)
    dispatcher.apply_task(assigned("task-2", "b"), 2, 0.0)
    assert dispatcher.take_stranded() == []
    terminated(dispatcher, "a")
    assert [held.task_id for held in dispatcher.take_stranded()] == ["task-0", "task-1"]
    assert dispatcher.take_stranded() == []


def test_a_task_that_a_terminated_agent_gets_all_the_same_is_taken_from_it() -> None:
    """The assignment was under way when the agent was terminated, and the task knows nothing of agents."""
    dispatcher = Dispatcher()
    dispatcher.restore([agent("a")])
    dispatcher.apply_task(queued("task"), 1, 0.0)
    (given,) = dispatcher.dispatch(0.0, 10)
    terminated(dispatcher, "a")
    assert dispatcher.take_stranded() == [], "it is not the agent's yet"
    dispatcher.apply_task(assigned("task", "a"), 2, 0.0)
    assert dispatcher.take_stranded() == [given]
    dispatcher.apply_task(reassigned("task", "a"), 3, 0.0)
    assert dispatcher.take_stranded() == []


def test_a_task_of_an_agent_that_was_terminated_before_the_start_is_taken_from_it() -> None:
    dispatcher = Dispatcher()
    dispatcher.apply_task(queued("task"), 1, 0.0)
    dispatcher.apply_task(assigned("task", "a"), 2, 0.0)
    dispatcher.restore([agent("a", status=AgentStatus.TERMINATED, version=2)])
    assert [held.task_id for held in dispatcher.take_stranded()] == ["task"]


def test_a_task_that_ended_before_anybody_looked_is_nobodys() -> None:
    dispatcher = Dispatcher()
    dispatcher.restore([agent("a")])
    terminated(dispatcher, "a")
    dispatcher.take_stranded()
    dispatcher.apply_task(queued("task"), 1, 0.0)
    dispatcher.apply_task(assigned("task", "a"), 2, 0.0)
    dispatcher.apply_task(completed("task"), 3, 0.0)
    assert dispatcher.take_stranded() == []


def test_a_paused_task_takes_no_slot_and_is_given_again_when_it_is_queued_again() -> None:
    dispatcher = dispatcher_with((A, 1))
    put(dispatcher, "t-1", "t-2")
    assert given_out(dispatcher) == [("t-1", A, 1)]
    dispatcher.apply_task(assigned("t-1", A), 2, 0.0)
    dispatcher.apply_task(paused("t-1", A), 3, 0.0)
    assert given_out(dispatcher, 1.0) == [("t-2", A, 1)]
    dispatcher.apply_task(completed("t-2"), 2, 0.0)
    assert given_out(dispatcher, 2.0) == []
    dispatcher.apply_task(reassigned("t-1", A), 4, 2.0)
    assert given_out(dispatcher, 3.0) == [("t-1", A, 2)]
    assert not dispatcher.apply_task(paused("t-1", A), 3, 4.0), "a late fact pauses nothing"


def test_what_becomes_of_choices_is_told_once_with_how_long_tasks_waited() -> None:
    dispatcher = dispatcher_with((A, 3))
    for task_id in ("task-1", "task-2"):
        dispatcher.apply_task(queued(task_id), 1, 100.0)
    first, second = dispatcher.dispatch(104.0, 10)
    dispatcher.apply_task(assigned("task-1", A), 2, 106.5)
    dispatcher.refuse(second, 107.0)
    told = dispatcher.take_told()
    assert (first.task_id, told.waited) == ("task-1", [6.5])
    assert dict(told.decided) == {Decided.ASSIGNED: 1, Decided.REFUSED: 1}
    dispatcher.apply_agent(AgentTerminated(**T, reason="gone", terminated_at=MOMENT), 2)
    assert len(dispatcher.take_stranded()) == 1
    assert dict(dispatcher.take_told().decided) == {Decided.TAKEN_BACK: 1}
    assert dispatcher.take_told() == Told()


def test_a_task_that_was_assigned_before_it_was_known_waited_for_nobody_knows_how_long() -> None:
    dispatcher = dispatcher_with((A, 1))
    dispatcher.apply_task(assigned("task-1", A), 2, 50.0)
    assert dispatcher.take_told().waited == []
