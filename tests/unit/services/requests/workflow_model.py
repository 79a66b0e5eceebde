"""The whole workflow without servers: the real decisions and the real process manager, with queues between them that a test advances."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.envelope import Metadata, RecordedEvent
from contracts.errors import DomainError
from contracts.message import Command, Event
from contracts.rejections import CommandRejected, rejected_type
from contracts.requests.events import RequestEvent
from contracts.requests.values import FINAL_STATUSES, RequestStatus
from contracts.tasks.commands import CancelTask, RequestTask
from contracts.tasks.events import TaskCompleted
from contracts.tasks.values import TaskOutcome
from infra.runtime.base import DecisionContext
from services.requests.domain import Request, evolve
from services.requests.handlers import DECISIONS
from services.requests.process import PROCESS, RESEARCH, RESOLUTION, TRIAGE
from services.requests.reference import RequestReference

CREATED_TENANT = RequestReference(tenant_known=True)
START = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
TRIAGED = {"category": "account", "priority": 2, "confidence": 0.9, "reason": "names a password"}
FOUND = {
    "findings": [{"title": "Passwords", "text": "Use the link.", "score": 0.8, "source": "passwords.md"}],
    "search_terms": ["password"],
}
RESOLVED = {"resolution": "Use the link on the sign-in page.", "confidence": 0.8}


@dataclass
class Workflow:
    """One request, its tasks, and what waits between the workers. A queue keeps its order; which queue goes on is the test's choice."""

    known: RequestReference = CREATED_TENANT
    results: dict[str, dict[str, Any]] = field(default_factory=lambda: {TRIAGE: TRIAGED, RESEARCH: FOUND, RESOLUTION: RESOLVED})
    now: datetime = START
    request: Request | None = None
    history: list[RequestEvent] = field(default_factory=list)
    tasks: dict[str, RequestTask] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    events: deque[Event] = field(default_factory=deque)
    request_commands: deque[tuple[Command, DecisionContext]] = field(default_factory=deque)
    task_commands: deque[tuple[Command, str]] = field(default_factory=deque)
    numbers: int = 0

    # --- what the outside does ----------------------------------------------------------------------------------------

    def send(self, command: Command, actor: str = "ada") -> None:
        """A command of a person, or of the scheduler."""
        self.numbers += 1
        self.request_commands.append((command, self._context("user", actor, f"c-{self.numbers}")))

    def finish(self, task_id: str, outcome: TaskOutcome = TaskOutcome.SUCCESS) -> None:
        """An agent ends an open task."""
        task = self.tasks.pop(task_id)
        self.over.add(task_id)
        result = dict(self.results[task.task_type]) if outcome is TaskOutcome.SUCCESS else {}
        if "resolution" in result:
            result["resolution"] = task_id  # so that a test sees whose answer it was
        self.events.append(_completed(task, outcome, None if outcome is TaskOutcome.SUCCESS else "given_up", result, self.now))

    def pass_time(self, by: timedelta) -> None:
        self.now += by

    # --- what the workers do --------------------------------------------------------------------------------------------

    def run(self) -> Workflow:
        """Everything that can go on goes on, until only a person, or nobody, can."""
        for _ in range(1_000):
            if self.tasks and not self.events:
                self.finish(next(iter(self.tasks)))
            if not self.advance_events() and not self.advance_requests() and not self.advance_tasks() and not self.tasks:
                return self
        raise AssertionError("the workflow never comes to rest")

    def advance_events(self) -> bool:
        """The process manager takes one event."""
        if not self.events:
            return False
        event = self.events.popleft()
        self.numbers += 1
        for following in PROCESS.changes(_recorded(event, f"e-{self.numbers}")):
            command, command_id = following.command, following.metadata.message_id
            if command.context == "tasks":
                self.task_commands.append((command, command_id))
            else:
                self.request_commands.append((command, self._context("system", "requests-process", command_id)))
        return True

    def advance_requests(self) -> bool:
        """The requests worker takes one command."""
        if not self.request_commands:
            return False
        command, context = self.request_commands.popleft()
        try:
            decided = DECISIONS[type(command)](self.request, command, context._replace(now=self.now, reference=self.known))
        except DomainError as error:
            if context.auth_id == "requests-process":
                self._refuse(command, context.message_id, error.code, error.details)
            return True
        for event in decided:
            assert isinstance(event, RequestEvent)
            self.request = evolve(self.request, event)
            self.history.append(event)
            self.events.append(event)
        return True

    def advance_tasks(self) -> bool:
        """The tasks worker takes one command."""
        if not self.task_commands:
            return False
        command, command_id = self.task_commands.popleft()
        if isinstance(command, RequestTask):
            assert command.task_id not in self.over, "a step never waits for a task that is over"
            self.tasks[command.task_id] = command
        elif isinstance(command, CancelTask):
            if command.task_id in self.tasks:
                task = self.tasks.pop(command.task_id)
                self.over.add(task.task_id)
                self.events.append(_completed(task, TaskOutcome.FAILURE, "cancelled", {}, self.now))
            elif command.task_id not in self.over:
                self._refuse(command, command_id, "RESOURCE_NOT_FOUND", {})
        return True

    def _refuse(self, command: Command, command_id: str, code: str, details: Any) -> None:
        fields = {"tenant_id": command.tenant_id, "aggregate_id": command.aggregate_id, "command_id": command_id, "details": details}
        refusal = {"command_type": command.type_name, "error_type": "BusinessRuleViolation", "code": code, "message": "refused"}
        self.events.append(CommandRejected(**fields, **refusal))

    def _context(self, auth_type: str, actor: str, command_id: str) -> DecisionContext:
        return DecisionContext(self.now, self.now, "test-tenant", auth_type, actor, command_id)

    # --- what a test looks at ---------------------------------------------------------------------------------------------

    @property
    def status(self) -> RequestStatus:
        assert self.request is not None
        return self.request.status

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.history]

    def last(self, kind: type[RequestEvent]) -> Any:
        return next(event for event in reversed(self.history) if isinstance(event, kind))

    @property
    def is_stuck(self) -> bool:
        """At rest, yet neither over nor waiting for a person within a time limit."""
        return self.status not in FINAL_STATUSES and self.status is not RequestStatus.AWAITING_APPROVAL


def _completed(task: RequestTask, outcome: TaskOutcome, reason: str | None, result: dict[str, Any], now: datetime) -> TaskCompleted:
    return TaskCompleted(
        tenant_id=task.tenant_id,
        task_id=task.task_id,
        task_type=task.task_type,
        kind=task.kind,
        subject_id=task.subject_id,
        agent_id="agent-1",
        attempt=1,
        outcome=outcome,
        reason=reason,
        result=result,
        completed_at=now,
    )


def _recorded(event: Event, event_id: str) -> RecordedEvent:
    """The event as the worker gets it; a rejection has the source of the refused command."""
    refusal = isinstance(event, CommandRejected)
    context = event.context or "requests"
    source = PROCESS.source if refusal else f"/agentmesh/{context}"
    type_name = rejected_type(context) if refusal else event.type_name
    metadata = Metadata(event_id, type_name, source, event.aggregate_id, "2026-05-04T09:30:00Z", event.tenant_id, "user", "u", "c", "c")
    return RecordedEvent(metadata, event.to_json(), 1, 1, context)
