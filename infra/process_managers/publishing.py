"""Publishes a process manager's commands, then moves its checkpoints; used by the process manager worker."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.envelope import command_headers
from contracts.topics import commands_topic
from infra.kafka.producer import OutgoingRecord, PagePublisher
from infra.postgres.pool import Database
from infra.process_managers.base import NextCommand
from infra.read_models.checkpoints import CheckpointWriter, Move


class CommandPublisher(CheckpointWriter):
    """The checkpoint is saved after the broker has every command: a crash in between publishes them again, under the same ids."""

    def __init__(self, database: Database, name: str, publisher: PagePublisher, topic_prefix: str) -> None:
        super().__init__(database, name)
        self._publisher = publisher
        self._prefix = topic_prefix

    async def save(self, move: Move) -> None:
        """See the base. Raises TransientError when the broker did not take all commands; they are then published again."""
        if move.changes:
            await self._publisher.publish(self._records(move.changes))
        await self.advance(move)

    def _records(self, commands: list[NextCommand]) -> Iterator[OutgoingRecord]:
        for command, metadata in commands:
            topic = self._prefix + commands_topic(command.context)
            yield OutgoingRecord(topic, command.aggregate_id.encode(), command.to_json(), command_headers(metadata))

    async def close(self) -> None:
        """Close the producer."""
        await self._publisher.close()
