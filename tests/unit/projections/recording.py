"""Events as a stream records them, and the rows that a read model makes of them, kept in memory."""

from collections.abc import Sequence
from typing import Any

from contracts.envelope import Metadata, RecordedEvent
from contracts.message import Event
from infra.read_models.base import Insert, ReadModel, merge

FIRST_POSITION = 41


def recorded(events: Sequence[Event]) -> list[RecordedEvent]:
    """One stream of these events; positions lie apart from versions, so that neither can stand for the other."""
    return [_recorded(event, version) for version, event in enumerate(events, start=1)]


def _recorded(event: Event, version: int) -> RecordedEvent:
    metadata = Metadata(
        message_id=f"e-{version}",
        type_name=event.type_name,
        source=f"/agentmesh/{event.context}",
        subject=event.aggregate_id,
        time="2026-05-04T09:30:00Z",
        tenant_id=event.tenant_id,
        auth_type="user",
        auth_id="ann",
        correlation_id="c-1",
        causation_id="c-1",
    )
    return RecordedEvent(metadata, event.to_json(), version, FIRST_POSITION + version, event.context)


def row_after(model: ReadModel, events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """The one row that these events make, each applied for itself."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    (table,) = model.tables
    for event in events:
        for change in model.changes(event):
            key = tuple(change.values[column] for column in table.key)
            assert set(change.values) <= set(table.columns)
            if isinstance(change, Insert):
                assert set(change.values) == set(table.columns)
            rows[key] = {**rows.get(key, {}), **change.values}
    (row,) = rows.values()
    return row


def row_of_one_batch(model: ReadModel, events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """The one row that the same events make when they come in one batch, merged as the writer merges them."""
    (row_set,) = merge(model.tables, [change for event in events for change in model.changes(event)])
    (row,) = row_set.rows
    return dict(row)
