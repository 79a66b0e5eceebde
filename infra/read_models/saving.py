"""Applies events and saves what they come to with the checkpoints, event by event where the database refuses a row; used by the
projection worker and by catching up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka import TopicPartition

from contracts.envelope import RecordedEvent
from infra.errors import DataError
from infra.read_models.apply import Applied, apply_events, defect
from infra.read_models.checkpoints import Checkpoint, Follower, Move

Save = Callable[[Move], Awaitable[None]]


async def apply_and_save(
    model: Follower,
    events: Sequence[RecordedEvent],
    expected: Mapping[TopicPartition, Checkpoint],
    reached: Mapping[TopicPartition, Checkpoint],
    parked_aggregates: set[str],
    save: Save,
) -> Applied:
    """Bring new events into the read model and move its checkpoints. Events that cannot be applied are parked, by aggregate."""
    before = set(parked_aggregates)
    applied = apply_events(model, events, parked_aggregates)
    try:
        await save(Move(dict(expected), dict(reached), applied.changes, applied.parked))
    except DataError:
        parked_aggregates.intersection_update(before)
        applied = await _one_by_one(model, events, parked_aggregates, save)
        await save(Move(dict(expected), dict(reached)))
    return applied


async def _one_by_one(model: Follower, events: Sequence[RecordedEvent], parked_aggregates: set[str], save: Save) -> Applied:
    """Each event by itself; rows are guarded by their version, so it does no harm to have saved some when the checkpoints cannot move."""
    whole = Applied()
    for event in events:
        applied = apply_events(model, [event], parked_aggregates)
        try:
            await save(Move({}, {}, applied.changes, applied.parked))
        except DataError as error:
            parked_aggregates.add(event.aggregate_id)
            applied = Applied(parked=[defect(event, error)], events=1)
            await save(Move({}, {}, [], applied.parked))
        whole.changes += applied.changes
        whole.parked += applied.parked
        whole.events += applied.events
    return whole
