"""How far logs are relayed, where read models and process managers are, and what is parked, from a few statements; see the port."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from contracts.envelope import decode_stored
from infra.event_store.base import EventStore
from infra.lags.base import Parked, Partition, RelayedLog
from infra.postgres.base import QueryPort

CHECKPOINTS = b"SELECT projection, topic, partition, next_offset FROM mesh.checkpoints"
RELAYED = """SELECT '{context}', h.position, coalesce(p.position, 0)
FROM {context}.log_head h LEFT JOIN mesh.relay_positions p ON p.context = '{context}'"""
# Both read their partial index, and of it no more than is counted.
PARKED_RECORDS = """SELECT '{context}', count(DISTINCT d.aggregate_id), count(*),
       coalesce(extract(epoch FROM clock_timestamp() - min(d.first_failed_at)), 0)::double precision
FROM (SELECT aggregate_id, first_failed_at FROM {context}.dead_letters
      WHERE status IN ('parked', 'requeued') LIMIT %(at_most)s::bigint) d"""
PARKED_EVENTS = """SELECT 'projection:' || d.projection, count(DISTINCT (d.context, d.aggregate_id)), count(*),
       coalesce(extract(epoch FROM clock_timestamp() - min(d.parked_at)), 0)::double precision
FROM (SELECT projection, context, aggregate_id, parked_at FROM mesh.parked_events LIMIT %(at_most)s::bigint) d GROUP BY d.projection"""


class PostgresLogs:
    """See the port. `stores` are those of the contexts to look at."""

    def __init__(self, port: QueryPort, stores: Mapping[str, EventStore]) -> None:
        self._port = port
        self._stores = stores
        self._relayed = _union(RELAYED.format(context=context) for context in stores)
        self._parked = _union([*(PARKED_RECORDS.format(context=context) for context in stores), PARKED_EVENTS])

    async def relayed(self) -> Sequence[RelayedLog]:
        """See the port. Only of a log that is not relayed to its end an entry is read."""
        rows = await self._port.fetch(self._relayed, {})
        waiting = await asyncio.gather(*(self._waiting_since(context, head, relayed) for context, head, relayed in rows))
        return [RelayedLog(context, int(head), int(relayed), since) for (context, head, relayed), since in zip(rows, waiting, strict=True)]

    async def _waiting_since(self, context: str, head: int, relayed: int) -> datetime | None:
        if head <= relayed:
            return None
        entries = await self._stores[context].read_log(relayed, 1)
        if not entries:
            return None
        entry = entries[0]
        if entry.dead_letter is not None:
            return datetime.fromisoformat(entry.dead_letter.first_failed_at)
        return datetime.fromisoformat(decode_stored(entry.type_name, entry.aggregate_id, entry.state)[0].time)

    async def checkpoints(self) -> Mapping[str, Mapping[Partition, int]]:
        """See the port."""
        found: dict[str, dict[Partition, int]] = defaultdict(dict)
        for name, topic, number, next_offset in await self._port.fetch(CHECKPOINTS, {}):
            found[name][Partition(topic, int(number))] = int(next_offset)
        return found

    async def parked(self, at_most: int) -> Sequence[Parked]:
        """See the port."""
        rows = await self._port.fetch(self._parked, {"at_most": at_most})
        return [Parked(name, int(keys), int(records), float(age)) for name, keys, records, age in rows]


def _union(statements: Iterable[str]) -> bytes:
    return "\nUNION ALL\n".join(statements).encode()
