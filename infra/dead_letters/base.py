"""The port to parked records, of a context's commands and of a read model's events; the CLI works through it, adapters stand beside.

Nothing is handled here: `requeue` marks records, and a worker of the context (or of the read model) takes them from the table, in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from infra.event_store.base import DeadLetter

PARKED = "parked"
REQUEUED = "requeued"
WAITING = (PARKED, REQUEUED)
STATUSES = (*WAITING, "redriven", "discarded")


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """Which parked records are meant; what is None does not filter. `through` is the last position that counts."""

    aggregate_id: str | None = None
    error_type: str | None = None
    but: tuple[str, ...] = ()
    """Error types that are not meant; asked for of a tenant's letters alone."""
    position: int | None = None
    through: int | None = None
    statuses: tuple[str, ...] | None = WAITING


class ParkedItem(NamedTuple):
    """One parked record in a listing."""

    context: str
    position: int
    aggregate_id: str | None
    type_name: str | None
    cause: str
    error_type: str
    error_message: str
    attempts: int
    status: str
    since: str


class ParkedEventDetail(NamedTuple):
    """A parked event of a read model with everything that is known of it."""

    item: ParkedItem
    sequence: int
    data: bytes
    stack: str


class ParkedRecords(Protocol):
    """Parked records of one kind, in position order. Every method raises TransientError when the store cannot be reached."""

    async def find(self, wanted: ParkedFilter, after: int, limit: int) -> list[ParkedItem]:
        """At most `limit` records above position `after`."""
        ...

    async def end(self) -> int:
        """A position that no record parked until now is above."""
        ...

    async def requeue(self, positions: Sequence[int], who: str, why: str) -> list[int]:
        """Mark those of these records that are parked now; answers their positions. Marking twice changes nothing."""
        ...


class DeadLetters(ParkedRecords, Protocol):
    """The parked commands of one context."""

    context: str

    async def letter(self, position: int) -> DeadLetter | None:
        """The whole record with its error."""
        ...

    async def discard(self, position: int, who: str, why: str) -> bool:
        """Give a waiting record up: its command gets the rejection DISCARDED, in one transaction. False when it does not wait."""
        ...


class LetterDetail(NamedTuple):
    """A dead letter with its record, readable: JSON where the value is JSON, else text with escapes."""

    item: ParkedItem
    command_id: str | None
    marked_by: str | None
    marked_reason: str | None
    record: str
    """topic/partition/offset"""
    key: Any
    headers: Mapping[str, Any]
    value: Any


class TenantDeadLetters(ParkedRecords, Protocol):
    """The parked commands of one tenant in one context: those whose record names the tenant, about an aggregate that is not another's.

    A record that nobody can read tells no tenant: it is in no tenant's letters.
    """

    async def detail(self, position: int) -> LetterDetail | None:
        """The whole record with its error, whatever became of it."""
        ...

    async def discard(self, position: int, who: str, why: str) -> bool:
        """See DeadLetters.discard."""
        ...


class LettersOfTenants(Protocol):
    """Hands out the dead letters of a tenant in a context."""

    def of(self, tenant_id: str, context: str) -> TenantDeadLetters:
        """Those of this tenant only."""
        ...
