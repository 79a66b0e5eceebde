"""The ports of lag: where the followers of topics and logs are, where topics and logs end, and how old what lies there is; asked by the
monitor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class Partition(NamedTuple):
    """A partition of a topic, by its name in the broker."""

    topic: str
    number: int


class Place(NamedTuple):
    """A record in a partition."""

    partition: Partition
    offset: int


class Topics(Protocol):
    """What the broker tells. Every method raises TransientError while it is away."""

    async def topics(self) -> Mapping[str, int]:
        """The topics that there are, each with its number of partitions."""
        ...

    async def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, Mapping[Partition, int]]:
        """The next offset to read that each group has committed of these partitions; of one that it never committed there is none."""
        ...

    async def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The offset that the next record of each partition will get."""
        ...

    async def beginnings(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The offset of the first record that each partition still holds."""
        ...

    async def times(self, places: Collection[Place]) -> Mapping[Place, float]:
        """When these records were recorded, in seconds of the epoch: by the header `ce_time` of what the relay published, else by the
        record's timestamp. What cannot be read in a bounded time is absent."""
        ...


class RelayedLog(NamedTuple):
    """The log of a context: its last position, the last one that is on Kafka, and when the entry that follows on it was recorded."""

    context: str
    head: int
    relayed: int
    waiting_since: datetime | None


class Parked(NamedTuple):
    """What is parked of a context, or by a follower (`projection:<name>`); the age of the oldest in seconds, 0 when there is none."""

    name: str
    keys: int
    records: int
    oldest_seconds: float


class Logs(Protocol):
    """What the database tells. Every method raises TransientError while it is away."""

    async def relayed(self) -> Sequence[RelayedLog]:
        """How far each context's log is relayed."""
        ...

    async def checkpoints(self) -> Mapping[str, Mapping[Partition, int]]:
        """The next offset to read of each partition that a read model or process manager follows, by its name."""
        ...

    async def parked(self, at_most: int) -> Sequence[Parked]:
        """What is parked, counted up to `at_most` of each context and up to as many of all followers; contexts with nothing parked are
        there too. Beyond that the oldest is one of those that were counted."""
        ...
