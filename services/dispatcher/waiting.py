"""The queue of waiting tasks: tasks with priority and waiting time in, the one that is next among those that can be served out; pure.

Tasks that need the same wait in one group, and a group is awake or asleep. A group that no agent can serve is put to sleep and costs
nothing until somebody wakes it. Dispatcher runs this and knows when to do either.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count

from contracts.ids import TaskId
from contracts.requests.values import Priority
from contracts.tasks.values import RoutingStrategy
from services.dispatcher.directory import SLACK, Need

DEFAULT_AGEING_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class WaitingTask:
    """A task in the queue."""

    task_id: TaskId
    need: Need
    priority: Priority
    strategy: RoutingStrategy
    since: float
    """When it began to wait, in the caller's monotonic seconds."""
    arrival: int
    """Keeps the order of tasks that wait since the same moment."""
    waiting: bool = True
    """False once it was taken or cancelled: its place in a heap is cleared later."""


Head = tuple[int, float, int, WaitingTask]
"""Effective priority (negative), since, arrival: the lowest is next."""


class _Group:
    """The waiting tasks of one need, first in first out within each priority as it was given: ageing keeps that order."""

    __slots__ = ("lanes", "size")

    def __init__(self) -> None:
        self.size = 0
        self.lanes: dict[Priority, list[tuple[float, int, WaitingTask]]] = {}

    def add(self, task: WaitingTask) -> None:
        heappush(self.lanes.setdefault(task.priority, []), (task.since, task.arrival, task))
        self.size += 1

    def remove(self, task: WaitingTask) -> None:
        task.waiting = False
        self.size -= 1
        lane = self.lanes[task.priority]
        if lane[0][2] is task:
            heappop(lane)
        elif sum(map(len, self.lanes.values())) > 2 * self.size + SLACK:
            for priority, old in self.lanes.items():
                self.lanes[priority] = [entry for entry in old if entry[2].waiting]
                heapify(self.lanes[priority])

    def oldest(self) -> float:
        """Since when the group's oldest task waits. Only asked of a group that has one."""
        return min(lane[0][0] for lane in self._pruned())

    def head(self, now: float, ageing_seconds: float) -> Head | None:
        """The group's next task at this moment."""
        heads = ((-_effective(lane[0][2], now, ageing_seconds), *lane[0]) for lane in self._pruned())
        return min(heads, default=None)

    def _pruned(self) -> list[list[tuple[float, int, WaitingTask]]]:
        for lane in self.lanes.values():
            while lane and not lane[0][2].waiting:
                heappop(lane)
        return [lane for lane in self.lanes.values() if lane]


def effective_priority(priority: Priority, waited: float, ageing_seconds: float) -> int:
    """The given priority plus a step for each full `ageing_seconds` waited.

    Without an upper end: among tasks that all waited long, the more urgent still goes first, and whoever waited three steps longer
    than another goes before it, whatever they were given. So nothing starves.
    """
    return priority + max(0, int(waited // ageing_seconds))


def _effective(task: WaitingTask, now: float, ageing_seconds: float) -> int:
    return effective_priority(task.priority, now - task.since, ageing_seconds)


class WaitingTasks:
    """Every task that waits, each once."""

    def __init__(self, ageing_seconds: float = DEFAULT_AGEING_SECONDS) -> None:
        if ageing_seconds <= 0:
            raise ValueError("ageing_seconds should be above 0")
        self._ageing_seconds = ageing_seconds
        self._tasks: dict[TaskId, WaitingTask] = {}
        self._groups: dict[Need, _Group] = {}
        self._awake: dict[Need, _Group] = {}
        self._arrivals = count()

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: TaskId) -> bool:
        return task_id in self._tasks

    def add(self, task_id: TaskId, need: Need, priority: Priority, strategy: RoutingStrategy, since: float) -> bool:
        """Let the task wait, in place of its former entry if it has one. Answers whether its group is new; a new group is awake."""
        self.cancel(task_id)
        group = self._groups.get(need)
        new = group is None
        if group is None:
            group = self._groups[need] = self._awake[need] = _Group()
        task = self._tasks[task_id] = WaitingTask(task_id, need, priority, strategy, since, next(self._arrivals))
        group.add(task)
        return new

    def cancel(self, task_id: TaskId) -> Need | None:
        """Take the task out. Answers its need when it was the last one of its group."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return None
        group = self._groups[task.need]
        group.remove(task)
        if group.size:
            return None
        del self._groups[task.need]
        self._awake.pop(task.need, None)
        return task.need

    def wake(self, need: Need) -> None:
        """An agent may be able to serve the group of this need."""
        if (group := self._groups.get(need)) is not None:
            self._awake[need] = group

    def round(self, now: float) -> Round:
        """The awake groups' tasks in their order at this moment."""
        return Round(self, now)

    def oldest_waits(self, now: float) -> dict[str, float]:
        """Seconds that the oldest waiting task of each kind waits. Reads every group."""
        waits: dict[str, float] = {}
        for need, group in self._groups.items():
            waits[need.kind] = max(waits.get(need.kind, 0.0), now - group.oldest())
        return waits

    def counts(self) -> dict[str, int]:
        """How many tasks of each kind wait. Reads every group."""
        counts: dict[str, int] = {}
        for need, group in self._groups.items():
            counts[need.kind] = counts.get(need.kind, 0) + group.size
        return counts

    def _awake_heads(self, now: float) -> list[Head]:
        heads = (group.head(now, self._ageing_seconds) for group in self._awake.values())
        return [head for head in heads if head is not None]

    def _head(self, need: Need, now: float) -> Head | None:
        group = self._awake.get(need)
        return None if group is None else group.head(now, self._ageing_seconds)

    def _sleep(self, need: Need) -> None:
        self._awake.pop(need, None)


class Round:
    """One pass over the awake groups. The order is that of its moment, so the queue does not change while it lasts, but through it."""

    def __init__(self, tasks: WaitingTasks, now: float) -> None:
        self._tasks = tasks
        self._now = now
        self._heads = tasks._awake_heads(now)
        heapify(self._heads)

    def head(self) -> WaitingTask | None:
        """The task that is next, or None at the end of the round."""
        return self._heads[0][3] if self._heads else None

    def take(self) -> Need | None:
        """The next task stops waiting. Answers its need when it was the last one of its group."""
        task = self._heads[0][3]
        emptied = self._tasks.cancel(task.task_id)
        head = self._tasks._head(task.need, self._now)
        if head is None:
            heappop(self._heads)
        else:
            heapreplace(self._heads, head)
        return emptied

    def put_to_sleep(self) -> None:
        """No agent is able to serve the next task's group now."""
        self._tasks._sleep(heappop(self._heads)[3].need)
