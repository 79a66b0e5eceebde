"""The projection worker: events in, rows and checkpoint out in one transaction; one per read model, run by `agentmesh run projections`."""

from __future__ import annotations

from contracts.topics import events_topic
from infra.errors import ConfigurationError
from infra.read_models.base import ReadModel
from infra.read_models.postgres import ReadModelWriter
from infra.runtime.following_worker import FollowingWorker, Source, read_events
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry


class ProjectionWorker(FollowingWorker):
    """Keeps one read model up to date. A read model of another version is a ConfigurationError."""

    def __init__(self, model: ReadModel, settings: MeshSettings, telemetry: Telemetry) -> None:
        self._read_model = model
        sources = {events_topic(context): Source(context, read_events) for context in model.contexts}
        super().__init__(f"projections.{model.name}", model, sources, settings, telemetry, durable=model.durable, gathers=model.gathers)

    def writer(self) -> ReadModelWriter:
        """Rows are written in the transaction of the checkpoints."""
        return ReadModelWriter(self.database, self._read_model)

    async def prepare(self) -> None:
        """The tables must be there, in the version of this code."""
        model = self._read_model
        found = await ReadModelWriter(self.database, model).definition_version()
        if found is None:
            raise ConfigurationError(f"The read model {model.name!r} has no tables. Run: agentmesh migrate")
        if found != model.version:
            raise ConfigurationError(
                f"The read model {model.name!r} has version {found}, this release needs {model.version}. "
                f"Run: agentmesh projections rebuild {model.name}"
            )
