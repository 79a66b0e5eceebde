"""Waiting for a fleet in the background: what a supervisor that gives up says is told, whenever one looks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import ConfigurationError
from infra.supervisor.fleet_file import FleetRecord, ReplicaRecord, write_fleet
from infra.supervisor.supervisor import REFUSED
from services.cli import exit_codes
from services.cli.supervision import _wait_until_ready

REASON = "Topic requests.commands has 3 partitions, 4 are configured."


def test_a_fleet_without_a_worker_is_told_by_what_its_supervisor_says_at_its_end(tmp_path: Path) -> None:
    """All workers are marked as failed a moment before the supervisor ends; a look in between must not take that for the result."""
    log = tmp_path / "supervisor.log"
    log.write_text(f"requests-1 {REFUSED}: {REASON}\n", encoding="utf-8")
    ends = f"import sys, time; time.sleep(0.3); sys.exit({exit_codes.CONFIGURATION})"
    with subprocess.Popen([sys.executable, "-c", ends]) as process:
        write_fleet(tmp_path, FleetRecord(process.pid, None, "", (ReplicaRecord("requests-1", "failed", message=REASON),)))
        with pytest.raises(ConfigurationError, match=REASON):
            _wait_until_ready(process, tmp_path, log, lambda line: None)


def test_a_fleet_of_which_a_part_is_refused_is_answered_as_it_is(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        replicas = (ReplicaRecord("requests-1", "running", port=1, ready=True), ReplicaRecord("relay-1", "failed", message=REASON))
        written = FleetRecord(process.pid, None, "", replicas)
        write_fleet(tmp_path, written)
        told: list[str] = []
        assert _wait_until_ready(process, tmp_path, tmp_path / "log", told.append) == written
        assert told == ["requests-1 is ready on port 1"]
        process.kill()
