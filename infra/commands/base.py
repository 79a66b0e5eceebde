"""The port through which commands reach the mesh: one command in, an acknowledged record out; used by the gateway."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from contracts.envelope import Metadata


class OutgoingCommand(NamedTuple):
    """A command ready to be published: the record's key is its aggregate's id, `metadata` becomes its headers."""

    context: str
    aggregate_id: str
    value: bytes
    metadata: Metadata


class CommandPublisher(Protocol):
    """Publishes commands. When `publish` returns, the broker has the command, and it will have exactly one outcome."""

    async def publish(self, command: OutgoingCommand) -> None:
        """Publish and wait for the acknowledgement of all replicas. TransientError: nobody knows whether it was published; the same command
        id may be published again, which does nothing twice. BulkheadFull: it was not published, because too many wait already."""
        ...
