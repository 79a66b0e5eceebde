"""What a supervisor tells about its fleet: `.agentmesh/fleet.json`, written by the supervisor, read by `agentmesh ps`, `up` and `down`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from infra.local_stack.endpoints import write_private
from infra.local_stack.processes import start_token

FILE_NAME = "fleet.json"

State = Literal["starting", "running", "waiting", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """One worker process as its supervisor last saw it. `token` tells it from a later process with the same pid."""

    name: str
    state: State
    pid: int | None = None
    token: str | None = None
    port: int | None = None
    ready: bool = False
    restarts: int = 0
    started_at: str | None = None
    message: str | None = None
    """Why it is waiting or failed."""

    def alive(self) -> bool:
        """Whether this very process runs now."""
        return self.pid is not None and self.token is not None and start_token(self.pid) == self.token


@dataclass(frozen=True, slots=True)
class FleetRecord:
    """A supervisor and its replicas."""

    pid: int
    token: str | None
    started_at: str
    replicas: tuple[ReplicaRecord, ...]

    def supervised(self) -> bool:
        """Whether the supervisor that wrote this runs now."""
        return self.token is not None and start_token(self.pid) == self.token

    def with_replicas(self, replicas: Sequence[ReplicaRecord]) -> FleetRecord:
        """The same fleet, seen later."""
        return replace(self, replicas=tuple(replicas))


def write_fleet(state_dir: Path, record: FleetRecord) -> None:
    """Replace the file in one step."""
    write_private(state_dir / FILE_NAME, json.dumps(asdict(record), indent=2) + "\n")


def read_fleet(state_dir: Path) -> FleetRecord | None:
    """The fleet last written, or None when there is none (or the file is not ours)."""
    try:
        values = json.loads((state_dir / FILE_NAME).read_text(encoding="utf-8"))
        replicas = tuple(ReplicaRecord(**replica) for replica in values.pop("replicas"))
        return FleetRecord(**values, replicas=replicas)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_fleet(state_dir: Path) -> None:
    """Take the file away: nothing is supervised any more."""
    (state_dir / FILE_NAME).unlink(missing_ok=True)
