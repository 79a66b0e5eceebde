"""The event store on Postgres: the eventsourcing library's recorder table, written by one statement a batch; used by every worker.

The library's own recorder locks the table and takes a round trip per statement; ADR 0002 says why its tables are kept and its
insert is not.
Any application of the library can read what is written here with `PostgresApplicationRecorder`, text originator ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from contracts.envelope import RecordedEvent, decode_stored
from contracts.rejections import rejected_type
from infra.event_store.base import (
    AggregateAppend,
    DeadLetter,
    LoadedStream,
    LogEntry,
    NewDeadLetter,
    Outcome,
    OutcomeKind,
    Refusal,
    StoredEvent,
    StreamQuery,
)
from infra.event_store.dead_letter_rows import dead_letter_from_row, parked_json
from infra.postgres.arrays import BigintColumn, ByteaColumn, IntegerColumn, SmallintColumn, TextColumn
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql

PACKAGE = "infra.event_store.sql"
OUTCOME_KINDS = {kind.value: kind for kind in OutcomeKind}


class PostgresEventStore:
    """One context's streams in schema `context`; promises as in `infra.event_store.base`."""

    def __init__(self, database: Database, context: str) -> None:
        self.context = context
        self._database = database
        self._rejected_type = rejected_type(context)
        self._sql = {
            name: read_sql(PACKAGE, f"{name}.sql", context)
            for name in ("load", "append", "read_log", "read_events", "read_stream", "head", "outcomes", "dead_letters")
        }

    async def load(self, queries: Sequence[StreamQuery]) -> dict[str, LoadedStream]:
        """See the port."""
        loaded = {query.aggregate_id: LoadedStream() for query in queries}
        rows = await self._database.fetch(
            self._sql["load"],
            {
                "ids": TextColumn([query.aggregate_id for query in queries]),
                "versions": BigintColumn([query.after_version for query in queries]),
                "command_aggregates": TextColumn([query.aggregate_id for query in queries for _ in query.command_ids]),
                "command_ids": TextColumn([command_id for query in queries for command_id in query.command_ids]),
            },
        )
        for kind, aggregate_id, version, position, name, payload, outcome, code in rows:
            stream = loaded[aggregate_id]
            if kind == "event":
                stream.events.append(StoredEvent(aggregate_id, version, position, name, payload))
            elif kind == "known":
                stream.known[name] = Outcome(OUTCOME_KINDS[outcome], code, version, position, payload)
            else:
                stream.parked = True
        for stream in loaded.values():
            if len(stream.events) > 1:
                stream.events.sort(key=lambda event: event.version)
        return loaded

    async def append(self, appends: Sequence[AggregateAppend]) -> dict[str, Refusal]:
        """See the port."""
        rows = await self._database.fetch(self._sql["append"], append_parameters(appends))
        named = [append for append in appends if append.aggregate_id]
        return {named[agg - 1].aggregate_id: reason for agg, reason in rows}

    async def read_log(self, after: int, limit: int) -> list[LogEntry]:
        """See the port."""
        rows = await self._database.fetch(self._sql["read_log"], {"after": after, "limit": limit})
        rows.sort(key=itemgetter(0))
        letters: dict[int, DeadLetter] = {}
        if any(row[1] == "dead_letter" for row in rows):
            letters = {letter.position: letter for letter in await self.dead_letters(after=after, through=after + limit, limit=limit)}
        return [
            LogEntry(
                position,
                kind,
                aggregate_id,
                version,
                self._rejected_type if kind == "rejection" else type_name,
                state,
                letters.get(position),
            )
            for position, kind, aggregate_id, version, type_name, state in rows
        ]

    async def read_events(self, after: int, limit: int) -> tuple[list[RecordedEvent], int]:
        """See the port."""
        rows = await self._database.fetch(self._sql["read_events"], {"after": after, "limit": limit})
        head = rows[0][0]
        events = [self._recorded(*row[1:]) for row in rows if row[1] is not None]
        return events, max(after, min(head, after + limit))

    async def read_stream(self, aggregate_id: str, after_version: int = 0) -> list[RecordedEvent]:
        """See the port."""
        rows = await self._database.fetch(self._sql["read_stream"], {"id": aggregate_id, "after": after_version})
        return [self._recorded(*row) for row in rows]

    async def head(self) -> int:
        """See the port."""
        row = await self._database.fetch_one(self._sql["head"], {}, timeout=5)
        return int(row[0]) if row else 0

    async def outcomes(self, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Outcome]:
        """See the port."""
        rows = await self._database.fetch(
            self._sql["outcomes"],
            {"aggregates": TextColumn([pair[0] for pair in pairs]), "commands": TextColumn([pair[1] for pair in pairs])},
        )
        return {
            (aggregate_id, command_id): Outcome(OUTCOME_KINDS[outcome], code, version, position, payload_hash)
            for aggregate_id, command_id, outcome, code, version, position, payload_hash in rows
        }

    async def dead_letters(
        self,
        *,
        after: int | None = None,
        through: int | None = None,
        aggregate_id: str | None = None,
        position: int | None = None,
        error_type: str | None = None,
        statuses: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """Dead letters by a filter, in position order; what is None does not filter."""
        rows = await self._database.fetch(
            self._sql["dead_letters"],
            {
                "after": after,
                "through": through,
                "aggregate_id": aggregate_id,
                "position": position,
                "error_type": error_type,
                "statuses": None if statuses is None else list(statuses),
                "limit": limit,
            },
        )
        return [dead_letter_from_row(row) for row in rows]

    def _recorded(self, position: int, aggregate_id: str, version: int, type_name: str, state: bytes) -> RecordedEvent:
        metadata, data = decode_stored(type_name, aggregate_id, state)
        return RecordedEvent(metadata=metadata, data=data, sequence=version, position=position, context=self.context)


def append_parameters(appends: Sequence[AggregateAppend]) -> dict[str, Any]:
    """The parallel arrays of append.sql. Aggregates are numbered from 1; records without an aggregate belong to number 0."""
    columns = _Columns()
    parked: list[tuple[int, NewDeadLetter]] = []
    number = 0
    for append in appends:
        if append.aggregate_id:
            number += 1
            columns.add(number, append)
        parked.extend((number if append.aggregate_id else 0, letter) for letter in append.dead_letters)
    parameters = columns.parameters()
    parameters["parked_aggs"] = IntegerColumn([agg for agg, _ in parked])
    parameters["parked"] = parked_json(parked).decode() if parked else None
    return parameters


class _Columns:
    """Collects the columns of one append; kept apart from the loop because this is the hot path of the worker."""

    def __init__(self) -> None:
        self.aggregates: list[AggregateAppend] = []
        self.command_aggs: list[int] = []
        self.command_positions: list[int] = []
        self.event_aggs: list[int] = []
        self.event_versions: list[int] = []
        self.rejection_aggs: list[int] = []

    def add(self, number: int, append: AggregateAppend) -> None:
        """Append one aggregate's rows; its events get consecutive versions after the expected one."""
        self.aggregates.append(append)
        events_before = len(self.event_aggs)
        rejections_before = len(self.rejection_aggs)
        for outcome in append.outcomes:
            self.command_aggs.append(number)
            if outcome.kind is OutcomeKind.EVENTS:
                self.command_positions.append(events_before + outcome.events)
            elif outcome.kind is OutcomeKind.REJECTED:
                self.command_positions.append(-(rejections_before + outcome.rejections))
            else:
                self.command_positions.append(0)
        count = len(append.events)
        if count:
            self.event_aggs.extend([number] * count)
            self.event_versions.extend(range(append.expected_version + 1, append.expected_version + 1 + count))
        if append.rejections:
            self.rejection_aggs.extend([number] * len(append.rejections))

    def parameters(self) -> dict[str, Any]:
        """Every array, by the parameter's name."""
        aggregates = self.aggregates
        outcomes = [outcome for append in aggregates for outcome in append.outcomes]
        events = [event for append in aggregates for event in append.events]
        rejections = [rejection for append in aggregates for rejection in append.rejections]
        return {
            "ids": TextColumn([append.aggregate_id for append in aggregates]),
            "versions": BigintColumn([append.expected_version for append in aggregates]),
            "modes": SmallintColumn([append.mode for append in aggregates]),
            "heads": BigintColumn([append.head for append in aggregates]),
            "command_aggs": IntegerColumn(self.command_aggs),
            "command_ids": TextColumn([outcome.command_id for outcome in outcomes]),
            "command_outcomes": TextColumn([outcome.kind for outcome in outcomes]),
            "command_codes": TextColumn([outcome.code for outcome in outcomes]),
            "command_versions": BigintColumn([outcome.version for outcome in outcomes]),
            "command_positions": IntegerColumn(self.command_positions),
            "command_hashes": ByteaColumn([outcome.payload_hash for outcome in outcomes]),
            "event_aggs": IntegerColumn(self.event_aggs),
            "event_versions": BigintColumn(self.event_versions),
            "event_types": TextColumn([event.type_name for event in events]),
            "event_states": ByteaColumn([event.state for event in events]),
            "rejection_aggs": IntegerColumn(self.rejection_aggs),
            "rejection_commands": TextColumn([rejection.command_id for rejection in rejections]),
            "rejection_states": ByteaColumn([rejection.state for rejection in rejections]),
        }
