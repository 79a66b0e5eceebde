"""Recorded logs in a real database: appended to the stores, applied to read models as their workers would; used by integration tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition

from contracts.envelope import RecordedEvent, encode_stored
from contracts.topics import events_topic
from infra.event_store.base import AggregateAppend, NewEvent, NewOutcome, OutcomeKind
from infra.event_store.postgres import PostgresEventStore
from infra.postgres.pool import Database
from infra.read_models.base import ReadModel
from infra.read_models.catch_up import catch_up
from infra.read_models.postgres import ReadModelWriter

PARTITIONS = 3
PAGE = 40


async def record(database: Database, logs: Mapping[str, Sequence[RecordedEvent]]) -> None:
    """Write the log of each context."""
    for context, log in logs.items():
        await append(PostgresEventStore(database, context), log)


async def append(store: PostgresEventStore, log: Sequence[RecordedEvent]) -> None:
    """Write a recorded log page by page, so that the streams lie between one another."""
    for start in range(0, len(log), PAGE):
        appends: dict[str, AggregateAppend] = {}
        for event in log[start : start + PAGE]:
            one = appends.setdefault(event.aggregate_id, AggregateAppend(event.aggregate_id, event.sequence - 1))
            one.events.append(NewEvent(event.metadata.type_name, encode_stored(event.metadata, event.data)))
            number = len(one.events)
            command = f"command-of-{event.metadata.message_id}"
            one.outcomes.append(NewOutcome(command, OutcomeKind.EVENTS, None, event.sequence, number, 0, b"hash"))
        assert await store.append(list(appends.values())) == {}


async def keep(database: Database, model: ReadModel, *, behind: int = 0) -> None:
    """Bring a read model up to date from the stores, as its worker would; the last partitions stay `behind` and know nothing."""
    for context in model.contexts:
        writer = ReadModelWriter(database, model)
        partitions = list(range(PARTITIONS - behind))
        checkpoints = await writer.checkpoints(events_topic(context), partitions)
        offsets = {TopicPartition(events_topic(context), number): 1 for number in partitions}
        store = PostgresEventStore(database, context)
        await catch_up(
            model, writer, store.read_events, checkpoints, offsets, PARTITIONS, set(), lambda: None, lambda events, applied: None
        )
