"""Brings partitions of a read model up to date from the event store, where Kafka does not hold what is missing; used by the
projection worker."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import TopicPartition

from contracts.envelope import RecordedEvent
from contracts.partitioning import partition_for
from infra.read_models.apply import Applied
from infra.read_models.checkpoints import Checkpoint, CheckpointWriter, Follower
from infra.read_models.saving import apply_and_save

logger = logging.getLogger(__name__)

PAGE = 2_000

ReadPage = Callable[[int, int], Awaitable[tuple[list[RecordedEvent], int]]]
"""(after, limit) -> what the store has above a position, and up to where that is complete; as `EventStore.read_events`."""


async def catch_up(
    model: Follower,
    writer: CheckpointWriter,
    read: ReadPage,
    checkpoints: Mapping[TopicPartition, Checkpoint],
    partitions: Mapping[TopicPartition, int],
    partition_count: int,
    parked_aggregates: set[str],
    attempted: Callable[[], None],
    count: Callable[[list[RecordedEvent], Applied], None],
) -> dict[TopicPartition, Checkpoint]:
    """Apply the store's events of these partitions up to the log's head; then each continues at the given offset, repeats being discarded.

    `attempted` is called before each page, `count` after each that was saved. Answers the new checkpoints. Raises TransientError when a
    server goes away (what was saved stays), CheckpointMoved when another worker came.
    """
    current = {partition: checkpoints[partition] for partition in partitions}
    by_number = {partition.partition: partition for partition in partitions}
    after = min(checkpoint.position for checkpoint in current.values())
    logger.info("%s catches up %d partitions from position %d of the store", model.name, len(current), after)
    while True:
        attempted()
        events, complete = await read(after, PAGE)
        mine = []
        for event in events:
            partition = by_number.get(partition_for(event.aggregate_id.encode(), partition_count))
            if partition is not None and event.position > current[partition].position:
                mine.append(event)
        at_head = complete == after or complete < after + PAGE
        reached = {
            partition: Checkpoint(partitions[partition] if at_head else checkpoint.next_offset, max(checkpoint.position, complete))
            for partition, checkpoint in current.items()
        }
        count(mine, await apply_and_save(model, mine, current, reached, parked_aggregates, writer.save))
        current, after = reached, complete
        if at_head:
            return current
