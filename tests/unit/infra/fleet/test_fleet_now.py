"""The fleet as it is now: what run files tell of, what answers, and what does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contracts.fleet import HostHeartbeat
from infra.fleet.base import LATE, is_silent
from infra.fleet.now import NO_ANSWER, FleetNow
from infra.local_stack.ports import free_port
from infra.runtime.run_file import RunFile
from infra.settings import load_settings


async def test_a_worker_that_does_not_answer_is_told_so_and_what_is_no_run_file_is_passed_over(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    fleet = FleetNow(settings, "test")
    assert await fleet.workers() == []
    RunFile(tmp_path, "relay-1").write(free_port(set()))
    folder = settings.state_dir / "run"
    (folder / "half.json").write_text("{")
    (folder / "other.json").write_text(json.dumps({"name": "x"}))
    (worker,) = await fleet.workers()
    assert (worker.name, worker.ready, worker.health, worker.components, worker.message) == ("relay-1", False, None, (), NO_ANSWER)
    assert worker.restarts is None
    assert worker.started_at is not None


def test_a_host_is_silent_after_five_intervals() -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    for age, silent in ((3.0 * LATE, False), (3.0 * LATE + 0.1, True), (-10.0, False)):
        said = HostHeartbeat(sent_at=now - timedelta(seconds=age), host_id="h", kinds=("triage",), capacity=1, load=0, interval_seconds=3)
        assert is_silent(said, now) is silent
