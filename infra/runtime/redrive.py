"""Takes requeued dead letters from the table and applies them in order, before anything newer of their aggregate; part of the
command worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from contracts.message import Command
from infra.event_store.base import AppendMode, DeadLetter
from infra.event_store.postgres import PostgresEventStore
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.resilience.retry import TransientRetry
from infra.runtime.batch import BatchProcessor, Group
from infra.runtime.decide import BatchContext
from infra.runtime.decode import Unreadable, decode_record
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

PACKAGE = "infra.event_store.sql"
INTERVAL_SECONDS = 1.0
HEADS_PER_ROUND = 200


class Redrive:
    """Applies requeued records. Several workers may look at once: the append takes a record only while it is its aggregate's head."""

    def __init__(
        self,
        store: PostgresEventStore,
        database: Database,
        commands: Mapping[str, type[Command]],
        processor: BatchProcessor,
        context: Callable[[], BatchContext],
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._database = database
        self._commands = commands
        self._processor = processor
        self._context = context
        self._metrics = metrics
        self._heads_sql = read_sql(PACKAGE, "requeued_heads.sql", store.context)
        self._settle_sql = read_sql(PACKAGE, "settle_undecodable.sql", store.context)

    async def run(self, stop: asyncio.Event, retry: TransientRetry) -> None:
        """Look for requeued records until `stop` is set; goes on at once while there are some."""
        while not stop.is_set():
            found = await retry("redrive", lambda: self.once(retry))
            if not found:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), timeout=INTERVAL_SECONDS)

    async def once(self, retry: TransientRetry) -> int:
        """Apply the records whose turn it is; answers how many there were."""
        rows = await self._database.fetch(self._heads_sql, {"limit": HEADS_PER_ROUND})
        for (position,) in rows:
            for letter in await self._store.dead_letters(position=position, statuses=["requeued"], limit=1):
                await self._apply(letter, retry)
        return len(rows)

    async def _apply(self, letter: DeadLetter, retry: TransientRetry) -> None:
        self._metrics.dlq_requeued_total.labels(topic=letter.record.topic).inc()
        decoded = decode_record(letter.record, self._commands)
        if isinstance(decoded, Unreadable):
            await self._settle(letter, "parked", decoded.reason)
            return
        if letter.aggregate_id is None:
            group = Group(decoded.aggregate_id, [decoded])
        else:
            group = Group(letter.aggregate_id, [decoded], AppendMode.REDRIVE, letter.position)
        await self._processor.settle(self._context(), [group], [], retry, lambda item: False)
        if letter.aggregate_id is None:
            await self._settle(letter, "redriven", "read and applied")
        logger.info("dead letter %d of %s was taken up again", letter.position, letter.aggregate_id)

    async def _settle(self, letter: DeadLetter, status: str, message: str) -> None:
        await self._database.execute(self._settle_sql, {"position": letter.position, "status": status, "message": message})
