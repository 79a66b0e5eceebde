"""The relay's place in a context's log and who leads it: the port; its adapter stands beside this file."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from infra.errors import MeshError


class Leadership(NamedTuple):
    """A leader's epoch and the last position whose entries are all on Kafka."""

    epoch: int
    position: int


class LostLeadership(MeshError):
    """Another relay has taken over: this one was paused for long, or its database session ended."""


class RelayPosition(Protocol):
    """One context's relay position. Every method raises TransientError when the store cannot be reached."""

    async def try_lead(self) -> Leadership | None:
        """Become the leader, or answer None while another one is."""
        ...

    async def advance(self, leadership: Leadership, position: int) -> Leadership:
        """Move on after the broker has everything up to `position`; raises LostLeadership when this leader was replaced."""
        ...

    async def release(self) -> None:
        """Give the leadership back."""
        ...
