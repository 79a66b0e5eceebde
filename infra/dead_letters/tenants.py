"""The dead letters of one tenant: a filter in, its letters of a context out; another's are neither shown nor touched. Built by the gateway.

A dead letter lies in the store as its record came, and no column says whose it is. It is a tenant's when the record, as today's code reads
it, names the tenant, and the aggregate it is about, where there is one, began as this tenant's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.envelope import decode_stored
from contracts.registry import commands_of
from infra.dead_letters.base import LetterDetail, ParkedFilter, ParkedItem
from infra.dead_letters.postgres import OWN_SQL, PostgresDeadLetters, parked_item
from infra.dead_letters.readable import readable
from infra.event_store.base import DeadLetter
from infra.event_store.dead_letter_rows import dead_letter_from_row
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.runtime.decode import Incoming, decode_record


class PostgresTenantDeadLetters:
    """The dead letters of one tenant in one context; promises as in `infra.dead_letters.base`."""

    def __init__(self, database: Database, tenant_id: str, context: str) -> None:
        self.context = context
        self._tenant = tenant_id
        self._database = database
        self._letters = PostgresDeadLetters(database, context)
        self._sql = read_sql(OWN_SQL, "tenant_letters.sql", context)
        self._commands = commands_of(context)

    async def find(self, wanted: ParkedFilter, after: int, limit: int) -> list[ParkedItem]:
        """See the port."""
        return [parked_item(self.context, letter) for letter in await self._find(wanted, after, limit)]

    async def end(self) -> int:
        """See the port."""
        return await self._letters.end()

    async def detail(self, position: int) -> LetterDetail | None:
        """See the port."""
        found = await self._at([position])
        return _detail(self.context, found[0]) if found else None

    async def requeue(self, positions: Sequence[int], who: str, why: str) -> list[int]:
        """See the port. Positions of others' letters are passed over."""
        own = [letter.position for letter in await self._at(positions)]
        return await self._letters.requeue(own, who, why) if own else []

    async def discard(self, position: int, who: str, why: str) -> bool:
        """See the port."""
        return bool(await self._at([position])) and await self._letters.discard(position, who, why)

    async def _at(self, positions: Sequence[int]) -> list[DeadLetter]:
        return await self._find(ParkedFilter(statuses=None), 0, max(1, len(positions)), positions)

    async def _find(self, wanted: ParkedFilter, after: int, limit: int, positions: Sequence[int] | None = None) -> list[DeadLetter]:
        if positions is None and wanted.position is not None:
            positions = [wanted.position]
        found: list[DeadLetter] = []
        while len(found) < limit:
            rows = await self._database.fetch(self._sql, self._parameters(wanted, after, limit, positions))
            found += [letter for letter, first in map(_letter, rows) if self._owns(letter, first)]
            if len(rows) < limit:
                break
            after = rows[-1][0]
        return found[:limit]

    def _parameters(self, wanted: ParkedFilter, after: int, limit: int, positions: Sequence[int] | None) -> dict[str, Any]:
        return {
            "tenant": self._tenant.encode(),
            "after": after,
            "through": wanted.through,
            "aggregate_id": wanted.aggregate_id,
            "positions": None if positions is None else list(positions),
            "error_type": wanted.error_type,
            "but": list(wanted.but),
            "statuses": None if wanted.statuses is None else list(wanted.statuses),
            "limit": limit,
        }

    def _owns(self, letter: DeadLetter, began_as: str | None) -> bool:
        read = decode_record(letter.record, self._commands)
        return isinstance(read, Incoming) and read.tenant_id == self._tenant and began_as in (None, self._tenant)


class PostgresLettersOfTenants:
    """See the port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, tenant_id: str, context: str) -> PostgresTenantDeadLetters:
        """Those of this tenant only."""
        return PostgresTenantDeadLetters(self._database, tenant_id, context)


def _letter(row: Sequence[Any]) -> tuple[DeadLetter, str | None]:
    """A letter and whose its aggregate is; None where there is no aggregate yet."""
    *columns, type_name, state = row
    letter = dead_letter_from_row(columns)
    if state is None:
        return letter, None
    metadata, _ = decode_stored(type_name, letter.aggregate_id or "", state)
    return letter, metadata.tenant_id


def _detail(context: str, letter: DeadLetter) -> LetterDetail:
    record = letter.record
    return LetterDetail(
        item=parked_item(context, letter),
        command_id=letter.command_id,
        marked_by=letter.marked_by,
        marked_reason=letter.marked_reason,
        record=f"{record.topic}/{record.partition}/{record.offset}",
        key=readable(record.key, text=True),
        headers={name: readable(value, text=True) for name, value in record.headers},
        value=readable(record.value),
    )
