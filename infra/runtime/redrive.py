"""Takes requeued dead letters from the table and applies them in order, before anything newer of their aggregate; part of the
command worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from contracts.message import Command
from contracts.topics import commands_topic
from infra.event_store.base import AppendMode, DeadLetter
from infra.event_store.postgres import PostgresEventStore
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.resilience.retry import TransientRetry
from infra.runtime.batch import TRIES_AFTER_CRASH, AttemptLedger, BatchProcessor, Group, WorkerDied
from infra.runtime.decide import BatchContext
from infra.runtime.decode import Unreadable, decode_record
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

PACKAGE = "infra.event_store.sql"
INTERVAL_SECONDS = 1.0
HEADS_PER_ROUND = 200
LOCK = b"SELECT pg_try_advisory_lock(hashtextextended(%(name)s, 0))"
UNLOCK = b"SELECT pg_advisory_unlock(hashtextextended(%(name)s, 0))"


class Redrive:
    """Applies requeued records. One worker of a context does at a time; should two, the append takes a record only while it is its
    aggregate's head. A record that kills its worker here too is parked again: each try is noted first."""

    def __init__(
        self,
        store: PostgresEventStore,
        database: Database,
        commands: Mapping[str, type[Command]],
        processor: BatchProcessor,
        ledger: AttemptLedger,
        in_batch: Callable[[], AbstractContextManager[BatchContext]],
        metrics: Metrics,
        attempts_before_parking: int,
    ) -> None:
        self._store = store
        self._database = database
        self._commands = commands
        self._processor = processor
        self._ledger = ledger
        self._in_batch = in_batch
        self._metrics = metrics
        self._limit = attempts_before_parking
        self._lock = {"name": f"agentmesh.redrive.{store.context}"}
        self._heads_sql = read_sql(PACKAGE, "requeued_heads.sql", store.context)
        self._settle_sql = read_sql(PACKAGE, "settle_undecodable.sql", store.context)

    async def run(self, stop: asyncio.Event, retry: TransientRetry) -> None:
        """Look for requeued records until `stop` is set; goes on at once while there are other ones than in the round before."""
        before: list[int] = []
        while not stop.is_set():
            found = await retry("redrive", lambda: self.once(retry))
            if not found or found == before:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=INTERVAL_SECONDS)
            before = found

    async def once(self, retry: TransientRetry) -> list[int]:
        """Apply the records whose turn it is; answers their positions."""
        if not await self._database.fetch(self._heads_sql, {"limit": 1}):
            return []
        async with self._database.connection() as connection:
            locked = await (await connection.execute(LOCK, self._lock)).fetchone()
            if locked != (True,):
                return []
            try:
                return await self._heads(retry)
            finally:
                await connection.execute(UNLOCK, self._lock)

    async def _heads(self, retry: TransientRetry) -> list[int]:
        positions = [position for (position,) in await self._database.fetch(self._heads_sql, {"limit": HEADS_PER_ROUND})]
        for position in positions:
            for letter in await self._store.dead_letters(position=position, statuses=["requeued"], limit=1):
                await self._apply(letter, retry)
        return positions

    async def _apply(self, letter: DeadLetter, retry: TransientRetry) -> None:
        self._metrics.dlq_requeued_total.labels(topic=commands_topic(self._store.context)).inc()
        decoded = decode_record(letter.record, self._commands)
        if isinstance(decoded, Unreadable):
            await self._database.execute(self._settle_sql, {"position": letter.position, "message": decoded.reason})
            return
        attempts = await self._ledger.count(decoded, "in redrive when its worker died")
        if attempts > max(self._limit, TRIES_AFTER_CRASH):
            decoded.attempts = attempts - 1
            decoded.defect = WorkerDied(f"its worker died {attempts - 1} times while it was redriven")
        group = Group(letter.aggregate_id or decoded.aggregate_id, [decoded], AppendMode.REDRIVE, letter.position)
        with self._in_batch() as context:
            await self._processor.settle(context, [group], [], retry)
        await self._ledger.forget([decoded])
        logger.info("dead letter %d of %s was taken up again", letter.position, group.aggregate_id)
