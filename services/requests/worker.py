"""The parts list of the requests worker; run by `agentmesh run requests`."""

from __future__ import annotations

from contracts.requests.commands import CreateRequest
from infra.runtime.base import AggregateType
from infra.runtime.command_worker import CommandWorker
from infra.runtime.projection_worker import ProjectionWorker
from infra.runtime.worker_group import WorkerGroup
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from projections.request_reference.projection import REQUEST_REFERENCE
from services.requests.domain import evolve
from services.requests.handlers import DECISIONS
from services.requests.measures import LABELS, MEASURES
from services.requests.reference_data import reference_data
from services.requests.settings import RequestsSettings


def build(settings: MeshSettings, telemetry: Telemetry) -> WorkerGroup:
    """The worker that decides the commands of `requests`, with the one that keeps what it needs to know of customers and tenants."""
    return WorkerGroup("requests", ProjectionWorker(REQUEST_REFERENCE, settings, telemetry), command_worker(settings, telemetry))


def command_worker(settings: MeshSettings, telemetry: Telemetry) -> CommandWorker:
    """The part of it that decides."""
    own = RequestsSettings()
    return CommandWorker(
        AggregateType(
            name="Request",
            evolve=evolve,
            decisions=DECISIONS,
            creates=frozenset({CreateRequest}),
            wholly_traced=True,
            measures=MEASURES,
            measured=LABELS,
        ),
        "requests",
        settings,
        telemetry,
        cached_aggregates=own.cached_aggregates,
        reference=reference_data(tenants_must_exist=own.tenants_must_exist),
    )
