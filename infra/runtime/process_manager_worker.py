"""The process manager worker: events and rejections in, the next commands out; run by `agentmesh run <context>-process`."""

from __future__ import annotations

from contracts.topics import commands_topic, events_topic, rejections_topic
from infra.kafka.producer import PagePublisher
from infra.process_managers.base import ProcessManager
from infra.process_managers.publishing import CommandPublisher
from infra.process_managers.traced import TracedProcess
from infra.runtime.following_worker import FollowingWorker, Source, read_events, read_rejections
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry


class ProcessManagerWorker(FollowingWorker):
    """Reacts to each event once or, after a crash, again with the same commands. An event whose reaction fails is parked by aggregate."""

    def __init__(self, manager: ProcessManager, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._manager = manager
        sources = {events_topic(context): Source(context, read_events) for context in manager.contexts}
        sources |= {rejections_topic(context): Source(context, read_rejections) for context in manager.commanded}
        super().__init__(manager.name, TracedProcess(manager, telemetry.tracing, settings.topic_prefix), sources, settings, telemetry)

    def writer(self) -> CommandPublisher:
        """Commands go to Kafka, checkpoints to the database."""
        publisher = PagePublisher(self.settings, self.settings.kafka_bootstrap, f"agentmesh-{self.name}")
        self._commands = CommandPublisher(self.database, self.name, publisher, self.settings.topic_prefix)
        return self._commands

    def required_topics(self) -> set[str]:
        """The topics that are followed, and those that are written to."""
        return {*super().required_topics(), *(commands_topic(context) for context in self._manager.commanded)}

    async def drain(self) -> None:
        """As the base; then the producer is closed."""
        await super().drain()
        await self._commands.close()
