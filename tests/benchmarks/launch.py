"""Runs one worker of the product as its own process, as the command line does, but ending with the benchmark that started it."""

from __future__ import annotations

import sys
from functools import partial

from infra.read_models.base import ReadModel
from infra.runtime.process import main as run_worker
from infra.runtime.projection_worker import ProjectionWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from projections.requests.projection import REQUESTS
from services.agents.worker import build as build_agents
from services.relay.worker import build as build_relay
from services.requests.worker import build as build_requests
from tests.benchmarks.children import end_with_parent


def projection(model: ReadModel, settings: MeshSettings, telemetry: Telemetry) -> ProjectionWorker:
    """The worker of one read model."""
    return ProjectionWorker(model, settings, telemetry)


def main() -> int:
    """`requests`, `agents`, `relay` or `projections`."""
    end_with_parent()
    builders = {
        "requests": {"requests": build_requests},
        "agents": {"agents": build_agents},
        "relay": {"relay": build_relay},
        # The raw pipeline has one read model too.
        "projections": {f"projections.{REQUESTS.name}": partial(projection, REQUESTS)},
    }
    return run_worker(builders[sys.argv[1]])


if __name__ == "__main__":
    sys.exit(main())
