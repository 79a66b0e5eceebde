"""Parked events of read models: applied again in order when they are requeued; used by the projection worker and the CLI."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from aiokafka import TopicPartition

from contracts.envelope import RecordedEvent, decode_stored
from contracts.partitioning import partition_for
from contracts.rejections import rejected_type
from contracts.topics import events_topic, rejections_topic
from infra.errors import DataError
from infra.postgres.pool import Database
from infra.read_models.apply import apply_events
from infra.read_models.checkpoints import CheckpointWriter, Follower, Move

logger = logging.getLogger(__name__)

REQUEUED = b"""
SELECT p.context, p.aggregate_id, p.position, p.sequence, p.type_name, p.state FROM mesh.parked_events p
WHERE p.projection = %(projection)s AND p.status = 'requeued' AND NOT EXISTS (
    SELECT 1 FROM mesh.parked_events b WHERE b.projection = p.projection AND b.aggregate_id = p.aggregate_id
    AND b.position < p.position AND b.status = 'parked')
ORDER BY p.position LIMIT 1000
"""
DELETE = b"DELETE FROM mesh.parked_events WHERE projection = %(projection)s AND context = %(context)s AND position = %(position)s"
FAILED = b"""
UPDATE mesh.parked_events SET status = 'parked', cause = 'defect', error_type = %(type)s, error_message = %(message)s, attempts
= attempts + 1
WHERE projection = %(projection)s AND context = %(context)s AND position = %(position)s
"""


class ParkedEvents:
    """The parked events of one read model or process manager."""

    def __init__(self, database: Database, model: Follower, writer: CheckpointWriter) -> None:
        self._database = database
        self._model = model
        self._writer = writer

    async def apply_requeued(self, mine: Collection[TopicPartition], partition_count: int, prefix: str) -> int:
        """Apply requeued records of these partitions in position order; answers how many. One that fails again stops its aggregate."""
        rows = await self._database.fetch(REQUEUED, {"projection": self._model.name})
        stopped: set[str] = set()
        done = 0
        for context, aggregate_id, position, sequence, type_name, state in rows:
            # Whoever follows the topic that it came from: that worker holds its aggregate's later records back.
            topic = rejections_topic(context) if type_name == rejected_type(context) else events_topic(context)
            partition = TopicPartition(prefix + topic, partition_for(aggregate_id.encode(), partition_count))
            if partition not in mine or aggregate_id in stopped:
                continue
            metadata, data = decode_stored(type_name, aggregate_id, state)
            recorded = RecordedEvent(metadata=metadata, data=data, sequence=sequence, position=position, context=context)
            if await self._apply(recorded):
                done += 1
            else:
                stopped.add(aggregate_id)
        return done

    async def _apply(self, recorded: RecordedEvent) -> bool:
        key: dict[str, Any] = {"projection": self._model.name, "context": recorded.context, "position": recorded.position}
        applied = apply_events(self._model, [recorded], set())
        if applied.parked:
            failed = applied.parked[0]
            await self._database.execute(FAILED, {**key, "type": failed.error_type, "message": failed.error_message[:2000]})
            return False
        try:
            # Applied twice does no harm, so the mark may go after it.
            await self._writer.save(Move({}, {}, applied.changes))
            await self._database.execute(DELETE, key)
        except DataError as error:
            await self._database.execute(FAILED, {**key, "type": "DataError", "message": str(error)[:2000]})
            return False
        return True
