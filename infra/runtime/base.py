"""What a worker is made of: the pure parts of a context (decisions, state), and the face that it shows to its process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from contracts.message import Command, Event
from infra.postgres.base import QueryPort

if TYPE_CHECKING:
    from infra.health.base import HealthCheck


class DecisionContext(NamedTuple):
    """All that a decision may know beside state and command. A tuple: one is made for each command."""

    now: datetime
    """The time of the handling, UTC; the same for a whole batch."""
    record_time: datetime
    """When the command's record was written, UTC."""
    tenant_id: str
    auth_type: str
    auth_id: str
    message_id: str
    reference: Any = None
    """What the decision needs of other contexts, as `ReferenceData.read` answers it; None where nothing was asked for."""


Decide = Callable[[Any, Any, DecisionContext], tuple[Event, ...]]
"""(state or None, command, context) -> events; () when there is nothing to change; raises DomainError to refuse."""


class Measured(StrEnum):
    """A time that a context knows and operators ask for; each is a histogram with one label."""

    REQUEST_DURATION = "request_duration"
    APPROVAL_WAIT = "approval_wait"


class Duration(NamedTuple):
    """How long something took, in seconds, and how it ended."""

    measured: Measured
    label: str
    seconds: float


Measure = Callable[[Any, Any], Sequence[Duration]]
"""(state before the event or None, event) -> what the event ends; nothing where nothing that is known of began. Pure."""


@dataclass(frozen=True, slots=True)
class AggregateType:
    """A context's aggregate as data: how its state follows from events, and who decides which command. All of it pure."""

    name: str
    evolve: Callable[[Any, Any], Any]
    """(state or None, event) -> state"""
    decisions: Mapping[type[Command], Decide]
    creates: frozenset[type[Command]] = frozenset()
    """Commands that begin a stream. The runtime decides them without looking first; the append proves that there was none."""
    go_on: frozenset[type[Command]] = frozenset()
    """Commands that go on in the trace of the aggregate's first event where they bring none: they end what began a short time before."""
    wholly_traced: bool = False
    """Whether later traces of an aggregate are recorded where its first one was, whatever their senders decided."""
    measures: Mapping[type[Event], Measure] = field(default_factory=dict)
    """What is measured where an event of this type is committed."""
    measured: Mapping[Measured, Sequence[str]] = field(default_factory=dict)
    """The labels that this can give, so that each of them is there before the first."""


@dataclass(frozen=True, slots=True)
class ReferenceData:
    """What the decisions of a context need of other contexts, as data. It is read once for all commands of a batch, before any is decided;
    a batch without such commands reads nothing."""

    needed_by: frozenset[type[Command]]
    key: Callable[[Any, Any], Hashable | None]
    """(state or None, command) -> what to ask for; None where nothing can be asked for. Pure."""
    read: Callable[[QueryPort, Collection[Hashable]], Awaitable[Mapping[Hashable, Any]]]
    """What is known of all these keys, from a local table, in one query. What it does not answer for a key is None to the decision."""


class Worker(Protocol):
    """One worker in a process. Its work may be redelivered after a kill; `stop` loses nothing and leaves nothing half done."""

    name: str

    async def start(self) -> None:
        """Connect and begin to work. Raises when it cannot: a worker is either working or refused."""
        ...

    async def stop(self) -> None:
        """Take nothing new, finish what is in work, release everything; within 30 seconds."""
        ...

    async def wait_failed(self) -> None:
        """Return when the worker has stopped; raise what its background work died of."""
        ...

    def health_checks(self) -> Sequence[HealthCheck]:
        """The checks of the components that this worker needs."""
        ...

    def last_attempt(self) -> float:
        """time.monotonic() of the main loop's last attempt, successful or not; liveness is judged by it."""
        ...
