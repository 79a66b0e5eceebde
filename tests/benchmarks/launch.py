"""Runs one worker of the product as its own process, as the command line does, but ending with the benchmark that started it."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any, cast

from prometheus_client import CollectorRegistry

from infra.read_models.base import ReadModel
from infra.runtime.base import Worker
from infra.runtime.process import Build
from infra.runtime.process import main as run_worker
from infra.runtime.projection_worker import ProjectionWorker
from infra.settings import MeshSettings
from infra.telemetry.metrics import Metrics
from infra.telemetry.telemetry import Telemetry
from projections.requests.projection import REQUESTS
from services.agents.worker import build as build_agents
from services.relay.worker import build as build_relay
from services.requests.worker import build as build_requests
from tests.benchmarks.children import end_with_parent

SILENT = "AGENTMESH_BENCH_SILENT"
"""Set: the worker has no metrics."""


def projection(model: ReadModel, settings: MeshSettings, telemetry: Telemetry) -> ProjectionWorker:
    """The worker of one read model."""
    return ProjectionWorker(model, settings, telemetry)


class Silence:
    """Stands for every metric: whatever it is told, it does nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> Silence:
        return self


class SilentMetrics:
    """Metrics that count nothing, with the registry that the worker's own server shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._silence = Silence()

    def __getattr__(self, name: str) -> Any:
        return self._silence


def silent(build: Build) -> Build:
    """The same worker without metrics, to measure what they cost."""

    def built(settings: MeshSettings, telemetry: Telemetry) -> Worker:
        telemetry.metrics = cast(Metrics, SilentMetrics(telemetry.metrics.registry))
        return build(settings, telemetry)

    return built


def main() -> int:
    """`requests`, `agents`, `relay` or `projections`."""
    end_with_parent()
    builders: dict[str, dict[str, Build]] = {
        "requests": {"requests": build_requests},
        "agents": {"agents": build_agents},
        "relay": {"relay": build_relay},
        # The raw pipeline has one read model too.
        "projections": {f"projections.{REQUESTS.name}": partial(projection, REQUESTS)},
    }
    chosen: dict[str, Build] = dict(builders[sys.argv[1]])
    return run_worker({name: silent(build) for name, build in chosen.items()} if SILENT in os.environ else chosen)


if __name__ == "__main__":
    sys.exit(main())
