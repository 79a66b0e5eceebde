"""The table of workers that `ps` and `up` print."""

from __future__ import annotations

from pathlib import Path

from services.cli.output import Output, duration, print_json, print_table
from services.cli.supervision import fleet_now

COLUMNS = ("name", "state", "pid", "port", "ready", "restarts", "uptime", "message")


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
