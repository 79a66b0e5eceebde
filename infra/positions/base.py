"""The port of positions: up to where in a context's log a read model shows everything; readers of the gateway wait on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


class Followed(NamedTuple):
    """A read model and one of the contexts that it follows."""

    read_model: str
    context: str


class Positions(Protocol):
    """Tells how far read models are."""

    async def reach(self, followed: Followed, position: int, aggregate_id: str | None, deadline: float) -> int:
        """A position up to which the read model has applied the context's log: of this aggregate, or for None of all.

        It is answered as soon as it is at least `position`, else at the deadline, a moment of `time.monotonic()`; one that has passed still
        allows one look. It is never too large, and may be too small while Kafka cannot be asked. Raises TransientError.
        """
        ...


@dataclass(frozen=True, slots=True)
class ContextState:
    """How far a read model has followed one context: everything up to `position` of a log that is at `log_head`."""

    context: str
    position: int
    log_head: int
    lag: int | None
    """Events that are not applied yet, and what of the log is not on Kafka yet; None while Kafka cannot be asked."""


@dataclass(frozen=True, slots=True)
class ReadModelState:
    """A read model that was built: the version of its definition, since when, how far it is, how many events it could not apply."""

    name: str
    version: int
    built_at: datetime
    parked: int
    contexts: tuple[ContextState, ...]


class ReadModelStates(Protocol):
    """Tells how the read models are."""

    async def all(self) -> Sequence[ReadModelState]:
        """Every one that was built, by name. Raises TransientError."""
        ...
