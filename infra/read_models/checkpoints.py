"""How far a follower of the logs has applied each partition, and what it parked; base of read models and process managers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, Protocol

from aiokafka import TopicPartition

from contracts.envelope import RecordedEvent, encode_stored
from infra.postgres.pool import Database, Statement

LOAD_CHECKPOINTS = b"""
SELECT topic, partition, next_offset, position FROM mesh.checkpoints
WHERE projection = %(projection)s AND topic = %(topic)s AND partition = ANY (%(partitions)s)
"""
CREATE_CHECKPOINT = b"""
INSERT INTO mesh.checkpoints (projection, topic, partition, next_offset, position)
SELECT %(projection)s, %(topic)s, p, 0, 0 FROM unnest(%(partitions)s::int[]) AS p
ON CONFLICT DO NOTHING
"""
ADVANCE = b"SELECT mesh.advance_checkpoints(%(name)s, %(topics)s, %(partitions)s::int[], %(expected)s::bigint[], %(next_offsets)s::bigint[], %(positions)s::bigint[])"  # noqa: E501
# What waits behind nothing any more (another worker applied it, or it was discarded) is applied with the next requeued ones.
PARK = b"""
INSERT INTO mesh.parked_events (projection, context, position, aggregate_id, sequence, type_name, state, cause, error_type, error_message, stack, attempts, status)
VALUES (%(projection)s, %(context)s, %(position)s, %(aggregate_id)s, %(sequence)s, %(type_name)s, %(state)s, %(cause)s, %(error_type)s, %(error_message)s, %(stack)s, %(attempts)s,
        CASE WHEN %(cause)s = 'behind' THEN coalesce((SELECT b.status FROM mesh.parked_events b WHERE b.projection = %(projection)s
             AND b.aggregate_id = %(aggregate_id)s ORDER BY b.position DESC LIMIT 1), 'requeued') ELSE 'parked' END)
ON CONFLICT DO NOTHING
"""  # noqa: E501
PARKED_AGGREGATES = b"SELECT DISTINCT aggregate_id FROM mesh.parked_events WHERE projection = %(projection)s"


class Follower(Protocol):
    """What follows the logs of some contexts: a read model, or a process manager."""

    @property
    def name(self) -> str: ...
    def changes(self, recorded: RecordedEvent) -> list[Any]:
        """What one event comes to. Pure; whatever it raises parks the event's aggregate."""
        ...


class Checkpoint(NamedTuple):
    """How far a partition is applied: the next offset to read, and the last position applied (0: nothing)."""

    next_offset: int
    position: int


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that could not be applied, or waits behind one that could not."""

    recorded: RecordedEvent
    cause: str
    error_type: str
    error_message: str
    stack: str
    attempts: int


@dataclass(slots=True)
class Move:
    """The step of one transaction: checkpoints from, checkpoints to, and what is applied in between."""

    expected: dict[TopicPartition, Checkpoint]
    reached: dict[TopicPartition, Checkpoint]
    changes: list[Any] = field(default_factory=list)
    parked: list[ParkedEvent] = field(default_factory=list)


class CheckpointWriter(ABC):
    """Saves what a follower of the logs, called `name`, has applied."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self.name = name

    async def checkpoints(self, topic: str, partitions: Sequence[int]) -> dict[TopicPartition, Checkpoint]:
        """The checkpoints of these partitions; a partition that was never read starts at offset 0, position 0."""
        parameters = {"projection": self.name, "topic": topic, "partitions": list(partitions)}
        await self._database.execute(CREATE_CHECKPOINT, parameters)
        rows = await self._database.fetch(LOAD_CHECKPOINTS, parameters)
        return {TopicPartition(name, partition): Checkpoint(offset, position) for name, partition, offset, position in rows}

    async def parked_aggregates(self) -> set[str]:
        """The aggregates that have parked events in this read model."""
        rows = await self._database.fetch(PARKED_AGGREGATES, {"projection": self.name})
        return {row[0] for row in rows}

    @abstractmethod
    async def save(self, move: Move) -> None:
        """Bring what the move's events came to where it belongs, and advance. Raises CheckpointMoved when another worker was here."""

    async def advance(self, move: Move, statements: Iterable[Statement] = ()) -> None:
        """Checkpoints, statements and parked events in one transaction and one round trip. Raises CheckpointMoved."""
        partitions = list(move.reached)
        advance = {
            "name": self.name,
            "topics": [partition.topic for partition in partitions],
            "partitions": [partition.partition for partition in partitions],
            "expected": [move.expected[partition].next_offset for partition in partitions],
            "next_offsets": [move.reached[partition].next_offset for partition in partitions],
            "positions": [move.reached[partition].position for partition in partitions],
        }
        # The checkpoints first: while a rebuild switches this waits, and what follows is then written to the new tables.
        parked = ((PARK, self.parked_row(each)) for each in move.parked)
        await self._database.execute_together(chain([(ADVANCE, advance)], statements, parked))

    def parked_row(self, parked: ParkedEvent) -> dict[str, Any]:
        """The columns of a parked event."""
        recorded = parked.recorded
        return {
            "projection": self.name,
            "context": recorded.context,
            "position": recorded.position,
            "aggregate_id": recorded.aggregate_id,
            "sequence": recorded.sequence,
            "type_name": recorded.metadata.type_name,
            "state": encode_stored(recorded.metadata, recorded.data),
            "cause": parked.cause,
            "error_type": parked.error_type,
            "error_message": parked.error_message.replace("\x00", "\\0")[:2000],
            "stack": parked.stack.replace("\x00", "\\0")[-16_000:],
            "attempts": parked.attempts,
        }
