"""Columns of values as Postgres arrays in binary form; every batch statement passes its rows this way.

psycopg's own list dumper adapts element by element and guesses the type from the values. Here the type is said, so a statement
is prepared once
whatever the values are, and a column is packed in one go: about a fifth of the time. Format: array_send in PostgreSQL's arrayfuncs.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain, repeat
from struct import Struct, pack
from struct import error as StructError
from typing import Any, ClassVar

from psycopg import DataError
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_HEADER = Struct(">iiIii")
_EMPTY = Struct(">iiI")
_LENGTH = Struct(">i").pack
_NULL = _LENGTH(-1)
# The lengths of nearly all values.
_SMALL = 1024
_SMALL_LENGTHS = [_LENGTH(size) for size in range(_SMALL)]
EPOCH_2000_MICROSECONDS = 946_684_800_000_000


class Column:
    """The values of one column, None for null. Use the subclass of the column's type."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)


class TextColumn(Column):
    """text"""


class ByteaColumn(Column):
    """bytea"""


class JsonbColumn(Column):
    """jsonb, as JSON text in bytes"""


class JsonColumn(Column):
    """json, as JSON text in bytes"""


class BooleanColumn(Column):
    """boolean"""


class SmallintColumn(Column):
    """smallint"""


class IntegerColumn(Column):
    """integer"""


class BigintColumn(Column):
    """bigint"""


class DoubleColumn(Column):
    """double precision"""


class TimestamptzColumn(Column):
    """timestamptz, from aware datetimes"""


COLUMN_TYPES: dict[str, type[Column]] = {
    "text": TextColumn,
    "bytea": ByteaColumn,
    "jsonb": JsonbColumn,
    "json": JsonColumn,
    "boolean": BooleanColumn,
    "smallint": SmallintColumn,
    "integer": IntegerColumn,
    "bigint": BigintColumn,
    "double precision": DoubleColumn,
    "timestamptz": TimestamptzColumn,
}


class _ColumnDumper(Dumper):
    format = Format.BINARY
    element_oid: ClassVar[int]

    def dump(self, obj: Column) -> bytes:
        values = obj.values
        if not values:
            return _EMPTY.pack(0, 0, self.element_oid)
        has_null = None in values
        try:
            return _HEADER.pack(1, has_null, self.element_oid, len(values), 1) + self.pack(values, has_null)
        except (TypeError, ValueError, AttributeError, OverflowError, StructError) as error:
            # As when the database refuses a value: the data is at fault, not the connection and not the statement.
            raise DataError(f"a value of a {type(obj).__doc__} column does not fit: {error}") from error

    def pack(self, values: Sequence[Any], has_null: bool) -> bytes:
        raise NotImplementedError


def _pack_bytes(parts: Sequence[Any], has_null: bool) -> bytes:
    """Each part behind its length. Most lengths are small: taken from a list they cost a third less than packed."""
    if has_null:
        return b"".join([_NULL if part is None else _LENGTH(len(part)) + part for part in parts])
    return b"".join([(_SMALL_LENGTHS[size] if (size := len(part)) < _SMALL else _LENGTH(size)) + part for part in parts])


class _TextDumper(_ColumnDumper):
    oid, element_oid = 1009, 25

    def pack(self, values: Sequence[Any], has_null: bool) -> bytes:
        if has_null:
            return _pack_bytes([None if value is None else value.encode() for value in values], True)
        return _pack_bytes(list(map(str.encode, values)), False)


class _ByteaDumper(_ColumnDumper):
    oid, element_oid = 1001, 17

    def pack(self, values: Sequence[Any], has_null: bool) -> bytes:
        return _pack_bytes(list(values), has_null)


class _JsonDumper(_ByteaDumper):
    oid, element_oid = 199, 114


class _JsonbDumper(_ColumnDumper):
    oid, element_oid = 3807, 3802

    def pack(self, values: Sequence[Any], has_null: bool) -> bytes:
        return _pack_bytes([None if value is None else b"\x01" + value for value in values], has_null)


class _FixedDumper(_ColumnDumper):
    width: ClassVar[int]
    code: ClassVar[str]

    def pack(self, values: Sequence[Any], has_null: bool) -> bytes:
        if has_null:
            one = Struct(">i" + self.code).pack
            return b"".join([_NULL if value is None else one(self.width, value) for value in values])
        return pack(">" + f"i{self.code}" * len(values), *chain.from_iterable(zip(repeat(self.width), values, strict=False)))


class _BooleanDumper(_FixedDumper):
    oid, element_oid, width, code = 1000, 16, 1, "?"


class _SmallintDumper(_FixedDumper):
    oid, element_oid, width, code = 1005, 21, 2, "h"


class _IntegerDumper(_FixedDumper):
    oid, element_oid, width, code = 1007, 23, 4, "i"


class _BigintDumper(_FixedDumper):
    oid, element_oid, width, code = 1016, 20, 8, "q"


class _DoubleDumper(_FixedDumper):
    oid, element_oid, width, code = 1022, 701, 8, "d"


class _TimestamptzDumper(_FixedDumper):
    oid, element_oid, width, code = 1185, 1184, 8, "q"

    def pack(self, values: Sequence[Any], has_null: bool) -> bytes:
        return super().pack([None if value is None else _microseconds(value) for value in values], has_null)


def _microseconds(moment: datetime) -> int:
    """Microseconds since 2000-01-01 UTC, Postgres' own count. A float of seconds is exact to a quarter of a microsecond until 2100."""
    return round(moment.timestamp() * 1_000_000) - EPOCH_2000_MICROSECONDS


def register_columns(adapters: AdaptersMap) -> None:
    """Teach these adapters (of a connection, or psycopg's own) every column type."""
    for column, dumper in (
        (TextColumn, _TextDumper),
        (ByteaColumn, _ByteaDumper),
        (JsonbColumn, _JsonbDumper),
        (JsonColumn, _JsonDumper),
        (BooleanColumn, _BooleanDumper),
        (SmallintColumn, _SmallintDumper),
        (IntegerColumn, _IntegerDumper),
        (BigintColumn, _BigintDumper),
        (DoubleColumn, _DoubleDumper),
        (TimestamptzColumn, _TimestamptzDumper),
    ):
        adapters.register_dumper(column, dumper)
