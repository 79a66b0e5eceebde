"""Saves a read model's rows, parked events and checkpoints in one transaction; used by the projection worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from contracts.envelope import RecordedEvent, encode_stored
from infra.errors import DataError
from infra.postgres.arrays import COLUMN_TYPES
from infra.postgres.pool import Database, Statement
from infra.postgres.sql_files import read_sql
from infra.read_models.base import ReadModel, RowChange, RowSet, merge

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
PARK = b"""
INSERT INTO mesh.parked_events (projection, context, position, aggregate_id, sequence, type_name, state, cause, error_type, error_message, stack, attempts, status)
VALUES (%(projection)s, %(context)s, %(position)s, %(aggregate_id)s, %(sequence)s, %(type_name)s, %(state)s, %(cause)s, %(error_type)s, %(error_message)s, %(stack)s, %(attempts)s,
        CASE WHEN %(cause)s = 'behind' THEN coalesce((SELECT b.status FROM mesh.parked_events b WHERE b.projection = %(projection)s
             AND b.aggregate_id = %(aggregate_id)s ORDER BY b.position DESC LIMIT 1), 'parked') ELSE 'parked' END)
ON CONFLICT DO NOTHING
"""  # noqa: E501
PARKED_AGGREGATES = b"SELECT DISTINCT aggregate_id FROM mesh.parked_events WHERE projection = %(projection)s"
DEFINITION = b"SELECT version FROM mesh.read_models WHERE projection = %(projection)s"


def create_tables(model: ReadModel, schema: str) -> bytes:
    """SQL that makes a schema and the model's tables in it."""
    return f"CREATE SCHEMA {schema};\n".encode() + read_sql(model.package, "schema.sql", schema)


def create_indexes(model: ReadModel, schema: str) -> bytes:
    """SQL that makes the indexes and keys that only reading and later writing need; a rebuild runs it after its rows are in."""
    return read_sql(model.package, "indexes.sql", schema)


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
    changes: list[RowChange] = field(default_factory=list)
    parked: list[ParkedEvent] = field(default_factory=list)


class ReadModelWriter:
    """Writes one read model in schema `schema` (by default that of its active version).

    `fresh`: no row can be there yet, as in a rebuild; rows are then inserted without looking.
    """

    def __init__(self, database: Database, model: ReadModel, schema: str | None = None, *, fresh: bool = False) -> None:
        self._database = database
        self.model = model
        self._schema = schema or model.schema
        self._fresh = fresh
        self._statements: dict[tuple[str, bool, tuple[str, ...]], bytes] = {}

    async def definition_version(self) -> int | None:
        """The version of the definition that the tables hold; None when they were never made."""
        row = await self._database.fetch_one(DEFINITION, {"projection": self.model.name})
        return None if row is None else int(row[0])

    async def checkpoints(self, topic: str, partitions: Sequence[int]) -> dict[TopicPartition, Checkpoint]:
        """The checkpoints of these partitions; a partition that was never read starts at offset 0, position 0."""
        parameters = {"projection": self.model.name, "topic": topic, "partitions": list(partitions)}
        await self._database.execute(CREATE_CHECKPOINT, parameters)
        rows = await self._database.fetch(LOAD_CHECKPOINTS, parameters)
        return {TopicPartition(name, partition): Checkpoint(offset, position) for name, partition, offset, position in rows}

    async def parked_aggregates(self) -> set[str]:
        """The aggregates that have parked events in this read model."""
        rows = await self._database.fetch(PARKED_AGGREGATES, {"projection": self.model.name})
        return {row[0] for row in rows}

    async def save(self, move: Move) -> None:
        """Checkpoints, rows and parked events in one transaction and one round trip. Raises CheckpointMoved when another
        worker was here."""
        partitions = list(move.reached)
        advance = {
            "name": self.model.name,
            "topics": [partition.topic for partition in partitions],
            "partitions": [partition.partition for partition in partitions],
            "expected": [move.expected[partition].next_offset for partition in partitions],
            "next_offsets": [move.reached[partition].next_offset for partition in partitions],
            "positions": [move.reached[partition].position for partition in partitions],
        }
        rows = self.statements(move.changes)
        # The checkpoints first: while a rebuild switches this waits, and what follows is then written to the new tables.
        parked = ((PARK, self.parked_row(each)) for each in move.parked)
        await self._database.execute_together(chain([(ADVANCE, advance)], rows, parked))

    def statements(self, changes: Sequence[RowChange]) -> list[Statement]:
        """The statements, with their arrays, that apply these changes. Raises DataError for rows that do not fit the tables."""
        try:
            return list(self._statements_of(merge(self.model.tables, changes)))
        except (KeyError, TypeError) as error:
            raise DataError(f"a row of {self.model.name} does not fit its table: {type(error).__name__}: {error}") from error

    def _statements_of(self, row_sets: Iterable[RowSet]) -> Iterator[Statement]:
        for row_set in row_sets:
            key = (row_set.table.name, row_set.insert, row_set.columns)
            sql = self._statements.get(key)
            if sql is None:
                sql = self._statements[key] = statement(self._schema, row_set, fresh=self._fresh).encode()
            types = row_set.table.columns
            yield sql, {column: COLUMN_TYPES[types[column]](row_set.values(column)) for column in row_set.columns}

    def parked_row(self, parked: ParkedEvent) -> dict[str, Any]:
        """The columns of a parked event."""
        recorded = parked.recorded
        return {
            "projection": self.model.name,
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


def statement(schema: str, row_set: RowSet, *, fresh: bool = False) -> str:
    """The SQL for a row set: one INSERT … ON CONFLICT or one UPDATE, from unnested columns. Names come from the model's code,
    not from data."""
    table = row_set.table
    names = ", ".join(row_set.columns)
    source = f"unnest({', '.join(f'%({column})s' for column in row_set.columns)}) AS u ({names})"
    if row_set.insert:
        text = f"INSERT INTO {schema}.{table.name} AS t ({names}) SELECT {names} FROM {source}"  # nosec B608
        if fresh:
            return text
        text += f" ON CONFLICT ({', '.join(table.key)}) "
        if table.append_only:
            return text + "DO NOTHING"
        updates = ", ".join(f"{column} = excluded.{column}" for column in row_set.columns if column not in table.key)
        return text + f"DO UPDATE SET {updates} WHERE t.{table.version} < excluded.{table.version}"  # nosec B608
    updates = ", ".join(f"{column} = u.{column}" for column in row_set.columns if column not in table.key)
    keys = " AND ".join(f"t.{column} = u.{column}" for column in table.key)
    return f"UPDATE {schema}.{table.name} AS t SET {updates} FROM {source} WHERE {keys} AND t.{table.version} < u.{table.version}"  # nosec B608
