"""Checks of the fleet of this folder: supervised, ready, not started again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.settings import MeshSettings
from infra.supervisor.fleet_file import read_fleet
from services.cli.doctor.findings import Finding, Verdict, well

OFTEN = 5
NOT_READY = {"running": "runs, but does not say that it is ready"}


def workers(settings: MeshSettings, rows: Sequence[Mapping[str, Any]]) -> Finding:
    """The verdict on the rows of `ps`."""
    record = read_fleet(settings.state_dir)
    return judge_workers(rows, supervised=record is not None and record.supervised())


def judge_workers(rows: Sequence[Mapping[str, Any]], *, supervised: bool) -> Finding:
    """Not ready is a fault; never to have been started is none."""
    if not rows:
        return Finding("workers", Verdict.WARN, "no fleet runs here", "agentmesh up -d (workers elsewhere are not seen from here)")
    sick = [f"{row['name']} {row['message'] or NOT_READY.get(row['state'], row['state'])}" for row in rows if not row["ready"]]
    if sick:
        first = next(row["name"] for row in rows if not row["ready"])
        return Finding("workers", Verdict.FAIL, f"not ready: {'; '.join(sick)}", f"agentmesh logs --worker {first} -n 50")
    if not supervised:
        return Finding("workers", Verdict.WARN, f"{len(rows)} run, their supervisor does not", "agentmesh down, then agentmesh up -d")
    often = [f"{row['name']} ({row['restarts']} times)" for row in rows if row["restarts"] >= OFTEN]
    if often:
        found = f"all ready, but started again and again: {', '.join(often)}"
        return Finding("workers", Verdict.WARN, found, f"agentmesh logs --worker {often[0].split(' ')[0]} --level error")
    return well("workers", f"{len(rows)} ready: {', '.join(row['name'] for row in rows)}")
