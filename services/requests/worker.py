"""The parts list of the requests worker; run by `agentmesh run requests`."""

from __future__ import annotations

from contracts.requests.commands import CreateRequest
from infra.runtime.base import AggregateType
from infra.runtime.command_worker import CommandWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.requests.domain import evolve
from services.requests.handlers import DECISIONS
from services.requests.settings import RequestsSettings


def build(settings: MeshSettings, telemetry: Telemetry) -> CommandWorker:
    """The worker that decides the commands of `requests`."""
    return CommandWorker(
        AggregateType(name="Request", evolve=evolve, decisions=DECISIONS, creates=frozenset({CreateRequest})),
        "requests",
        settings,
        telemetry,
        cached_aggregates=RequestsSettings().cached_aggregates,
    )
