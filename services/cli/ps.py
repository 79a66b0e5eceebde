"""Each worker as it is now: its supervisor's record, and its own answer to whether it is ready; used by `ps`, `up`, `doctor`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.supervisor.fleet_file import ReplicaRecord, read_fleet
from infra.supervisor.readiness import is_ready
from services.cli.output import Output, duration, print_json, print_table

MOST_AT_ONCE = 32
COLUMNS = ("name", "state", "pid", "port", "ready", "restarts", "uptime", "message")


def fleet_now(state_dir: Path) -> list[dict[str, Any]]:
    """One row a replica, its readiness asked now; empty when no fleet runs here."""
    record = read_fleet(state_dir)
    if record is None or not (record.supervised() or any(replica.alive() for replica in record.replicas)):
        return []
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        ready = list(pool.map(_ready_now, record.replicas))
    now = datetime.now(UTC)
    return [_row(replica, answer, now) for replica, answer in zip(record.replicas, ready, strict=True)]


def _ready_now(replica: ReplicaRecord) -> bool:
    return replica.port is not None and replica.alive() and is_ready(replica.port)


def _row(replica: ReplicaRecord, ready: bool, now: datetime) -> dict[str, Any]:
    started = None if replica.started_at is None else datetime.fromisoformat(replica.started_at)
    return {
        "name": replica.name,
        "state": replica.state,
        "pid": replica.pid,
        "port": replica.port,
        "ready": ready,
        "restarts": replica.restarts,
        "uptime_seconds": None if started is None else round((now - started).total_seconds(), 1),
        "message": replica.message,
    }


def print_fleet(state_dir: Path, output: Output) -> None:
    """One row a worker, as it is now."""
    rows = fleet_now(state_dir)
    if output is Output.JSON:
        print_json(rows)
        return
    shown = [
        [
            *(row[name] for name in COLUMNS[:-2]),
            None if row["uptime_seconds"] is None else duration(row["uptime_seconds"]),
            row["message"],
        ]
        for row in rows
    ]
    print_table(COLUMNS, shown, empty="No fleet runs here. Start one with: agentmesh up")
