"""The fleet topic as its readers see it: what hosts say in, probes and deletions out; and a look at the fleet as it is now. The adapters
stand beside this file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from contracts.fleet import FleetProbe, HostGone, HostHeartbeat

LATE = 5
"""Intervals after which a host that says nothing counts as silent. Whether its agents are unhealthy only the dispatcher says."""


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


class WorkerNow(NamedTuple):
    """A worker process of this machine as it is now."""

    name: str
    ready: bool
    health: str | None
    """Its own word on itself; None when it does not answer."""
    components: tuple[tuple[str, str], ...]
    """What it depends on, and how that is."""
    restarts: int | None
    """None for one that nobody supervises."""
    started_at: datetime | None
    message: str | None
    """Why it does not run."""


class FleetView(Protocol):
    """The fleet as it is now; each look asks anew."""

    async def workers(self) -> Sequence[WorkerNow]:
        """The worker processes of this machine, by name. Never raises: one that does not answer is told so."""
        ...

    async def hosts(self) -> Sequence[HostHeartbeat]:
        """The hosts of agents that have not left, the one heard last first. Raises TransientError when the broker is away."""
        ...


def last_words(records: Iterable[FleetRecord]) -> list[HostHeartbeat]:
    """The last heartbeat of each host that did not leave since, newest first."""
    found: dict[str, HostHeartbeat] = {}
    for _, said in records:
        if isinstance(said, HostHeartbeat):
            found[said.host_id] = said
        elif isinstance(said, HostGone):
            found.pop(said.host_id, None)
    return sorted(found.values(), key=lambda host: host.sent_at, reverse=True)


def is_silent(host: HostHeartbeat, now: datetime) -> bool:
    """Whether a host is overdue, by its own clock and ours."""
    return (now - host.sent_at).total_seconds() > LATE * host.interval_seconds
