"""Which agents become unhealthy and which recover: facts, the liveness of kinds and the time in, verdicts out; pure, run by the dispatcher.

It looks at what is, not at what changed: an agent that is available while no host of its kind is live is to be marked, whoever it is and
since when. So a verdict that got lost is made again, and a kind that answers again before its turn costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from contracts.agents.events import AgentHealthCheckFailed, AgentRecovered, AgentTerminated
from contracts.agents.values import AgentStatus
from contracts.ids import AgentId, TaskId, TenantId
from contracts.message import Event
from contracts.tasks.events import TaskAssigned, TaskCompleted, TaskPaused, TaskReassigned
from contracts.tasks.values import LEASE_EXPIRED, TaskOutcome
from services.dispatcher.directory import Directory
from services.dispatcher.liveness import KindState, Liveness
from services.dispatcher.roster import Key

DEFAULT_MOST_UNANSWERED = 500
DEFAULT_ANSWER_SECONDS = 30.0
DEFAULT_LOST_LEASES = 3
DEFAULT_PAUSE_SECONDS = 60.0


class Failure(StrEnum):
    """Why an agent is unhealthy; the label of the metric (OBS-22)."""

    NO_LIVE_HOST = "no_live_host"
    LEASES_EXPIRED = "leases_expired"


class Verdict(NamedTuple):
    """A command about an agent's health to publish: MarkAgentUnhealthy with the failure, or RecoverAgent."""

    tenant_id: TenantId
    agent_id: AgentId
    version: int
    """That of the agent's stream on which it was found: the same finding has the same command id, whoever makes it."""
    failure: Failure | None
    text: str


@dataclass(slots=True)
class _LostLeases:
    """How often an agent lost its runs in a row. A host that dies takes all that it runs at once: that is one time, however many runs."""

    times: int = 1
    since: set[tuple[TaskId, int]] = field(default_factory=set)
    """The runs assigned to it since the last time: only one of these makes it one time more."""


class AgentHealth:
    """Verdicts come a few hundred at a time, and no more before those are answered: a kind of ten thousand agents floods nobody."""

    def __init__(
        self,
        directory: Directory,
        liveness: Liveness,
        *,
        most_unanswered: int = DEFAULT_MOST_UNANSWERED,
        answer_seconds: float = DEFAULT_ANSWER_SECONDS,
        lost_leases: int = DEFAULT_LOST_LEASES,
        pause_seconds: float = DEFAULT_PAUSE_SECONDS,
    ) -> None:
        self._directory = directory
        self._liveness = liveness
        self._most_unanswered = most_unanswered
        self._answer_seconds = answer_seconds
        self._lost_leases = lost_leases
        self._pause_seconds = pause_seconds
        self._unanswered: dict[Key, tuple[int, float]] = {}
        self._lost: dict[Key, _LostLeases] = {}
        self._held_until: dict[Key, float] = {}

    def apply(self, event: Event) -> None:
        """A new fact; what was there before we led is not counted."""
        if isinstance(event, TaskAssigned):
            if (lost := self._lost.get((event.tenant_id, event.agent_id))) is not None:
                lost.since.add((event.task_id, event.attempt))
        elif isinstance(event, TaskReassigned):
            self._reassigned((event.tenant_id, event.agent_id), event)
        elif isinstance(event, TaskCompleted):
            if event.agent_id is not None and (event.outcome is TaskOutcome.SUCCESS or event.error_type is not None):
                self._lost.pop((event.tenant_id, event.agent_id), None)
        elif isinstance(event, TaskPaused | AgentHealthCheckFailed | AgentRecovered | AgentTerminated):
            self._lost.pop((event.tenant_id, event.agent_id), None)

    def _reassigned(self, key: Key, event: TaskReassigned) -> None:
        if event.reason == LEASE_EXPIRED:
            lost = self._lost.get(key)
            if lost is None:
                self._lost[key] = _LostLeases()
            elif (event.task_id, event.attempt - 1) in lost.since:
                lost.times += 1
                lost.since.clear()
        elif event.error_type is not None:  # its host told that the attempt failed
            self._lost.pop(key, None)

    def verdicts(self, now: float) -> list[Verdict]:
        """What is to be published now. Nothing while the fleet cannot be heard."""
        self._clear(now)
        if not self._liveness.hears(now):
            return []
        found: list[Verdict] = []
        room = self._most_unanswered - len(self._unanswered)
        for verdict in self._candidates(now):
            if len(found) >= room:
                break
            found.append(verdict)
            key = verdict.tenant_id, verdict.agent_id
            self._unanswered[key] = verdict.version, now + self._answer_seconds
            if verdict.failure is Failure.LEASES_EXPIRED:
                self._held_until[key] = now + self._pause_seconds
        return found

    def _candidates(self, now: float) -> Iterator[Verdict]:
        for key, lost in self._lost.items():
            if lost.times >= self._lost_leases:
                text = f"The leases of its runs expired {lost.times} times in a row."
                yield from self._verdict(key, AgentStatus.AVAILABLE, Failure.LEASES_EXPIRED, text)
        roster = self._directory.roster
        for kind in roster.kinds():
            state = self._liveness.state(kind, now)
            if state is KindState.SILENT:
                for key in roster.of(kind, AgentStatus.AVAILABLE):
                    yield from self._verdict(key, AgentStatus.AVAILABLE, Failure.NO_LIVE_HOST, f"No live host runs agents of kind {kind}.")
            elif state is KindState.ANSWERS:
                for key in roster.of(kind, AgentStatus.UNHEALTHY):
                    if key not in self._held_until:
                        yield from self._verdict(key, AgentStatus.UNHEALTHY, None, "")

    def _verdict(self, key: Key, status: AgentStatus, failure: Failure | None, text: str) -> Iterator[Verdict]:
        record = self._directory.find(*key)
        if record is not None and record.status is status and key not in self._unanswered:
            yield Verdict(*key, record.version, failure, text)

    def _clear(self, now: float) -> None:
        for key, (version, due_at) in list(self._unanswered.items()):
            record = self._directory.find(*key)
            if record is None or record.version != version or now >= due_at:
                del self._unanswered[key]
        for key, until in list(self._held_until.items()):
            if now >= until:
                del self._held_until[key]
