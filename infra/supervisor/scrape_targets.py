"""Tells Prometheus where the fleet's metrics are: replica records in, `.agentmesh/prometheus-targets.json` out; the supervisor keeps it.

The file is what `file_sd_configs` reads. A worker that is down keeps its place at its last port, so that it counts as down (`up == 0`)
and not as never there; one that never served a port stands at port 0, where nobody listens. A fleet that stopped in order has no file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.local_stack.endpoints import write_private
from infra.supervisor.fleet_file import ReplicaRecord
from infra.supervisor.readiness import HOST

FILE_NAME = "prometheus-targets.json"
JOB = "agentmesh"
NOBODY = 0


def targets_path(state_dir: Path) -> Path:
    """Where the file of a state folder lies; `prometheus.yml` names it."""
    return state_dir / FILE_NAME


class ScrapeTargets:
    """The targets of one fleet. Labels: `job`, `worker` (its name in the fleet), `replica`, and `instance`, the same across restarts."""

    def __init__(self, state_dir: Path) -> None:
        self._path = targets_path(state_dir)
        self._ports: dict[str, int] = {}
        self._written: str | None = None

    def write(self, replicas: Sequence[ReplicaRecord]) -> None:
        """Replace the file in one step where anything changed. Only its owner may read it, as the rest of the folder."""
        text = json.dumps([self._target(replica) for replica in replicas], indent=2) + "\n"
        if text != self._written:
            write_private(self._path, text)
            self._written = text

    def remove(self) -> None:
        """Take the file away: nothing runs that could be scraped."""
        self._path.unlink(missing_ok=True)
        self._written = None

    def _target(self, replica: ReplicaRecord) -> dict[str, Any]:
        if replica.port is not None:
            self._ports[replica.name] = replica.port
        worker, _, number = replica.name.rpartition("-")
        return {
            "targets": [f"{HOST}:{self._ports.get(replica.name, NOBODY)}"],
            "labels": {"job": JOB, "worker": worker, "replica": number, "instance": replica.name},
        }
