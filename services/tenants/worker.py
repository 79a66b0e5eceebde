"""The parts list of the tenants worker; run by `agentmesh run tenants`."""

from __future__ import annotations

from contracts.tenants.commands import CreateTenant
from infra.runtime.base import AggregateType
from infra.runtime.command_worker import CommandWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.tenants.domain import evolve
from services.tenants.handlers import DECISIONS
from services.tenants.settings import TenantsSettings


def build(settings: MeshSettings, telemetry: Telemetry) -> CommandWorker:
    """The worker that decides the commands of `tenants`."""
    return CommandWorker(
        AggregateType(name="Tenant", evolve=evolve, decisions=DECISIONS, creates=frozenset({CreateTenant})),
        "tenants",
        settings,
        telemetry,
        cached_aggregates=TenantsSettings().cached_aggregates,
    )
