"""How a table with one row for each aggregate is asked: one row, a page of rows by time, the version of a row; used by the queries
of the read models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from infra.postgres.base import QueryPort

Row = Sequence[Any]
After = tuple[datetime, str]
"""Time and id of the last row of the page before."""


class Slice(NamedTuple):
    """Which rows of a list: at most `limit`, those that follow on `after`, from the newest or from the oldest on.

    With `holds`, a column and a text, only those whose column holds the text, whatever the case of its letters.
    """

    limit: int = 100
    after: After | None = None
    oldest_first: bool = False
    holds: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much of something waits, and since how many seconds the oldest of it does; 0 where nothing waits."""

    count: int
    oldest_seconds: float


async def waiting_rows(port: QueryPort, table: str, time: str, condition: str, at_most: int, *, since: str = "") -> Waiting:
    """What meets a condition for which the table has a partial index by `time`, of all tenants; counted up to `at_most`, by the database's
    clock. It waits from that time on, unless `since` names another column. Names and condition are SQL of the caller's code."""
    rows = await port.fetch(
        f"SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(w.since)), 0)::double precision FROM "  # nosec B608 - fixed names
        f"(SELECT {since or time} AS since FROM {table} WHERE {condition} ORDER BY {time} LIMIT %(at_most)s::bigint) w".encode(),
        {"at_most": at_most},
    )
    count, seconds = rows[0]
    return Waiting(int(count), max(0.0, float(seconds)))


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of a read model: its name with the schema, the columns of a view in its order, the id, and the time by which it is listed."""

    table: str
    columns: str
    id: str
    time: str

    async def find(self, port: QueryPort, tenant_id: str, id_: str) -> Row | None:
        """The row with this id, or None when this tenant has none."""
        rows = await port.fetch(
            f"SELECT {self.columns} FROM {self.table} WHERE {self.id} = %(id)s AND tenant_id = %(tenant)s".encode(),  # nosec B608 - fixed names
            {"id": id_, "tenant": tenant_id},
        )
        return rows[0] if rows else None

    async def page(self, port: QueryPort, tenant_id: str | None, wanted: Slice, *conditions: str, **equal: object) -> Sequence[Row]:
        """A page of a tenant's rows, or of all tenants' for None. `conditions` are SQL of the caller's code; of `equal`, what is None does
        not filter."""
        follows, way = (">", "ASC") if wanted.oldest_first else ("<", "DESC")
        filters = list(conditions)
        parameters: dict[str, Any] = {"limit": wanted.limit}
        for column, value in {"tenant_id": tenant_id, **equal}.items():
            if value is not None:
                filters.append(f"{column} = %({column})s")
                parameters[column] = value
        if wanted.holds is not None:  # strpos, not LIKE: in a text that people search for, % and _ mean themselves
            filters.append(f"strpos(lower({wanted.holds[0]}), lower(%(holds)s)) > 0")
            parameters["holds"] = wanted.holds[1]
        if wanted.after is not None:
            filters.append(f"({self.time}, {self.id}) {follows} (%(after_time)s, %(after_id)s)")
            parameters["after_time"], parameters["after_id"] = wanted.after
        return await port.fetch(
            f"SELECT {self.columns} FROM {self.table} WHERE {' AND '.join(filters) or 'true'} "  # nosec B608 - fixed names
            f"ORDER BY {self.time} {way}, {self.id} {way} LIMIT %(limit)s".encode(),
            parameters,
        )

    async def version(self, port: QueryPort, id_: str) -> int:
        """The stream version that the row reflects; 0 when there is none yet."""
        rows = await port.fetch(f"SELECT version FROM {self.table} WHERE {self.id} = %(id)s".encode(), {"id": id_})  # nosec B608 - fixed names
        return int(rows[0][0]) if rows else 0

    async def versions(self, port: QueryPort, ids: Sequence[str]) -> dict[str, int]:
        """The stream versions that these rows reflect; an id without a row is absent."""
        rows = await port.fetch(
            f"SELECT {self.id}, version FROM {self.table} WHERE {self.id} = ANY (%(ids)s::text[])".encode(),  # nosec B608 - fixed names
            {"ids": list(ids)},
        )
        return {id_: int(version) for id_, version in rows}
