"""Events as a stream records them, and the rows that a read model makes of them, kept in memory."""

from collections.abc import Iterable, Sequence
from typing import Any

from contracts.envelope import Metadata, RecordedEvent
from contracts.message import Event
from infra.read_models.base import ReadModel, merge

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
    (row,) = rows_after(model, events).values()
    return row


def rows_after(model: ReadModel, events: Sequence[RecordedEvent]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows that these events make, by table and key; a change of a row that is not there makes none."""
    return tables_after(model, ([event] for event in events))


def row_of_one_batch(model: ReadModel, events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """The one row that the same events make when they come in one batch, merged as the writer merges them."""
    (row_set,) = merge(model.tables, [change for event in events for change in model.changes(event)])
    (row,) = row_set.rows
    return dict(row)


def tables_after(model: ReadModel, batches: Iterable[Sequence[RecordedEvent]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of every table, by table and key, after these batches, each written as the statements of the writer would."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for batch in batches:
        for row_set in merge(model.tables, [change for event in batch for change in model.changes(event)]):
            table = row_set.table
            for values in row_set.rows:
                key = (table.name, *(values[column] for column in table.key))
                there = rows.get(key)
                assert set(values) <= set(table.columns)
                if there is None and row_set.insert:
                    assert set(values) == set(table.columns)
                    rows[key] = dict(values)
                elif there is not None and not table.append_only and there[table.version] < values[table.version]:
                    rows[key] = {**there, **values}
    return rows
