"""The dispatcher against a naive one that scans everything: the same facts in, the same assignments out, limits kept, nobody starves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.agents.events import AgentCapabilitiesChanged, AgentEvent, AgentResumed, AgentSuspended, AgentTerminated
from contracts.ids import AgentId, TaskId, TenantId
from contracts.requests.values import Priority
from contracts.tasks.events import TaskEvent
from contracts.tasks.values import RoutingStrategy
from services.dispatcher import directory
from services.dispatcher.dispatch import Assignment, Dispatcher
from tests.unit.services.dispatcher import fleet

AGEING, ANSWER, PAUSE = 10.0, 20.0, 2.0
NAMES = st.sampled_from(["text", "speech", "vision"])
ABLE = st.dictionaries(NAMES, st.integers(1, 5), min_size=1)
ASKED = st.dictionaries(NAMES, st.integers(1, 5), max_size=2)
TENANTS = st.sampled_from(["test-tenant", "other"])
PICK = st.integers(0, 1_000)


@dataclass
class Agent:
    """An agent of the naive model."""

    agent_id: str
    tenant: str
    able: dict[str, int]
    limit: int
    version: int = 1
    available: bool = True
    terminated: bool = False
    turn: int = 0


@dataclass
class Task:
    """A task of the naive model. `holder` has its slot; `due` is when an answer or a pause ends."""

    task_id: str
    tenant: str
    asked: dict[str, int]
    priority: Priority
    strategy: RoutingStrategy
    since: float
    arrival: int
    version: int = 1
    attempt: int = 1
    stage: str = "waiting"
    holder: str | None = None
    due: float = 0.0


class NaiveDispatcher:
    """Says the rules as plainly as possible, at any cost."""

    def __init__(self) -> None:
        self.agents: dict[str, Agent] = {}
        self.tasks: dict[str, Task] = {}
        self.arrivals, self.turns = count(), count(1)

    def load(self, agent: Agent) -> int:
        return sum(task.holder == agent.agent_id for task in self.tasks.values())

    def able(self, task: Task) -> list[Agent]:
        return [
            agent
            for agent in self.agents.values()
            if agent.available
            and not agent.terminated
            and agent.tenant == task.tenant
            and self.load(agent) < agent.limit
            and all(agent.able.get(name, 0) >= level for name, level in task.asked.items())
        ]

    def choose(self, task: Task) -> Agent | None:
        def key(agent: Agent) -> tuple[int, int, str]:
            if task.strategy is RoutingStrategy.ROUND_ROBIN:
                return 0, agent.turn, agent.agent_id
            levels = sum(agent.able[name] for name in task.asked) if task.strategy is RoutingStrategy.BEST_LEVEL else 0
            return -levels, self.load(agent), agent.agent_id

        return min(self.able(task), key=key, default=None)

    def hold(self, task: Task, agent_id: str) -> None:
        if task.holder != agent_id:
            task.holder = agent_id
            self.agents[agent_id].turn = next(self.turns)

    def wait(self, task: Task, since: float) -> None:
        task.stage, task.holder, task.since, task.arrival = "waiting", None, since, next(self.arrivals)

    def dispatch(self, now: float, at_most: int) -> list[tuple[str, str, int]]:
        for stage in ("published", "paused"):
            ended = [task for task in self.tasks.values() if task.stage == stage and task.due <= now]
            for task in sorted(ended, key=lambda task: (task.due, task.arrival)):
                self.wait(task, task.since)
        given: list[tuple[str, str, int]] = []
        while len(given) < at_most:
            waiting = [task for task in self.tasks.values() if task.stage == "waiting" and self.able(task)]
            if not waiting:
                break
            task = min(waiting, key=lambda task: (-(task.priority + (now - task.since) // AGEING), task.since, task.arrival))
            agent = self.choose(task)
            assert agent is not None
            self.hold(task, agent.agent_id)
            task.stage, task.due, task.arrival = "published", now + ANSWER, next(self.arrivals)
            given.append((task.task_id, agent.agent_id, task.attempt))
        return given


class DispatcherMachine(RuleBasedStateMachine):
    """Feeds both dispatchers the same facts in any order and compares what they give out."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher(ageing_seconds=AGEING, answer_seconds=ANSWER, refusal_pause_seconds=PAUSE)
        self.naive = NaiveDispatcher()
        self.now = 0.0
        self.facts: list[tuple[AgentEvent | TaskEvent, int]] = []
        self.overbooked: set[str] = set()

    @initialize(agents=st.lists(st.tuples(ABLE, st.integers(1, 3), TENANTS), min_size=1, max_size=20))
    def some_agents(self, agents: list[tuple[dict[str, int], int, str]]) -> None:
        for able, limit, tenant in agents:
            self.new_agent(able, limit, tenant)

    # --- facts -------------------------------------------------------------------------------------------------------

    def tell(self, event: AgentEvent | TaskEvent, version: int) -> None:
        self.facts.append((event, version))
        assert self.apply(event, version)

    def apply(self, event: AgentEvent | TaskEvent, version: int) -> bool:
        if isinstance(event, TaskEvent):
            return self.dispatcher.apply_task(event, version, self.now)
        return self.dispatcher.apply_agent(event, version)

    @precondition(lambda self: len(self.naive.agents) < 20)
    @rule(able=ABLE, limit=st.integers(1, 3), tenant=TENANTS)
    def new_agent(self, able: dict[str, int], limit: int, tenant: str) -> None:
        agent_id = f"agent-{len(self.naive.agents):02}"
        self.naive.agents[agent_id] = Agent(agent_id, tenant, able, limit)
        self.tell(fleet.agent_created(agent_id, able, limit=limit, tenant=tenant), 1)

    @precondition(lambda self: any(not agent.terminated for agent in self.naive.agents.values()))
    @rule(pick=PICK, what=st.sampled_from(["suspend", "resume", "resume", "terminate"]) | ABLE)
    def agent_changes(self, pick: int, what: str | dict[str, int]) -> None:
        living = [agent for agent in self.naive.agents.values() if not agent.terminated]
        agent = living[pick % len(living)]
        agent.version += 1
        ids: dict[str, Any] = {"tenant_id": TenantId(agent.tenant), "agent_id": AgentId(agent.agent_id)}
        event: AgentEvent
        if isinstance(what, dict):
            agent.able = what
            event = AgentCapabilitiesChanged(**ids, capabilities=fleet.capabilities(what), changed_at=fleet.MOMENT)
        elif what == "terminate":
            agent.terminated = True
            event = AgentTerminated(**ids, terminated_at=fleet.MOMENT)
        elif what == "suspend":
            agent.available = False
            event = AgentSuspended(**ids, suspended_at=fleet.MOMENT)
        else:
            agent.available = True
            event = AgentResumed(**ids, resumed_at=fleet.MOMENT)
        self.tell(event, agent.version)

    @rule(asked=ASKED, priority=st.sampled_from(Priority), strategy=st.sampled_from(RoutingStrategy), tenant=TENANTS)
    def new_task(self, asked: dict[str, int], priority: Priority, strategy: RoutingStrategy, tenant: str) -> None:
        task_id = f"task-{len(self.naive.tasks)}"
        self.naive.tasks[task_id] = Task(task_id, tenant, asked, priority, strategy, self.now, next(self.naive.arrivals))
        self.tell(fleet.queued(task_id, asked, priority, strategy, tenant), 1)

    def some_task(self, pick: int, *stages: str) -> Task | None:
        found = [task for task in self.naive.tasks.values() if task.stage in stages]
        return found[pick % len(found)] if found else None

    @rule(pick=PICK)
    def confirmed(self, pick: int) -> None:
        if (task := self.some_task(pick, "published")) is not None and task.holder is not None:
            task.stage = "assigned"
            task.version += 1
            self.tell(fleet.assigned(task.task_id, task.holder, task.attempt, task.tenant), task.version)

    @rule(pick=PICK, other=PICK)
    def assigned_by_somebody_else(self, pick: int, other: int) -> None:
        task = self.some_task(pick, "waiting", "paused", "published")
        own = [agent.agent_id for agent in self.naive.agents.values() if task is not None and agent.tenant == task.tenant]
        if task is not None and own:
            self.naive.hold(task, own[other % len(own)])
            assert task.holder is not None
            self.overbooked.add(task.holder)
            task.stage = "assigned"
            task.version += 1
            self.tell(fleet.assigned(task.task_id, task.holder, task.attempt, task.tenant), task.version)

    @rule(pick=PICK)
    def refused(self, pick: int) -> None:
        if (task := self.some_task(pick, "published")) is not None and task.holder is not None:
            given = Assignment(TaskId(task.task_id), AgentId(task.holder), task.attempt, TenantId(task.tenant))
            task.stage, task.holder, task.due, task.arrival = "paused", None, self.now + PAUSE, next(self.naive.arrivals)
            assert self.dispatcher.refuse(given, self.now)

    @rule(pick=PICK, cancelled=st.booleans())
    def ended(self, pick: int, cancelled: bool) -> None:
        if (task := self.some_task(pick, "waiting", "paused", "published", "assigned")) is not None:
            task.stage, task.holder = "over", None
            task.version += 1
            event = fleet.cancelled if cancelled else fleet.completed
            self.tell(event(task.task_id, task.tenant), task.version)

    @rule(pick=PICK)
    def reassigned(self, pick: int) -> None:
        if (task := self.some_task(pick, "assigned")) is not None and task.holder is not None:
            event = fleet.reassigned(task.task_id, task.holder, task.attempt + 1, task.asked, task.priority, task.strategy, task.tenant)
            self.naive.wait(task, self.now)
            task.attempt += 1
            task.version += 1
            self.tell(event, task.version)

    @precondition(lambda self: self.facts)
    @rule(pick=PICK)
    def told_again(self, pick: int) -> None:
        event, version = self.facts[pick % len(self.facts)]
        assert not self.apply(event, version)

    # --- assignments -------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.5, 2.0, 7.0, 25.0]), at_most=st.sampled_from([0, 1, 3, 100]))
    def dispatched(self, seconds: float, at_most: int) -> None:
        self.now += seconds
        given = self.dispatcher.dispatch(self.now, at_most)
        assert [(one.task_id, one.agent_id, one.attempt) for one in given] == self.naive.dispatch(self.now, at_most)
        assert all(one.tenant_id == self.naive.tasks[one.task_id].tenant for one in given)
        if at_most == 100:  # nobody who could be served is left waiting
            assert not any(self.naive.able(task) for task in self.naive.tasks.values() if task.stage == "waiting")

    @invariant()
    def limits_are_kept(self) -> None:
        for agent in self.naive.agents.values():
            record = self.dispatcher.directory.find(TenantId(agent.tenant), AgentId(agent.agent_id))
            assert record is not None
            assert record.open_assignments == self.naive.load(agent)
            assert record.open_assignments <= agent.limit or agent.agent_id in self.overbooked

    @invariant()
    def the_same_tasks_wait(self) -> None:
        stages = [task.stage for task in self.naive.tasks.values()]
        assert len(self.dispatcher.waiting) == stages.count("waiting")
        assert self.dispatcher.unanswered == stages.count("published")
        due = [task.due for task in self.naive.tasks.values() if task.stage in ("published", "paused")]
        assert self.dispatcher.next_due() == min(due, default=None)

    def teardown(self) -> None:
        """Nobody starves: once every tenant has an able agent with room, every task is given in the end."""
        for tenant in ("test-tenant", "other"):
            everything = {"text": 5, "speech": 5, "vision": 5}
            self.dispatcher.apply_agent(fleet.agent_created(f"rescue-{tenant}", everything, limit=1_000, tenant=tenant), 1)
        self.dispatcher.dispatch(self.now, 0)
        self.dispatcher.dispatch(self.now + PAUSE + ANSWER, 1_000)
        assert len(self.dispatcher.waiting) == 0


@pytest.fixture(autouse=True)
def _few_idle_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that indexes are dropped and built again while the machine runs."""
    monkeypatch.setattr(directory, "MAX_IDLE_NEEDS", 3)
    monkeypatch.setattr(directory, "SLACK", 2)


def test_the_dispatcher_does_what_the_naive_one_does() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(DispatcherMachine, settings=settings(max_examples=50, stateful_step_count=50, deadline=None))
