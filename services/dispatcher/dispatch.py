"""The dispatcher's state: facts about tasks and agents in, assignments to publish out; pure, run by the dispatcher worker."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Any, NamedTuple

from contracts.agents.events import (
    AgentCapabilitiesChanged,
    AgentCreated,
    AgentDrained,
    AgentEvent,
    AgentHealthCheckFailed,
    AgentRecovered,
    AgentResumed,
    AgentSuspended,
    AgentTerminated,
)
from contracts.agents.values import AgentStatus, Capability
from contracts.ids import AgentId, TaskId, TenantId
from contracts.requests.values import Priority
from contracts.tasks.events import TaskAssigned, TaskCancelled, TaskCompleted, TaskEvent, TaskPaused, TaskQueued, TaskReassigned
from contracts.tasks.values import RoutingStrategy
from services.dispatcher.directory import AgentSnapshot, Directory, Need, requirements_of
from services.dispatcher.selection import STRATEGIES, SelectionStrategy
from services.dispatcher.waiting import DEFAULT_AGEING_SECONDS, WaitingTasks

DEFAULT_ANSWER_SECONDS = 30.0
DEFAULT_REFUSAL_PAUSE_SECONDS = 1.0
DEFAULT_REMEMBERED_TASKS = 50_000


class Assignment(NamedTuple):
    """An AssignTask to publish."""

    task_id: TaskId
    agent_id: AgentId
    attempt: int
    tenant_id: TenantId


class _Stage(Enum):
    WAITING = auto()
    PAUSED = auto()
    """Refused a moment ago: the fact that explains it is still on its way."""
    PUBLISHED = auto()
    """AssignTask was published and is not answered yet."""
    ASSIGNED = auto()


@dataclass(slots=True, eq=False)
class _Task:
    """An open task. `need` is absent of a task that was assigned before we knew it; the fact that queues it again brings it."""

    task_id: TaskId
    tenant_id: TenantId
    version: int = 0
    stage: _Stage = _Stage.PAUSED
    attempt: int = 1
    agent_id: AgentId | None = None
    """Whose slot it takes, published or assigned."""
    need: Need | None = None
    priority: Priority = Priority.MEDIUM
    strategy: RoutingStrategy = RoutingStrategy.LEAST_LOADED
    since: float = 0.0
    moves: int = 0
    """Counts its stages, so that a timer of an earlier stage is known as outdated."""


class _Timer(NamedTuple):
    due_at: float
    task: _Task
    moves: int


class Decided(StrEnum):
    """What became of a choice; the label of the metric."""

    ASSIGNED = "assigned"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    TAKEN_BACK = "taken_back"


@dataclass(slots=True)
class Told:
    """Choices by what became of them, and how long each assigned task had waited, in seconds."""

    decided: Counter[Decided] = field(default_factory=Counter)
    waited: list[float] = field(default_factory=list)


class Dispatcher:
    """Gives each waiting task to the best agent that can take it, and keeps count of what was given.

    Single-threaded, and the same facts in the same order at the same times give the same assignments. Times are the caller's monotonic
    seconds and never fall. Facts may come twice or late: one whose version is not above the known one of its task or agent changes
    nothing. What others assign is taken over as it is, limits or not. Between a published assignment and its answer the slot is taken; an
    assignment without an answer after `answer_seconds` is given up, and one that was refused waits `refusal_pause_seconds`, because the
    fact that tells why travels on another topic.
    """

    def __init__(
        self,
        *,
        ageing_seconds: float = DEFAULT_AGEING_SECONDS,
        answer_seconds: float = DEFAULT_ANSWER_SECONDS,
        refusal_pause_seconds: float = DEFAULT_REFUSAL_PAUSE_SECONDS,
        remembered_tasks: int = DEFAULT_REMEMBERED_TASKS,
        strategies: Mapping[RoutingStrategy, SelectionStrategy] = STRATEGIES,
    ) -> None:
        self.directory = Directory()
        self.waiting = WaitingTasks(ageing_seconds)
        self.told = Told()
        """What has happened since it was taken last, for operators."""
        self._answer_seconds = answer_seconds
        self._refusal_pause_seconds = refusal_pause_seconds
        self._remembered_tasks = remembered_tasks
        self._strategies = strategies
        self._tasks: dict[TaskId, _Task] = {}
        self._over: OrderedDict[TaskId, int] = OrderedDict()
        self._answers_due: deque[_Timer] = deque()
        self._pauses_due: deque[_Timer] = deque()
        self._unanswered = 0
        self._stranded: dict[TaskId, None] = {}
        self._left = False
        self._reactions: Mapping[type[TaskEvent], Callable[[_Task, Any, float], None]] = {
            TaskQueued: self._queued,
            TaskAssigned: self._assigned,
            TaskReassigned: self._reassigned,
            TaskCancelled: self._ended,
            TaskCompleted: self._ended,
            TaskPaused: self._ended,  # nothing to dispatch until TaskReassigned queues it again
        }

    # --- facts -------------------------------------------------------------------------------------------------------

    def restore(self, agents: Iterable[AgentSnapshot]) -> None:
        """Take over what a read model holds; facts follow. Facts that came before and are newer stay as they are."""
        for agent in agents:
            self.directory.created(agent)
            self._left |= agent.status is AgentStatus.TERMINATED

    def apply_agent(self, event: AgentEvent, version: int) -> bool:
        """A fact about an agent, with the version (`ce_sequence`) it has in its stream. Answers whether it was news."""
        if isinstance(event, AgentCreated):
            return self.directory.created(_snapshot(event, version))
        if isinstance(event, AgentCapabilitiesChanged):
            return self.directory.capabilities_changed(event.tenant_id, event.agent_id, _levels(event.capabilities), version)
        status = _STATUS.get(type(event))
        self._left |= status is AgentStatus.TERMINATED
        return status is not None and self.directory.status_changed(event.tenant_id, event.agent_id, status, version)

    def apply_task(self, event: TaskEvent, version: int, since: float) -> bool:
        """A fact about a task, with its version; `since` is when a task that waits by this fact began to, of TaskAssigned when it was
        assigned. Answers whether it was news."""
        reaction = self._reactions.get(type(event))
        if reaction is None:  # started or timed out: who holds the task stays the same
            return False
        task = self._newer(event.task_id, event.tenant_id, version)
        if task is None:
            return False
        reaction(task, event, since)
        return True

    def refuse(self, assignment: Assignment, now: float, *, over: bool = False) -> bool:
        """The assignment was refused; `over` when the refusal says that there is no such task to assign, so it is not tried again.

        Answers whether the assignment was still without an answer; if not, nothing changes.
        """
        task = self._tasks.get(assignment.task_id)
        if task is None or task.stage is not _Stage.PUBLISHED or task.agent_id != assignment.agent_id or task.attempt != assignment.attempt:
            return False
        self.told.decided[Decided.REFUSED] += 1
        if over:
            self._forget(task)
            return True
        self._free(task)
        self._move(task, _Stage.PAUSED)
        self._pauses_due.append(_Timer(now + self._refusal_pause_seconds, task, task.moves))
        return True

    # --- assignments -------------------------------------------------------------------------------------------------

    def dispatch(self, now: float, at_most: int) -> list[Assignment]:
        """The assignments to publish now, the most urgent first; fewer than `at_most` only when no other waiting task can be given."""
        self._expire(now)
        for need in self.directory.take_served():
            self.waiting.wake(need)
        round_ = self.waiting.round(now)
        assignments: list[Assignment] = []
        while len(assignments) < at_most and (head := round_.head()) is not None:
            agent_id = self._strategies[head.strategy].select(self.directory, head.need)
            if agent_id is None:
                round_.put_to_sleep()
                continue
            if (emptied := round_.take()) is not None:
                self.directory.unwatch(emptied)
            assignments.append(self._publish(self._tasks[head.task_id], agent_id, now))
        return assignments

    @property
    def unanswered(self) -> int:
        """Published assignments without an answer."""
        return self._unanswered

    def next_due(self) -> float | None:
        """When `dispatch` has something to do even if no fact comes: an answer or a pause is due. None when nothing is."""
        due = [timers[0].due_at for timers in (self._answers_due, self._pauses_due) if self._clear_outdated(timers)]
        return min(due, default=None)

    # --- reactions to facts about tasks ------------------------------------------------------------------------------

    def _queued(self, task: _Task, event: TaskQueued, since: float) -> None:
        task.attempt = 1
        self._ask_for(task, event)
        self._wait(task, since)

    def _reassigned(self, task: _Task, event: TaskReassigned, since: float) -> None:
        task.attempt = event.attempt
        self._ask_for(task, event)
        self._wait(task, since)

    def _assigned(self, task: _Task, event: TaskAssigned, assigned_at: float) -> None:
        if task.need is not None and task.stage is not _Stage.ASSIGNED:
            self.told.waited.append(max(0.0, assigned_at - task.since))
            self.told.decided[Decided.ASSIGNED] += 1
        task.attempt = event.attempt
        self._hold(task, event.agent_id)

    def _ended(self, task: _Task, _: TaskEvent, __: float) -> None:
        self._forget(task)

    def _ask_for(self, task: _Task, event: TaskQueued | TaskReassigned) -> None:
        asked = requirements_of((requirement.name, requirement.level) for requirement in event.requirements)
        task.need = Need(event.tenant_id, event.kind, asked)
        task.priority, task.strategy = event.priority, event.strategy

    # --- stages of a task --------------------------------------------------------------------------------------------

    def _newer(self, task_id: TaskId, tenant_id: TenantId, version: int) -> _Task | None:
        """The task with this version noted, or None where the version is not news."""
        task = self._tasks.get(task_id)
        if version <= (self._over.get(task_id, 0) if task is None else task.version):
            return None
        if task is None:
            task = self._tasks[task_id] = _Task(task_id, tenant_id)
        task.version = version
        return task

    def _wait(self, task: _Task, since: float) -> None:
        self._free(task)
        self._unqueue(task)
        self._move(task, _Stage.WAITING)
        task.since = since
        assert task.need is not None
        if self.waiting.add(task.task_id, task.need, task.priority, task.strategy, since):
            self.directory.watch(task.need)

    def _hold(self, task: _Task, agent_id: AgentId) -> None:
        """The task is assigned, to the agent that we chose or to another."""
        self._unqueue(task)
        if task.agent_id != agent_id:
            self._free(task)
            self._take(task, agent_id)
        self._move(task, _Stage.ASSIGNED)
        if self._is_terminated(task.tenant_id, agent_id):
            self._stranded[task.task_id] = None

    def take_stranded(self) -> list[Assignment]:
        """Tasks that an agent holds which is terminated: they are to be taken from it (AGT-11). Each assignment is answered once.

        Reads every open task once an agent was terminated, and what was assigned to such a one since.
        """
        looked_at = list(self._tasks.values()) if self._left else [task for each in self._stranded if (task := self._tasks.get(each))]
        self._left = False
        self._stranded.clear()
        stranded = [
            Assignment(task.task_id, task.agent_id, task.attempt, task.tenant_id)
            for task in looked_at
            if task.stage is _Stage.ASSIGNED and task.agent_id is not None and self._is_terminated(task.tenant_id, task.agent_id)
        ]
        self.told.decided[Decided.TAKEN_BACK] += len(stranded)
        return stranded

    def take_told(self) -> Told:
        """What has happened since the last time that this was asked."""
        told, self.told = self.told, Told()
        return told

    def _is_terminated(self, tenant_id: TenantId, agent_id: AgentId) -> bool:
        agent = self.directory.find(tenant_id, agent_id)
        return agent is not None and agent.status is AgentStatus.TERMINATED

    def _publish(self, task: _Task, agent_id: AgentId, now: float) -> Assignment:
        self._take(task, agent_id)
        self._move(task, _Stage.PUBLISHED)
        self._answers_due.append(_Timer(now + self._answer_seconds, task, task.moves))
        return Assignment(task.task_id, agent_id, task.attempt, task.tenant_id)

    def _forget(self, task: _Task) -> None:
        """The task is over. Its version is remembered for a while, so that a late fact does not bring it back."""
        self._free(task)
        self._unqueue(task)
        self._move(task, _Stage.ASSIGNED)
        del self._tasks[task.task_id]
        self._over[task.task_id] = task.version
        self._over.move_to_end(task.task_id)
        while len(self._over) > self._remembered_tasks:
            self._over.popitem(last=False)

    def _move(self, task: _Task, stage: _Stage) -> None:
        self._unanswered += (stage is _Stage.PUBLISHED) - (task.stage is _Stage.PUBLISHED)
        task.stage = stage
        task.moves += 1

    def _unqueue(self, task: _Task) -> None:
        if task.stage is _Stage.WAITING and (emptied := self.waiting.cancel(task.task_id)) is not None:
            self.directory.unwatch(emptied)

    def _take(self, task: _Task, agent_id: AgentId) -> None:
        task.agent_id = agent_id
        self.directory.opened(task.tenant_id, agent_id)

    def _free(self, task: _Task) -> None:
        if task.agent_id is not None:
            self.directory.closed(task.tenant_id, task.agent_id)
            task.agent_id = None

    # --- timers ------------------------------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        for timers in (self._answers_due, self._pauses_due):
            while self._clear_outdated(timers) and timers[0].due_at <= now:
                task = timers.popleft().task
                self.told.decided[Decided.UNANSWERED] += task.stage is _Stage.PUBLISHED
                self._wait(task, task.since)

    @staticmethod
    def _clear_outdated(timers: deque[_Timer]) -> bool:
        """Whether a timer is left once those of earlier stages are gone. Each deque has one delay, so it is in the order of time."""
        while timers and timers[0].moves != timers[0].task.moves:
            timers.popleft()
        return bool(timers)


def _levels(capabilities: Iterable[Capability]) -> dict[str, int]:
    return {capability.name: capability.level for capability in capabilities}


def _snapshot(event: AgentCreated, version: int) -> AgentSnapshot:
    levels = _levels(event.capabilities)
    return AgentSnapshot(event.agent_id, event.tenant_id, event.kind, levels, event.limit, AgentStatus.AVAILABLE, version)


_STATUS: Mapping[type[AgentEvent], AgentStatus] = {
    AgentSuspended: AgentStatus.SUSPENDED,
    AgentDrained: AgentStatus.DRAINING,
    AgentResumed: AgentStatus.AVAILABLE,
    AgentHealthCheckFailed: AgentStatus.UNHEALTHY,
    AgentRecovered: AgentStatus.AVAILABLE,
    AgentTerminated: AgentStatus.TERMINATED,
}
