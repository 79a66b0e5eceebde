"""The parts list of the tasks worker; run by `agentmesh run tasks`."""

from __future__ import annotations

from contracts.tasks.commands import ReassignTask, RequestTask, TimeOutTask
from infra.runtime.base import AggregateType
from infra.runtime.command_worker import CommandWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.tasks.domain import evolve
from services.tasks.handlers import DECISIONS
from services.tasks.settings import TasksSettings


def build(settings: MeshSettings, telemetry: Telemetry) -> CommandWorker:
    """The worker that decides the commands of `tasks`."""
    return CommandWorker(
        AggregateType(
            name="Task",
            evolve=evolve,
            decisions=DECISIONS,
            creates=frozenset({RequestTask}),
            go_on=frozenset({TimeOutTask, ReassignTask}),
            wholly_traced=True,
        ),
        "tasks",
        settings,
        telemetry,
        cached_aggregates=TasksSettings().cached_aggregates,
    )
