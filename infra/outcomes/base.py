"""The port of outcomes: what became of a command, and since when a read model shows it; the gateway waits on both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from contracts.rejections import CommandRejected
from infra.event_store.base import Outcome


class Outcomes(Protocol):
    """Reads the recorded outcomes of commands. Deadlines are moments of `time.monotonic()`."""

    async def find(self, context: str, aggregate_id: str, command_id: str) -> Outcome | None:
        """The outcome that is recorded by now, or None. Raises TransientError."""
        ...

    async def wait(self, context: str, aggregate_id: str, command_id: str, deadline: float) -> Outcome | None:
        """The outcome, as soon as it is recorded; None at the deadline, and when the store cannot be asked until then."""
        ...

    async def rejection(self, context: str, outcome: Outcome) -> CommandRejected | None:
        """Why a command was rejected, as its outcome's position in the log says it. Raises TransientError."""
        ...

    async def tenant_of(self, context: str, aggregate_id: str) -> str | None:
        """Whose aggregate it is, by the first event of its stream, which may be newer than any read model; None: there is none. Raises
        TransientError."""
        ...


class ShownVersions(Protocol):
    """Waits for a read model."""

    async def wait(self, aggregate_id: str, version: int, deadline: float) -> bool:
        """True as soon as the read model shows at least `version` of the aggregate; False at the deadline."""
        ...


Versions = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]
"""The versions that a read model shows of these aggregates; what it has no row of is absent."""
