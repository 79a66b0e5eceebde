"""Saves a read model's rows, parked events and checkpoints in one transaction; used by the projection worker and by rebuilds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from infra.errors import DataError
from infra.postgres.arrays import COLUMN_TYPES
from infra.postgres.pool import Database, Statement
from infra.postgres.sql_files import read_sql
from infra.read_models.base import ReadModel, RowChange, RowSet, merge
from infra.read_models.checkpoints import CheckpointWriter, Move

DEFINITION = b"SELECT version FROM mesh.read_models WHERE projection = %(projection)s"


def create_tables(model: ReadModel, schema: str) -> bytes:
    """SQL that makes a schema and the model's tables in it, protected by row-level security."""
    return f"CREATE SCHEMA {schema};\n".encode() + read_sql(model.package, "schema.sql", schema) + b"\n" + protect_tables(schema)


def protect_tables(schema: str) -> bytes:
    """SQL that lets the owner see all of the schema's tables, the reader's role one tenant's rows and the observer's role ids, states and
    times; it may run twice."""
    return f"SELECT mesh.protect_read_model('{schema}'), mesh.show_read_model('{schema}');\n".encode()  # nosec B608 - the name of a read model's schema


def create_indexes(model: ReadModel, schema: str) -> bytes:
    """SQL that makes the indexes and keys that only reading and later writing need; a rebuild runs it after its rows are in."""
    return read_sql(model.package, "indexes.sql", schema)


class ReadModelWriter(CheckpointWriter):
    """Writes one read model in schema `schema` (by default that of its active version).

    `fresh`: no row can be there yet, as in a rebuild; rows are then inserted without looking, but those that may be replaced.
    """

    def __init__(self, database: Database, model: ReadModel, schema: str | None = None, *, fresh: bool = False) -> None:
        super().__init__(database, model.name)
        self.model = model
        self._schema = schema or model.schema
        self._fresh = fresh
        self._statements: dict[tuple[str, bool, tuple[str, ...]], bytes] = {}

    async def definition_version(self) -> int | None:
        """The version of the definition that the tables hold; None when they were never made."""
        row = await self._database.fetch_one(DEFINITION, {"projection": self.model.name})
        return None if row is None else int(row[0])

    async def save(self, move: Move) -> None:
        """See the base: rows are written in the same transaction as the checkpoints."""
        await self.advance(move, self.statements(move.changes))

    def statements(self, changes: Sequence[RowChange]) -> list[Statement]:
        """The statements, with their arrays, that apply these changes. Raises DataError for rows that do not fit the tables."""
        try:
            return list(self._statements_of(merge(self.model.tables, changes)))
        except (KeyError, TypeError) as error:
            raise DataError(f"a row of {self.model.name} does not fit its table: {type(error).__name__}: {error}") from error

    def _statements_of(self, row_sets: Iterable[RowSet]) -> Iterator[Statement]:
        for row_set in row_sets:
            key = (row_set.table.name, row_set.insert, row_set.columns)
            sql = self._statements.get(key)
            if sql is None:
                sql = self._statements[key] = statement(self._schema, row_set, fresh=self._fresh).encode()
            types = row_set.table.columns
            yield sql, {column: COLUMN_TYPES[types[column]](row_set.values(column)) for column in row_set.columns}


def statement(schema: str, row_set: RowSet, *, fresh: bool = False) -> str:
    """The SQL for a row set: one INSERT … ON CONFLICT or one UPDATE, from unnested columns. Names come from the model's code,
    not from data."""
    table = row_set.table
    names = ", ".join(row_set.columns)
    source = f"unnest({', '.join(f'%({column})s' for column in row_set.columns)}) AS u ({names})"
    if row_set.insert:
        text = f"INSERT INTO {schema}.{table.name} AS t ({names}) SELECT {names} FROM {source}"  # nosec B608
        if fresh and not table.replaced:
            return text
        text += f" ON CONFLICT ({', '.join(table.key)}) "
        if table.append_only:
            return text + "DO NOTHING"
        updates = ", ".join(f"{column} = excluded.{column}" for column in row_set.columns if column not in table.key)
        return text + f"DO UPDATE SET {updates} WHERE t.{table.version} < excluded.{table.version}"  # nosec B608
    updates = ", ".join(f"{column} = u.{column}" for column in row_set.columns if column not in table.key)
    keys = " AND ".join(f"t.{column} = u.{column}" for column in table.key)
    return f"UPDATE {schema}.{table.name} AS t SET {updates} FROM {source} WHERE {keys} AND t.{table.version} < u.{table.version}"  # nosec B608
