"""The parts list of the agents worker; run by `agentmesh run agents`."""

from __future__ import annotations

from contracts.agents.commands import RegisterAgent
from infra.runtime.base import AggregateType
from infra.runtime.command_worker import CommandWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.agents.domain import evolve
from services.agents.handlers import DECISIONS
from services.agents.settings import AgentsSettings


def build(settings: MeshSettings, telemetry: Telemetry) -> CommandWorker:
    """The worker that decides the commands of `agents`."""
    return CommandWorker(
        AggregateType(name="Agent", evolve=evolve, decisions=DECISIONS, creates=frozenset({RegisterAgent})),
        "agents",
        settings,
        telemetry,
        cached_aggregates=AgentsSettings().cached_aggregates,
    )
