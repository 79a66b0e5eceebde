"""The event store port: what the command worker appends, what the relay and the read models read; adapters stand beside this file.

Promises of every adapter: an append is one transaction; positions are drawn under one lock shared by events, rejections and dead letters of
a context, so they are contiguous and a reader that has seen position n never meets a smaller one later; an aggregate whose
stream moved, whose
command has an outcome by now, or whose parked records changed is left out of the append as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol

from contracts.envelope import RecordedEvent


class OutcomeKind(StrEnum):
    """What became of an accepted command."""

    EVENTS = "events"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    PARKED = "parked"


class Outcome(NamedTuple):
    """An inbox row: the recorded outcome of one command."""

    kind: OutcomeKind
    code: str | None
    version: int
    """The stream's version after the command."""
    position: int | None
    """The position of the command's last event or of its rejection; None when it changed nothing or is parked."""
    payload_hash: bytes


def payload_hash(data: bytes) -> bytes:
    """Eight bytes that tell whether the same command id came with another payload."""
    return blake2b(data, digest_size=8).digest()


class StreamQuery(NamedTuple):
    """What to load of one aggregate: the events above a version, and which of these command ids are known."""

    aggregate_id: str
    after_version: int
    command_ids: Sequence[str]


class StoredEvent(NamedTuple):
    """One event as it lies in the store; `state` is the form of `contracts.envelope.encode_stored`."""

    aggregate_id: str
    version: int
    position: int
    type_name: str
    state: bytes


@dataclass(slots=True)
class LoadedStream:
    """What the store holds of one queried aggregate."""

    events: list[StoredEvent] = field(default_factory=list)
    known: dict[str, Outcome] = field(default_factory=dict)
    parked: bool = False


class NewEvent(NamedTuple):
    """An event to append; its version follows from its place in the append."""

    type_name: str
    state: bytes


class NewRejection(NamedTuple):
    """A refused command; `state` is the stored form of its CommandRejected."""

    command_id: str
    state: bytes


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The Kafka record that a dead letter keeps, byte for byte."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class ParkCause(StrEnum):
    """Why a record is parked: by its own defect, behind another record of its aggregate, or because nobody can read it."""

    DEFECT = "defect"
    BEHIND = "behind"
    UNDECODABLE = "undecodable"


@dataclass(frozen=True, slots=True)
class NewDeadLetter:
    """A record to park."""

    record: SourceRecord
    command_id: str | None
    type_name: str | None
    consumer_group: str
    cause: ParkCause
    error_type: str
    error_message: str
    stack: str
    attempts: int
    handler_version: str


class NewOutcome(NamedTuple):
    """One command's outcome. `events` and `rejections` count the entries of the append up to and including this command's."""

    command_id: str
    kind: OutcomeKind
    code: str | None
    version: int
    events: int
    rejections: int
    payload_hash: bytes


class AppendMode(IntEnum):
    """What must hold of the aggregate's parked records: there are none; there are some; the given one is their requeued head."""

    APPLY = 0
    BEHIND = 1
    REDRIVE = 2


@dataclass(slots=True)
class AggregateAppend:
    """All that one batch does to one aggregate; written as a whole or not at all. An empty aggregate id holds undecodable records only."""

    aggregate_id: str
    expected_version: int
    mode: AppendMode = AppendMode.APPLY
    head: int = 0
    outcomes: list[NewOutcome] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    rejections: list[NewRejection] = field(default_factory=list)
    dead_letters: list[NewDeadLetter] = field(default_factory=list)


Refusal = Literal["version", "known", "parked", "not_parked", "not_head"]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A parked record as it lies in the store."""

    position: int
    aggregate_id: str | None
    command_id: str | None
    type_name: str | None
    record: SourceRecord
    consumer_group: str
    cause: str
    error_type: str
    error_message: str
    stack: str
    attempts: int
    handler_version: str
    first_failed_at: str
    status: str
    marked_by: str | None
    marked_reason: str | None


class LogEntry(NamedTuple):
    """One entry of a context's log, as the relay publishes it."""

    position: int
    kind: Literal["event", "rejection", "dead_letter"]
    aggregate_id: str
    version: int
    type_name: str
    state: bytes
    dead_letter: DeadLetter | None


class EventStore(Protocol):
    """One context's event store. Every method raises TransientError when the store cannot be reached, and may then be called again."""

    context: str

    async def load(self, queries: Sequence[StreamQuery]) -> dict[str, LoadedStream]:
        """The streams, known outcomes and parked marks of many aggregates, in one query; every queried id is a key of the answer."""
        ...

    async def append(self, appends: Sequence[AggregateAppend]) -> dict[str, Refusal]:
        """Write a batch in one transaction; answers the aggregates that were left out, with the reason. DataError: nothing was written."""
        ...

    async def read_log(self, after: int, limit: int) -> list[LogEntry]:
        """Events, rejections and dead letters above position `after`, in position order, at most `limit`."""
        ...

    async def read_events(self, after: int, limit: int) -> tuple[list[RecordedEvent], int]:
        """Events above `after` in position order and the position up to which this answer is complete."""
        ...

    async def read_stream(self, aggregate_id: str, after_version: int = 0) -> list[RecordedEvent]:
        """One aggregate's events above a version, in order; an unknown aggregate has none."""
        ...

    async def head(self) -> int:
        """The last position that was drawn; 0 for an empty store."""
        ...

    async def outcomes(self, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Outcome]:
        """The recorded outcomes of (aggregate id, command id) pairs; a pair without one is absent."""
        ...
