"""The demo as a newcomer runs it: servers of its own, the whole fleet, agents that carry every request, one host killed, one approval
granted; its sums match and nothing is left running. With AGENTMESH_CHAOS=long it runs again on what the first run left, told as text."""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local_stack import status, stop_stack
from tests.conftest import TEST_ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(400)]

SERVER_VARIABLES = ("DATABASE_URL", "POSTGRES_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "AGENTMESH_SERVERS", "AGENTMESH_TOPIC_PREFIX")
LONGEST_SECONDS = 180


@pytest.fixture
def demo_home() -> Iterator[Path]:
    """A home below the repository: other test runs change the rights of the folders of pytest, which Postgres must pass."""
    home = TEST_ROOT / f"demo-{uuid.uuid4().hex[:8]}"
    home.mkdir(parents=True)
    yield home
    shutil.rmtree(home, ignore_errors=True)


def test_the_demo_starts_everything_counts_everything_and_stops_everything(demo_home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SERVER_VARIABLES}
    environment |= {"AGENTMESH_HOME": str(demo_home), "NO_COLOR": "1"}

    def demo(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "services.cli.main", "demo", "--requests", "20", *options]
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert time.monotonic() - began < LONGEST_SECONDS
        return done

    try:
        report = json.loads(demo("-o", "json").stdout)
        totals = report["totals"]
        assert report["ok"]
        assert totals["problems"] == []
        assert totals["published"] == sum(totals["outcomes"].values()) + totals["duplicates_sent"]
        assert totals["outcomes"]["rejected"] == totals["rejections_recorded"] == sum(report["faults"].values())
        assert totals["read_model_rows"] == 20
        assert set(totals["rows_by_status"]) <= {"completed", "failed", "awaiting_approval"}
        assert totals["rows_by_status"]["completed"] >= 1
        assert totals["tasks"]["TaskCompleted"] == totals["tasks"]["TaskQueued"]
        assert totals["host_killed"] == "agent-host-2"
        assert totals["approval_granted"]
        request = report["request"]
        assert request["ended_at"] is not None
        assert [part["name"] for part in request["parts"]] == ["triage", "research", "approval", "resolution"]
        assert request["totals"]["waiting_for_person_seconds"] > 0
        assert all(server.state == "stopped" for server in status(demo_home))

        if os.environ.get("AGENTMESH_CHAOS") == "long":
            text = demo().stdout
            assert "The sums match" in text
            assert "waited for a person" in text
            assert "waited for an agent" in text
            assert "\x1b" not in text
        assert not (demo_home / ".agentmesh" / "fleet.json").exists()
    finally:
        subprocess.run([sys.executable, "-m", "services.cli.main", "down"], env=environment, capture_output=True, check=False)
        stop_stack(demo_home)
