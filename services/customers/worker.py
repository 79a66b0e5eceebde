"""The parts list of the customers worker; run by `agentmesh run customers`."""

from __future__ import annotations

from contracts.customers.commands import RegisterCustomer
from infra.runtime.base import AggregateType
from infra.runtime.command_worker import CommandWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.customers.domain import evolve
from services.customers.handlers import DECISIONS
from services.customers.settings import CustomersSettings


def build(settings: MeshSettings, telemetry: Telemetry) -> CommandWorker:
    """The worker that decides the commands of `customers`."""
    return CommandWorker(
        AggregateType(name="Customer", evolve=evolve, decisions=DECISIONS, creates=frozenset({RegisterCustomer})),
        "customers",
        settings,
        telemetry,
        cached_aggregates=CustomersSettings().cached_aggregates,
    )
