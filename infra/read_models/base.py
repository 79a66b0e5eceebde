"""What a read model is: its tables and the pure functions from events to row changes; and how the changes of a batch are merged.

A projection function answers `Insert` (a whole row) or `Change` (some columns of a row that exists). Merging keeps one change a row
and batch, so that a batch is a handful of statements whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from contracts.envelope import RecordedEvent
from contracts.message import Event
from contracts.registry import EVENTS


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a read model: its key and its columns with their Postgres types.

    `version` names the column that holds the stream version the row reflects; a change that is not newer is not applied.
    `append_only` rows are inserted once and never changed; `replaced` rows may be inserted anew where one is there already.
    """

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    version: str = "version"
    append_only: bool = False
    replaced: bool = False


class Insert(NamedTuple):
    """A whole row, all columns of the table."""

    table: str
    values: Mapping[str, Any]


class Change(NamedTuple):
    """New values of some columns, the version column among them, of the row with this key; a row that does not exist stays absent."""

    table: str
    values: Mapping[str, Any]


RowChange = Insert | Change
Project = Callable[[RecordedEvent, Any], Sequence[RowChange]]


@dataclass(frozen=True, slots=True)
class ReadModel:
    """A read model. `version` grows with every change of tables or functions; the tables of another version must be rebuilt first."""

    name: str
    version: int
    contexts: tuple[str, ...]
    tables: tuple[Table, ...]
    project: Mapping[type[Event], Project]
    package: str
    every_event: Project | None = None
    """Called for each event beside its own function, for histories."""
    durable: bool = False
    """Decisions are taken on its rows: what was seen must not be gone after a crash of the database, even if it would be made again."""
    gathers: bool = False
    """Nobody waits for it: its events are fetched half a second apart, or when there are many. A fetch costs more than its events."""
    _unused: frozenset[str] = field(init=False, repr=False, compare=False)
    """Names of events that need not be decoded, which is most of what an event costs."""

    def __post_init__(self) -> None:
        unused = frozenset(name for name, event in EVENTS.items() if event not in self.project)
        object.__setattr__(self, "_unused", unused)

    @property
    def schema(self) -> str:
        """The schema of the active version's tables."""
        return f"read_{self.name}"

    @property
    def next_schema(self) -> str:
        """The schema in which a rebuild makes the next version."""
        return f"read_{self.name}_next"

    def changes(self, recorded: RecordedEvent) -> list[RowChange]:
        """The row changes of one event; an event that the model does not use has none. Raises what decoding or the function raises."""
        if self.every_event is None and recorded.metadata.type_name in self._unused:
            return []
        event = recorded.event()
        function = self.project.get(type(event))
        changes = list(function(recorded, event)) if function is not None else []
        if self.every_event is not None:
            changes.extend(self.every_event(recorded, event))
        return changes


@dataclass(slots=True)
class RowSet:
    """Rows of one table with the same columns, ready for one statement: column by column."""

    table: Table
    insert: bool
    columns: tuple[str, ...]
    rows: list[Mapping[str, Any]] = field(default_factory=list)

    def values(self, column: str) -> list[Any]:
        """One column of the rows."""
        return [row[column] for row in self.rows]


def merge(tables: Sequence[Table], changes: Iterable[RowChange]) -> list[RowSet]:
    """Merge the changes of a batch, in event order, to one change a row; grouped by table, kind and columns; inserts first.

    Values are only copied where a second change of the same row is merged into them.
    """
    by_name = {table.name: table for table in tables}
    inserted: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    changed: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for change in changes:
        values = change.values
        key = (change.table, *[values[column] for column in by_name[change.table].key])
        if isinstance(change, Insert):
            inserted[key] = values
        elif key in inserted:
            inserted[key] = {**inserted[key], **values}
        elif key in changed:
            changed[key] = {**changed[key], **values}
        else:
            changed[key] = values
    return [*_row_sets(by_name, inserted, insert=True), *_row_sets(by_name, changed, insert=False)]


def _row_sets(by_name: Mapping[str, Table], rows: Mapping[tuple[Any, ...], Mapping[str, Any]], *, insert: bool) -> Iterable[RowSet]:
    sets: dict[tuple[str, tuple[str, ...]], RowSet] = {}
    for key, values in rows.items():
        columns = tuple(values)
        row_set = sets.get((key[0], columns))
        if row_set is None:
            row_set = sets[key[0], columns] = RowSet(by_name[key[0]], insert, columns)
        row_set.rows.append(values)
    return sets.values()
