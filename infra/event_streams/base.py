"""The port of event streams: a place in the logs and a filter in, committed events in order out; read by the gateway.

A place is a position in the log of each context that a reader follows. Events come in the order of their log, each once; between
contexts no order is promised. Whoever starts anew from the place after an event gets the next one of each log, and nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple, Protocol

from contracts.envelope import RecordedEvent, structured

_PART = re.compile(r"([a-z][a-z0-9-]{0,39}):(0|[1-9][0-9]{0,17})", re.ASCII)
MAX_PLACE_CHARACTERS = 1_000


class WrongPlace(ValueError):
    """A text is not the place of this reader; the message is the rule that it breaks."""


class Ended(StrEnum):
    """Why a stream ended, other than by its reader."""

    DRAINED = "drained"
    """The process stops: go on at another one."""
    TOO_SLOW = "too_slow"
    """More events waited for the reader than may."""
    UNAVAILABLE = "unavailable"
    """The store is away."""
    FAILED = "failed"
    """A defect of ours."""


class StreamEnded(Exception):
    """A stream has come to its end."""

    def __init__(self, reason: Ended) -> None:
        super().__init__(reason.value)
        self.reason = reason


class StreamedEvent:
    """One event on its way to its readers, who share it."""

    def __init__(self, recorded: RecordedEvent) -> None:
        self.recorded = recorded
        self.wire = b""
        """What the first reader made of it for the wire, so that the others need not."""

    @cached_property
    def json(self) -> bytes:
        """The event as a CloudEvent in structured mode."""
        recorded = self.recorded
        return structured(recorded.metadata, recorded.data, recorded.sequence, recorded.position)


Wants = Callable[[RecordedEvent], bool]


class Followed(NamedTuple):
    """What a reader follows: of one tenant, the logs of these contexts, and of them what `wants` says."""

    tenant_id: str
    contexts: tuple[str, ...]
    wants: Wants


class Batch(NamedTuple):
    """Some events in order, and the place when they have all been read, which may be beyond the last of them."""

    events: Sequence[StreamedEvent]
    then: Mapping[str, int]


class Subscription(Protocol):
    """One reader's way along the logs."""

    @property
    def place(self) -> Mapping[str, int]:
        """Where the reader is, once it has read every batch that it was given."""
        ...

    async def next(self, seconds: float) -> Batch:
        """The next events; an empty batch when none came within `seconds`, or in a page of the past. Raises StreamEnded."""
        ...

    def leave(self) -> None:
        """Read no more; safe to call twice."""
        ...


class EventStreams(Protocol):
    """Opens streams of events."""

    async def now(self) -> Mapping[str, int]:
        """The place at the end of every log. Raises TransientError when the store is away."""
        ...

    async def subscribe(self, followed: Followed, place: Mapping[str, int]) -> Subscription:
        """Follow from after a place, which names each of the contexts. Raises TransientError; StreamEnded while the process drains."""
        ...

    async def customer_of(self, recorded: RecordedEvent) -> str | None:
        """Whose request an event is of; None where that is not known. Raises TransientError."""
        ...


def place_text(place: Mapping[str, int]) -> str:
    """The place as it goes over the wire: `context:position,context:position`."""
    return ",".join(f"{context}:{position}" for context, position in place.items())


def place_of(text: str, contexts: Collection[str], ends: Mapping[str, int]) -> dict[str, int]:
    """The place in a text that names exactly these contexts, none beyond the end of its log. Raises WrongPlace."""
    wanted = ", ".join(contexts)
    if len(text) > MAX_PLACE_CHARACTERS:
        raise WrongPlace(f"should have at most {MAX_PLACE_CHARACTERS} characters")
    found: dict[str, int] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None or match[1] in found:
            raise WrongPlace(f"should be the id of an event of this stream: context:position for each of {wanted}, joined by commas")
        found[match[1]] = int(match[2])
    if set(found) != set(contexts):
        raise WrongPlace(f"should name the contexts of this stream, which are {wanted}")
    if any(position > ends[context] for context, position in found.items()):
        raise WrongPlace("should not be beyond the end of the log: the id belongs to another mesh")
    return {context: found[context] for context in contexts}
