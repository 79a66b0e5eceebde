"""Builds a read model anew beside itself from the event store, proves the two equal, and switches in one transaction; run by the CLI,
and by order in the projections' process.

Reads never fail meanwhile, and projection workers go on writing: they wait (in mesh.advance_checkpoints) only for the last events, the
comparison and the switch. What each partition's checkpoint covers is folded, no more, so that the two can be compared row by row.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from psycopg import AsyncConnection

from contracts.envelope import RecordedEvent
from contracts.partitioning import partition_for
from contracts.topics import events_topic
from infra.errors import ConfigurationError
from infra.event_store.base import EventStore
from infra.postgres.pool import Database, Statement
from infra.read_models.apply import apply_events
from infra.read_models.base import ReadModel, Table
from infra.read_models.checkpoints import PARK, ParkedEvent
from infra.read_models.postgres import ReadModelWriter, create_indexes, create_tables

logger = logging.getLogger(__name__)

PAGE = 5_000
MOST_REST_SECONDS = 1.0
# Fewer events than this are left to be folded while the workers wait.
FEW = 2_000
MAX_PARKED = 10_000
COMPARE_SECONDS = 600

CHECKPOINTS = "SELECT topic, partition, position FROM mesh.checkpoints WHERE projection = %(projection)s ORDER BY topic, partition"
PARKED = "SELECT DISTINCT aggregate_id FROM mesh.parked_events WHERE projection = %(projection)s"
# What is written is durable when the switch is: its commit waits for the disk, and everything before it is on the disk then.
NOT_DURABLE: Statement = (b"SELECT set_config('synchronous_commit', 'off', true)", {})
Progress = Callable[[int, int], None]


class RebuildDiffers(ConfigurationError):
    """The rebuilt read model is not equal to the live one; nothing was switched."""


class RebuildRuns(ConfigurationError):
    """Another rebuild of the same read model is running."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a rebuild spares the process and the servers that it shares: how many events it holds at a time, and the share of the time in
    which it works; it rests for the others. What came in meanwhile is folded without rest, so that it ends under any write load."""

    page: int
    share: float

    def rest(self, worked: float) -> float:
        """Seconds to rest after so many seconds of work."""
        return min(MOST_REST_SECONDS, worked * (1 - self.share) / self.share)


FULL_SPEED = Pace(PAGE, 1.0)


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild did."""

    projection: str
    events: int
    rows: int
    compared: bool
    parked: int
    seconds: float
    locked_seconds: float


@dataclass(slots=True)
class _Fold:
    """How far each partition is folded into the next version. `position[p]`: all events of p up to here are folded."""

    position: dict[tuple[str, int], int] = field(default_factory=dict)
    events: int = 0
    parked_aggregates: set[str] = field(default_factory=set)
    parked: list[ParkedEvent] = field(default_factory=list)


@contextmanager
def relaxed_collector() -> Iterator[None]:
    """Collect garbage less often while many short-lived objects are made: with the default threshold it takes two thirds of the time."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Rebuild:
    """One rebuild of one read model."""

    def __init__(
        self,
        database: Database,
        model: ReadModel,
        stores: Mapping[str, EventStore],
        partitions: int,
        topic_prefix: str = "",
        *,
        pace: Pace = FULL_SPEED,
    ) -> None:
        self._database = database
        self._model = model
        self._stores = {topic_prefix + events_topic(context): store for context, store in stores.items()}
        self._partitions = partitions
        self._writer = ReadModelWriter(database, model, model.next_schema, fresh=True)
        self._writing: asyncio.Task[None] | None = None
        self._fold = _Fold()
        self._pace = pace
        self._done: dict[str, int] = {}
        self._ends: dict[str, int] = {}

    @property
    def events(self) -> int:
        """The events that are folded until now."""
        return self._fold.events

    @property
    def positions(self) -> int:
        """The positions of all its logs that it had to fold when it last looked."""
        return sum(self._ends.values())

    async def run(self, progress: Progress, *, accept_differences: bool = False) -> RebuildReport:
        """Build, compare, switch. `progress(done, of)` gets log positions, of all its logs together. Raises RebuildDiffers, or RebuildRuns.

        With a pace other than full speed the process is left as it is: its garbage is others' too."""
        started = time.monotonic()
        with relaxed_collector() if self._pace is FULL_SPEED else nullcontext():
            return await self._run(started, progress, accept_differences)

    async def _run(self, started: float, progress: Progress, accept_differences: bool) -> RebuildReport:
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (f"agentmesh.rebuild.{self._model.name}",)
            )
            if await cursor.fetchone() != (True,):
                raise RebuildRuns(f"Another rebuild of {self._model.name} is running. Wait for it to end.")
            try:
                await self._prepare(connection)
                await self._fold_most(progress)
                await self._index(connection)
                compared, rows, locked = await self._finish(connection, accept_differences)
            finally:
                await connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (f"agentmesh.rebuild.{self._model.name}",))
        return RebuildReport(
            self._model.name, self._fold.events, rows, compared, len(self._fold.parked), time.monotonic() - started, locked
        )

    async def _prepare(self, connection: AsyncConnection[Any]) -> None:
        model = self._model
        await connection.execute(f"DROP SCHEMA IF EXISTS {model.next_schema} CASCADE")
        await connection.execute(f"DROP SCHEMA IF EXISTS {model.schema}_old CASCADE")
        await connection.execute(create_tables(model, model.next_schema))

    async def _fold_most(self, progress: Progress) -> None:
        while True:
            targets = await self._targets()
            before = self._fold.events
            self._ends = {topic: max((end for key, end in targets.items() if key[0] == topic), default=0) for topic in self._stores}
            for topic, store in self._stores.items():
                await self._fold_up_to(topic, store, targets, None, progress)
            # What was written meanwhile is folded without rest: else a busy log would never be caught up with.
            self._pace = replace(self._pace, share=1.0)
            if self._fold.events - before < FEW:
                return

    async def _targets(self) -> dict[tuple[str, int], int]:
        rows = await self._database.fetch(CHECKPOINTS.encode(), {"projection": self._model.name})
        return {(topic, partition): position for topic, partition, position in rows}

    async def _fold_up_to(
        self,
        topic: str,
        store: EventStore,
        targets: Mapping[tuple[str, int], int],
        connection: AsyncConnection[Any] | None,
        progress: Progress,
    ) -> None:
        """Fold the events of a topic that its partitions' checkpoints cover, each once, in log order."""
        mine = {key: position for key, position in targets.items() if key[0] == topic}
        if not mine:
            return
        end = max(mine.values())
        after = min(self._fold.position.get(key, 0) for key in mine)
        skipped: dict[tuple[str, int], int] = {}
        page = self._pace.page
        ahead = asyncio.create_task(store.read_events(after, page)) if after < end else None
        try:
            while ahead is not None:
                began = time.monotonic()
                events, complete = await ahead
                ahead = asyncio.create_task(store.read_events(complete, page)) if after < complete < end else None
                await self._apply(self._covered(topic, events, mine, skipped), connection)
                after = complete
                self._done[topic] = min(complete, end)
                progress(sum(self._done.values()), self.positions)
                await asyncio.sleep(self._pace.rest(time.monotonic() - began))
            await self._written()
        finally:
            for task in (ahead, self._writing):
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
            self._writing = None
        for key in mine:
            # Nothing of this partition was passed over: it is folded as far as the log was read.
            self._fold.position[key] = skipped[key] - 1 if key in skipped else max(after, self._fold.position.get(key, 0))

    def _covered(
        self, topic: str, events: Sequence[RecordedEvent], targets: Mapping[tuple[str, int], int], skipped: dict[tuple[str, int], int]
    ) -> list[RecordedEvent]:
        covered = []
        # Between what every partition has folded and what every checkpoint covers, an event's partition does not matter.
        folded_by_all = max(self._fold.position.get(key, 0) for key in targets)
        covered_by_all = min(targets.values()) if len(targets) == self._partitions else 0
        for event in events:
            if folded_by_all < event.position <= covered_by_all:
                covered.append(event)
                continue
            key = (topic, partition_for(event.metadata.subject.encode(), self._partitions))
            if event.position <= self._fold.position.get(key, 0):
                continue
            if event.position <= targets.get(key, 0):
                covered.append(event)
            else:
                skipped.setdefault(key, event.position)
        return covered

    async def _apply(self, events: Sequence[RecordedEvent], connection: AsyncConnection[Any] | None) -> None:
        if not events:
            return
        applied = apply_events(self._model, events, self._fold.parked_aggregates)
        self._fold.events += applied.events
        self._fold.parked += applied.parked
        if len(self._fold.parked) > MAX_PARKED:
            raise ConfigurationError(f"More than {MAX_PARKED} events cannot be applied: mend the read model's functions first.")
        statements = self._writer.statements(applied.changes)
        if connection is not None:
            for sql, parameters in statements:
                await connection.execute(sql, parameters, binary=True)
            return
        await self._written()
        self._writing = asyncio.create_task(self._write(statements))

    async def _write(self, statements: list[Statement]) -> None:
        await self._database.execute_together(chain([NOT_DURABLE], statements))

    async def _written(self) -> None:
        """Wait for the page in the database's hands; meanwhile the next one was prepared."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def _index(self, connection: AsyncConnection[Any]) -> None:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{COMPARE_SECONDS}s'")
            await connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
            await connection.execute(create_indexes(self._model, self._model.next_schema))
            for table in self._model.tables:
                await connection.execute(f"ANALYZE {self._model.next_schema}.{table.name}")

    async def _finish(self, connection: AsyncConnection[Any], accept_differences: bool) -> tuple[bool, int, float]:
        model = self._model
        started = time.monotonic()
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{COMPARE_SECONDS}s'")
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"agentmesh.read_model.{model.name}",))
            cursor = await connection.execute(CHECKPOINTS, {"projection": model.name})
            targets = {(topic, partition): position for topic, partition, position in await cursor.fetchall()}
            for topic, store in self._stores.items():
                await self._fold_up_to(topic, store, targets, connection, lambda done, of: None)
            cursor = await connection.execute("SELECT version FROM mesh.read_models WHERE projection = %s", (model.name,))
            found = await cursor.fetchone()
            same_definition = found is not None and found[0] == model.version
            rows = await self._count(connection)
            if same_definition:
                await self._compare(connection, accept_differences)
            await self._switch(connection)
        locked = time.monotonic() - started
        await connection.execute(f"DROP SCHEMA IF EXISTS {model.schema}_old CASCADE")
        return same_definition, rows, locked

    async def _count(self, connection: AsyncConnection[Any]) -> int:
        total = 0
        for table in self._model.tables:
            cursor = await connection.execute(f"SELECT count(*) FROM {self._model.next_schema}.{table.name}")  # nosec B608 - names of the model
            row = await cursor.fetchone()
            total += row[0] if row else 0
        return total

    async def _compare(self, connection: AsyncConnection[Any], accept_differences: bool) -> None:
        cursor = await connection.execute(PARKED, {"projection": self._model.name})
        left_out = sorted({row[0] for row in await cursor.fetchall()} | self._fold.parked_aggregates)
        for table in self._model.tables:
            differing = await self._differences(connection, table, left_out)
            if differing and not accept_differences:
                raise RebuildDiffers(
                    f"The rebuilt {self._model.name}.{table.name} differs from the live one, first at {', '.join(differing)}. Nothing was "
                    f"switched. If the rebuilt one is right: agentmesh projections rebuild {self._model.name} --accept-differences"
                )

    async def _differences(self, connection: AsyncConnection[Any], table: Table, left_out: list[str]) -> list[str]:
        """Keys of up to five rows that differ; first by one sum over all rows, and only if that differs row by row."""
        # json has no equality and no hash; its text has.
        hashed = ", ".join(f"{column}::text" if kind == "json" else column for column, kind in sorted(table.columns.items()))
        texts = ", ".join(f"{column}::text" for column in sorted(table.columns))
        sums = []
        for schema in (self._model.schema, self._model.next_schema):
            cursor = await connection.execute(
                f"SELECT count(*), coalesce(sum(hash_record_extended(ROW({hashed}), 0)::numeric), 0) "  # nosec B608 - names of the model
                f"FROM {schema}.{table.name} t WHERE t.{table.key[0]} <> ALL (%s::text[])",
                (left_out,),
            )
            sums.append(await cursor.fetchone())
        if sums[0] == sums[1]:
            return []
        old = f"(SELECT {texts} FROM {self._model.schema}.{table.name})"  # nosec B608 - names of the model
        new = f"(SELECT {texts} FROM {self._model.next_schema}.{table.name})"  # nosec B608 - names of the model
        keys = " || '/' || ".join(f"{key}::text" for key in table.key)
        cursor = await connection.execute(
            f"SELECT DISTINCT {keys} FROM (({old} EXCEPT {new}) UNION ALL ({new} EXCEPT {old})) AS d "  # nosec B608 - names of the model
            f"WHERE {table.key[0]} <> ALL (%s::text[]) LIMIT 5",
            (left_out,),
        )
        return [row[0] for row in await cursor.fetchall()]

    async def _switch(self, connection: AsyncConnection[Any]) -> None:
        model = self._model
        exists = await (await connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", (model.schema,))).fetchone()
        if exists == (True,):
            await connection.execute(f"ALTER SCHEMA {model.schema} RENAME TO {model.schema}_old")
        await connection.execute(f"ALTER SCHEMA {model.next_schema} RENAME TO {model.schema}")
        await connection.execute(
            "INSERT INTO mesh.read_models (projection, version) VALUES (%s, %s) "
            "ON CONFLICT (projection) DO UPDATE SET version = excluded.version, built_at = now()",
            (model.name, model.version),
        )
        await connection.execute("DELETE FROM mesh.parked_events WHERE projection = %s", (model.name,))
        for parked in self._fold.parked:
            await connection.execute(PARK, self._writer.parked_row(parked))
