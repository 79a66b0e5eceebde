"""Random commands against the task: its promises hold in every state, and the stored events rebuild the live state."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.envelope import Metadata, decode_stored, encode_stored
from contracts.errors import BusinessRuleViolation, ResourceNotFound
from contracts.message import Command
from contracts.tasks.commands import (
    AssignTask,
    CancelTask,
    CompleteTask,
    FailTask,
    PauseTask,
    ReassignTask,
    RequestTask,
    ResumeTask,
    StartTask,
    TimeOutTask,
)
from contracts.tasks.events import EVENTS, TaskAssigned, TaskCompleted, TaskEvent, TaskPaused, TaskReassigned
from contracts.tasks.values import TaskOutcome, TaskStatus
from infra.runtime.base import DecisionContext
from services.tasks.domain import Task, evolve
from services.tasks.handlers import DECISIONS

START = datetime(2026, 5, 4, tzinfo=UTC)
OWNER = "test-tenant"
TENANTS = st.sampled_from([OWNER, OWNER, OWNER, OWNER, OWNER, "other-tenant"])
AGENTS = st.sampled_from(["agent-1", "agent-1", "agent-1", "agent-2"])
ATTEMPTS_BESIDE = st.sampled_from([0, 0, 0, 0, -1, 1])
BESIDE_DEADLINE = st.sampled_from([timedelta(0), timedelta(0), timedelta(microseconds=1), timedelta(microseconds=-1)])
CLASSES = {each.type_name: each for each in EVENTS}
HELD = (TaskStatus.ASSIGNED, TaskStatus.RUNNING)
NEXT = {
    TaskStatus.QUEUED: {TaskStatus.ASSIGNED, TaskStatus.DONE},
    TaskStatus.ASSIGNED: {TaskStatus.RUNNING, TaskStatus.QUEUED, TaskStatus.PAUSED, TaskStatus.DONE},
    TaskStatus.RUNNING: {TaskStatus.QUEUED, TaskStatus.PAUSED, TaskStatus.DONE},
    TaskStatus.PAUSED: {TaskStatus.QUEUED, TaskStatus.DONE},
}


class TaskMachine(RuleBasedStateMachine):
    """One task under arbitrary commands of two tenants and two agents, about the current attempt and those beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.state: Task | None = None
        self.stored: list[tuple[str, bytes]] = []
        self.events: list[TaskEvent] = []
        self.now = START
        self.limit = 1

    def send(self, command: Command) -> None:
        self.now += timedelta(seconds=1)
        before = self.state
        context = DecisionContext(self.now, self.now, command.tenant_id, "system", "s", "c")
        try:
            events = DECISIONS[type(command)](before, command, context)
        except (BusinessRuleViolation, ResourceNotFound):
            return
        for event in events:
            assert isinstance(event, TaskEvent)
            assert (event.tenant_id, event.subject_id) == (command.tenant_id, "req-1")
            self.state = evolve(self.state, event)
            self.events.append(event)
            metadata = Metadata("e", event.type_name, "s", "task-1", "2026-05-04T00:00:00Z", OWNER, "system", "s", "c", "c")
            self.stored.append((event.type_name, encode_stored(metadata, event.to_json())))
        if events and before is not None:
            self.check_step(before)

    def check_step(self, before: Task) -> None:
        after = self.state
        assert after is not None
        assert after.status in NEXT[before.status], "each decision moves the task along its states, and nothing follows on the end"
        assert after.attempt - before.attempt == (after.status is TaskStatus.QUEUED), "the attempt grows with each return to the queue"
        requested = {"tenant_id", "task_type", "kind", "subject_id", "requirements", "priority", "strategy", "input", "max_attempts"}
        assert after.model_dump(include=requested) == before.model_dump(include=requested)

    def attempt(self, beside: int) -> int:
        return max(1, (self.state.attempt if self.state else 1) + beside)

    @initialize(limit=st.integers(1, 4))
    def choose_the_limit(self, limit: int) -> None:
        self.limit = limit

    @rule(tenant=TENANTS, other=st.sampled_from([0, 0, 1]))
    def request(self, tenant: str, other: int) -> None:
        fields = {"task_type": "triage", "kind": "triage-agent", "subject_id": "req-1", "input": {"n": 1}}
        self.send(RequestTask(tenant_id=tenant, task_id="task-1", **fields, max_attempts=self.limit + other))
        if self.state is not None:
            self.limit = self.state.max_attempts

    @rule(tenant=TENANTS, agent=AGENTS, beside=ATTEMPTS_BESIDE)
    def assign(self, tenant: str, agent: str, beside: int) -> None:
        self.send(AssignTask(tenant_id=tenant, task_id="task-1", agent_id=agent, attempt=self.attempt(beside)))

    @rule(tenant=TENANTS, agent=AGENTS, beside=ATTEMPTS_BESIDE)
    def start(self, tenant: str, agent: str, beside: int) -> None:
        self.send(StartTask(tenant_id=tenant, task_id="task-1", agent_id=agent, attempt=self.attempt(beside)))

    @precondition(lambda self: len(self.events) > 3)
    @rule(tenant=TENANTS, agent=AGENTS, beside=ATTEMPTS_BESIDE)
    def complete(self, tenant: str, agent: str, beside: int) -> None:
        self.send(CompleteTask(tenant_id=tenant, task_id="task-1", agent_id=agent, attempt=self.attempt(beside), result={"n": [1]}))

    @rule(tenant=TENANTS, agent=AGENTS, beside=ATTEMPTS_BESIDE, final=st.sampled_from([False, False, False, True]))
    def fail(self, tenant: str, agent: str, beside: int, final: bool) -> None:
        fields = {"error_type": "Unavailable", "reason": "no answer", "final": final}
        self.send(FailTask(tenant_id=tenant, task_id="task-1", agent_id=agent, attempt=self.attempt(beside), **fields))

    @rule(tenant=TENANTS, agent=AGENTS, beside=ATTEMPTS_BESIDE)
    def pause(self, tenant: str, agent: str, beside: int) -> None:
        fields = {"effect_id": "eff-1", "reason": "it may have happened"}
        self.send(PauseTask(tenant_id=tenant, task_id="task-1", agent_id=agent, attempt=self.attempt(beside), **fields))

    @rule(tenant=TENANTS, beside=ATTEMPTS_BESIDE)
    def resume(self, tenant: str, beside: int) -> None:
        self.send(ResumeTask(tenant_id=tenant, task_id="task-1", attempt=self.attempt(beside), reason="settled"))

    @rule(tenant=TENANTS, beside=BESIDE_DEADLINE)
    def time_out(self, tenant: str, beside: timedelta) -> None:
        assigned = [event.deadline_at for event in self.events if isinstance(event, TaskAssigned)]
        for deadline in assigned:
            before = len(self.events)
            task = self.state
            held = task is not None and (task.tenant_id, task.deadline_at) == (tenant, deadline + beside)
            self.send(TimeOutTask(tenant_id=tenant, task_id="task-1", due_at=deadline + beside))
            assert len(self.events) - before == (2 if held else 0)

    @rule(tenant=TENANTS, beside=ATTEMPTS_BESIDE)
    def reassign(self, tenant: str, beside: int) -> None:
        self.send(ReassignTask(tenant_id=tenant, task_id="task-1", attempt=self.attempt(beside), reason="host lost"))

    @precondition(lambda self: len(self.events) > 5)
    @rule(tenant=TENANTS)
    def cancel(self, tenant: str) -> None:
        self.send(CancelTask(tenant_id=tenant, task_id="task-1", reason="withdrawn"))

    @invariant()
    def the_stored_events_rebuild_the_live_state(self) -> None:
        rebuilt: Task | None = None
        for type_name, state in self.stored:
            _, data = decode_stored(type_name, "task-1", state)
            rebuilt = evolve(rebuilt, CLASSES[type_name].from_json(data))
        assert rebuilt == self.state

    @invariant()
    def a_deadline_is_held_exactly_while_an_agent_has_the_task(self) -> None:
        if self.state is not None:
            assert (self.state.deadline_at is not None) is (self.state.status in HELD)
            assert self.state.status is not TaskStatus.QUEUED or self.state.agent_id is None

    @invariant()
    def attempts_never_exceed_the_limit_and_each_is_assigned_once(self) -> None:
        attempts = [event.attempt for event in self.events if isinstance(event, TaskAssigned)]
        assert attempts == list(range(1, len(attempts) + 1))
        pauses = sum(isinstance(event, TaskPaused) for event in self.events)
        assert len(attempts) - pauses <= self.limit, "what ended in a pause costs no attempt"

    @invariant()
    def the_task_ends_once_and_with_it_its_stream(self) -> None:
        ends = [index for index, event in enumerate(self.events) if isinstance(event, TaskCompleted)]
        assert ends in ([], [len(self.events) - 1])
        assert bool(ends) is (self.state is not None and self.state.status is TaskStatus.DONE)
        assert bool(ends) is (self.state is not None and self.state.outcome is not None)

    @invariant()
    def only_a_success_needs_no_reason_but_a_timeout(self) -> None:
        for event in self.events:
            if isinstance(event, TaskCompleted):
                assert (event.reason is not None) is (event.outcome is TaskOutcome.FAILURE)
            if isinstance(event, TaskReassigned):
                assert event.reason


TestTaskMachine = TaskMachine.TestCase
TestTaskMachine.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
