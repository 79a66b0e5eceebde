"""The parts list of the process manager of requests; run by `agentmesh run requests-process`."""

from __future__ import annotations

from infra.runtime.process_manager_worker import ProcessManagerWorker
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from services.requests.process import PROCESS


def build(settings: MeshSettings, telemetry: Telemetry) -> ProcessManagerWorker:
    """The worker that reacts to the events of requests and tasks."""
    return ProcessManagerWorker(PROCESS, settings, telemetry)
