"""Reads the logs of tasks and agents into the dispatcher's state, from where its start left off; run by the dispatcher worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from contracts.agents.events import AgentEvent
from contracts.envelope import Metadata, decode_stored
from contracts.message import Event
from contracts.rejections import CommandRejected
from contracts.tasks.events import TaskAssigned, TaskCompleted, TaskEvent, TaskPaused, TaskQueued, TaskReassigned, TaskStarted, TaskTimedOut
from contracts.upcasting import decode_event
from infra.event_store.base import EventStore, LogEntry, StoredEvent
from services.dispatcher.dispatch import Assignment, Dispatcher

logger = logging.getLogger(__name__)

AGENTS, TASKS = "agents", "tasks"
GONE = "RESOURCE_NOT_FOUND"
PASSED_OVER = frozenset({TaskStarted.type_name, TaskTimedOut.type_name})
"""Who holds the task stays the same, so they are not even decoded."""


class Feed:
    """Where each log is read to, and which assignments wait for an answer, by command id."""

    def __init__(self, stores: Mapping[str, EventStore], dispatcher: Dispatcher, page_size: int) -> None:
        self._stores = stores
        self._dispatcher = dispatcher
        self._page_size = page_size
        self._position = {AGENTS: 0, TASKS: 0}
        self.unanswered: dict[str, Assignment] = {}
        self.causes: dict[str, Metadata] = {}
        """Of each task that waits, the event that made it wait: what is assigned continues its trace and correlation."""
        self.observer: Callable[[Event], None] | None = None
        """Told of every event, from when it is set."""

    async def read_new(self, heads: Mapping[str, int] | None = None) -> int:
        """Apply what is new in both logs, agents first; answers how many entries. With `heads` only a log that is longer is read."""
        done = 0
        for context in (AGENTS, TASKS):
            store = self._stores[context]
            if heads is not None and heads[context] <= self._position[context]:
                continue
            while page := await store.read_log(self._position[context], self._page_size):
                for entry in page:
                    self._apply(entry)
                self._position[context] = page[-1].position
                done += len(page)
                if len(page) < self._page_size:
                    break
        return done

    def begin_at(self, context: str, position: int) -> None:
        """What the log holds up to this position is known already."""
        self._position[context] = position

    def take(self, stream: Iterable[StoredEvent]) -> None:
        """The events of one aggregate, in order."""
        for event in stream:
            self._apply(LogEntry(event.position, "event", event.aggregate_id, event.version, event.type_name, event.state, None))

    def _apply(self, entry: LogEntry) -> None:
        if entry.kind == "dead_letter" or entry.type_name in PASSED_OVER:
            return
        try:
            metadata, data = decode_stored(entry.type_name, entry.aggregate_id, entry.state)
            event = decode_event(entry.type_name, data)
        except Exception:  # a broken event must not stop dispatching for all others
            logger.exception("%s of %s at position %d cannot be read; it is left out", entry.type_name, entry.aggregate_id, entry.position)
            return
        if self.observer is not None:
            self.observer(event)
        if isinstance(event, CommandRejected):
            self._refused(event)
        elif isinstance(event, AgentEvent):
            self._dispatcher.apply_agent(event, entry.version)
        elif isinstance(event, TaskEvent):
            self._dispatcher.apply_task(event, entry.version, waiting_since(event))
            if isinstance(event, TaskQueued | TaskReassigned):
                self.causes[event.task_id] = metadata
            elif isinstance(event, TaskCompleted | TaskPaused):
                self.causes.pop(event.task_id, None)

    def _refused(self, event: CommandRejected) -> None:
        assignment = self.unanswered.pop(event.command_id, None)
        if assignment is not None:
            self._dispatcher.refuse(assignment, time.monotonic(), over=event.code == GONE)


def waiting_since(event: TaskEvent) -> float:
    """When the task began to wait, or stopped to with TaskAssigned, in this process's monotonic seconds."""
    match event:
        case TaskQueued():
            moment = event.queued_at
        case TaskReassigned():
            moment = event.reassigned_at
        case TaskAssigned():
            moment = event.assigned_at
        case _:
            return time.monotonic()
    return time.monotonic() - max(0.0, (datetime.now(UTC) - moment).total_seconds())
