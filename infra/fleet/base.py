"""The fleet topic as its readers see it: what hosts say in, probes and deletions out; the Kafka adapter stands beside this file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from contracts.fleet import FleetProbe, HostGone, HostHeartbeat


class FleetRecord(NamedTuple):
    """One record, and the partition that it came through."""

    partition: int
    said: HostHeartbeat | FleetProbe | HostGone


class FleetTopic(Protocol):
    """One reader of the whole topic, from its beginning. Every method raises TransientError when the broker is away."""

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        ...

    async def start(self) -> None:
        """Connect, and begin with the first record of each partition."""
        ...

    async def read(self, seconds: float) -> list[FleetRecord]:
        """What came next, in order within each partition; waits up to `seconds` for it. Records that say nothing are left out."""
        ...

    async def probe(self, probe: FleetProbe) -> None:
        """Write a probe into every partition; returns when the broker has them."""
        ...

    async def forget(self, host_ids: Iterable[str]) -> None:
        """Delete the records of hosts that are gone."""
        ...

    async def close(self) -> None:
        """Disconnect; may be started again."""
        ...
