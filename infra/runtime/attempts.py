"""Counts attempts in Postgres and knows which partitions were left by a crash; used by the command worker of one context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiokafka import TopicPartition

from infra.postgres.pool import Database
from infra.postgres.sql_files import read_sql
from infra.runtime.decode import Incoming

PACKAGE = "infra.event_store.sql"


class PostgresAttempts:
    """The attempts of failing records, and the owners of partitions, of one context and consumer group."""

    def __init__(self, database: Database, context: str, group: str, owner: str) -> None:
        self._database = database
        self._group = group
        self._owner = owner
        self._sql = {
            name: read_sql(PACKAGE, f"{name}.sql", context)
            for name in ("count_attempt", "forget_attempts", "take_partitions", "leave_partitions")
        }

    async def count(self, item: Incoming, error: str) -> int:
        """Count an attempt from the second on: the first row says 2. Answers how many there were."""
        record = item.record
        row = await self._database.fetch_one(
            self._sql["count_attempt"],
            {"topic": record.topic, "partition": record.partition, "offset": record.offset, "first": 2, "error": error},
        )
        return int(row[0]) if row else 2

    async def forget(self, items: Sequence[Incoming]) -> None:
        """Forget the attempts of these records."""
        await self._database.execute(
            self._sql["forget_attempts"],
            {
                "topics": [item.record.topic for item in items],
                "partitions": [item.record.partition for item in items],
                "offsets": [item.record.offset for item in items],
            },
        )

    async def take(self, partitions: Iterable[TopicPartition]) -> set[TopicPartition]:
        """Take partitions over; answers those whose last owner ended without a goodbye."""
        wanted = list(partitions)
        rows = await self._database.fetch(self._sql["take_partitions"], self._parameters(wanted))
        return {TopicPartition(topic, partition) for topic, partition in rows}

    async def leave(self, partitions: Iterable[TopicPartition]) -> None:
        """Say goodbye: nothing of these partitions is in work here any more."""
        wanted = list(partitions)
        if wanted:
            await self._database.execute(self._sql["leave_partitions"], self._parameters(wanted))

    def _parameters(self, partitions: Sequence[TopicPartition]) -> dict[str, object]:
        return {
            "topics": [partition.topic for partition in partitions],
            "partitions": [partition.partition for partition in partitions],
            "group": self._group,
            "owner": self._owner,
        }
