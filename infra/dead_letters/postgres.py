"""Parked records in Postgres: the dead letters of a context and the parked events of a read model; built by the CLI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.envelope import Metadata, decode_stored
from contracts.errors import DomainError
from contracts.registry import commands_of
from contracts.rejections import rejected_type
from infra.dead_letters.base import WAITING, ParkedEventDetail, ParkedFilter, ParkedItem
from infra.event_store.base import DeadLetter
from infra.event_store.postgres import PostgresEventStore
from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.runtime.batch import now_texts
from infra.runtime.decide import rejection_state
from infra.runtime.decode import Incoming, decode_record

STORE_SQL = "infra.event_store.sql"
OWN_SQL = "infra.dead_letters.sql"
DISCARDED = "DISCARDED"
UNKNOWN = "unknown"


class Discarded(DomainError):
    """A person gave the command up."""


class PostgresDeadLetters:
    """The dead letters of one context; promises as in `infra.dead_letters.base`."""

    def __init__(self, database: Database, context: str) -> None:
        self.context = context
        self._database = database
        self._store = PostgresEventStore(database, context)
        self._requeue = read_sql(STORE_SQL, "requeue.sql", context)
        self._discard = read_sql(STORE_SQL, "discard.sql", context)

    async def find(self, wanted: ParkedFilter, after: int, limit: int) -> list[ParkedItem]:
        """See the port."""
        letters = await self._store.dead_letters(
            after=after,
            through=wanted.through,
            aggregate_id=wanted.aggregate_id,
            position=wanted.position,
            error_type=wanted.error_type,
            statuses=wanted.statuses,
            limit=limit,
        )
        return [parked_item(self.context, letter) for letter in letters]

    async def end(self) -> int:
        """See the port."""
        return await self._store.head()

    async def letter(self, position: int) -> DeadLetter | None:
        """See the port."""
        found = await self._store.dead_letters(position=position, limit=1)
        return found[0] if found else None

    async def requeue(self, positions: Sequence[int], who: str, why: str) -> list[int]:
        """See the port."""
        rows = await self._database.fetch(self._requeue, {"positions": list(positions), "who": who, "why": why})
        return sorted(row[0] for row in rows)

    async def discard(self, position: int, who: str, why: str) -> bool:
        """See the port."""
        letter = await self.letter(position)
        if letter is None or letter.status not in WAITING:
            return False
        state = b"" if letter.command_id is None else self._rejection(letter, letter.command_id, who, why)
        row = await self._database.fetch_one(self._discard, {"position": position, "who": who, "why": why, "state": state})
        return row is not None and row[0] is True

    def _rejection(self, letter: DeadLetter, command_id: str, who: str, why: str) -> bytes:
        item = _incoming(letter, command_id, self.context)
        error = Discarded(f"Discarded by {who}: {why}", code=DISCARDED, details={"who": who, "why": why, "position": letter.position})
        return rejection_state(rejected_type(self.context), now_texts()[1], item.metadata.traceparent, item, error)


def _incoming(letter: DeadLetter, command_id: str, context: str) -> Incoming:
    """The parked command as it came in. Should today's code not read it any more, then as much of it as the dead letter tells."""
    decoded = decode_record(letter.record, commands_of(context))
    if isinstance(decoded, Incoming):
        decoded.aggregate_id = letter.aggregate_id or decoded.aggregate_id
        return decoded
    aggregate_id = letter.aggregate_id or UNKNOWN
    metadata = Metadata(
        message_id=command_id,
        type_name=letter.type_name or UNKNOWN,
        source=UNKNOWN,
        subject=aggregate_id,
        time=letter.first_failed_at,
        tenant_id=UNKNOWN,
        auth_type=UNKNOWN,
        auth_id=UNKNOWN,
        correlation_id=command_id,
        causation_id=command_id,
    )
    return Incoming(letter.record, metadata, aggregate_id, UNKNOWN, b"", None)


def parked_item(context: str, letter: DeadLetter) -> ParkedItem:
    """A parked record as the port shows it, without its value and headers."""
    return ParkedItem(
        context,
        letter.position,
        letter.aggregate_id,
        letter.type_name,
        letter.cause,
        letter.error_type,
        letter.error_message,
        letter.attempts,
        letter.status,
        letter.first_failed_at,
    )


class PostgresParkedEvents:
    """The events of one context that one read model could not apply; promises as in `infra.dead_letters.base`."""

    def __init__(self, database: Database, projection: str, context: str) -> None:
        self.projection = projection
        self.context = context
        self._database = database
        self._find = read_sql(OWN_SQL, "parked_events.sql")
        self._requeue = read_sql(OWN_SQL, "requeue_parked_events.sql")
        self._end = read_sql(OWN_SQL, "parked_events_end.sql")

    async def find(self, wanted: ParkedFilter, after: int, limit: int) -> list[ParkedItem]:
        """See the port."""
        return [detail.item for detail in await self._details(wanted, after, limit)]

    async def end(self) -> int:
        """See the port."""
        row = await self._database.fetch_one(self._end, self._mine())
        return int(row[0]) if row else 0

    async def event(self, position: int) -> ParkedEventDetail | None:
        """The whole event with its error."""
        found = await self._details(ParkedFilter(position=position, statuses=None), 0, 1)
        return found[0] if found else None

    async def requeue(self, positions: Sequence[int], who: str, why: str) -> list[int]:
        """See the port. A read model keeps no record of who asked: it is rebuilt at any time."""
        rows = await self._database.fetch(self._requeue, {**self._mine(), "positions": list(positions)})
        return sorted(row[0] for row in rows)

    def _mine(self) -> dict[str, Any]:
        return {"projection": self.projection, "context": self.context}

    async def _details(self, wanted: ParkedFilter, after: int, limit: int) -> list[ParkedEventDetail]:
        rows = await self._database.fetch(
            self._find,
            {
                **self._mine(),
                "after": after,
                "through": wanted.through,
                "aggregate_id": wanted.aggregate_id,
                "position": wanted.position,
                "error_type": wanted.error_type,
                "statuses": None if wanted.statuses is None else list(wanted.statuses),
                "limit": limit,
            },
        )
        return [_detail(row) for row in rows]


def _detail(row: Sequence[Any]) -> ParkedEventDetail:
    context, position, aggregate_id, type_name, cause, error_type, message, attempts, status, parked_at, sequence, state, stack = row
    item = ParkedItem(
        context, position, aggregate_id, type_name, cause, error_type, message, attempts, status, parked_at.isoformat()
    )  # fmt: skip
    _, data = decode_stored(type_name, aggregate_id, state)
    return ParkedEventDetail(item, sequence, data, stack)
