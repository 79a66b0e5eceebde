"""What Prometheus is told of a fleet: a target per replica, at its last port while it is down, nothing when the fleet has stopped."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from infra.supervisor.fleet_file import ReplicaRecord
from infra.supervisor.replica import ReplicaSpec
from infra.supervisor.scrape_targets import ScrapeTargets, targets_path
from infra.supervisor.supervisor import Supervisor
from tests.mesh import wait_for


def told(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads(targets_path(folder).read_text()))


def address(folder: Path, instance: str) -> str:
    return next(each["targets"][0] for each in told(folder) if each["labels"]["instance"] == instance)


def test_a_replica_is_a_target_with_the_labels_of_the_fleet(tmp_path: Path) -> None:
    ScrapeTargets(tmp_path).write([ReplicaRecord("agent-host-2", "running", 12, "99", 8080, True)])
    labels = {"job": "agentmesh", "worker": "agent-host", "replica": "2", "instance": "agent-host-2"}
    assert told(tmp_path) == [{"targets": ["127.0.0.1:8080"], "labels": labels}]
    assert targets_path(tmp_path).stat().st_mode & 0o077 == 0


def test_a_worker_that_is_down_stays_at_its_last_port_and_comes_back_at_another(tmp_path: Path) -> None:
    targets = ScrapeTargets(tmp_path)
    targets.write([ReplicaRecord("relay-1", "running", 12, "99", 8080, True)])
    targets.write([ReplicaRecord("relay-1", "waiting")])
    assert address(tmp_path, "relay-1") == "127.0.0.1:8080"
    targets.write([ReplicaRecord("relay-1", "running", 13, "100", 8081)])
    assert address(tmp_path, "relay-1") == "127.0.0.1:8081"


def test_a_worker_that_never_served_stands_where_nobody_listens(tmp_path: Path) -> None:
    ScrapeTargets(tmp_path).write([ReplicaRecord("relay-1", "failed", message="no tables")])
    assert address(tmp_path, "relay-1") == "127.0.0.1:0"


def test_the_file_is_written_only_when_a_target_changed_and_goes_with_the_fleet(tmp_path: Path) -> None:
    targets = ScrapeTargets(tmp_path)
    targets.write([ReplicaRecord("relay-1", "running", 12, "99", 8080, False)])
    first = targets_path(tmp_path).stat().st_ino
    targets.write([ReplicaRecord("relay-1", "running", 12, "99", 8080, True)])
    assert targets_path(tmp_path).stat().st_ino == first
    targets.remove()
    targets.remove()
    assert not targets_path(tmp_path).exists()
    targets.write([ReplicaRecord("relay-1", "running", 12, "99", 8080, True)])
    assert targets_path(tmp_path).exists()


# A process that says in its run file where it serves, as workers do; a new one each time it is started.
SERVES = """
import json, os, pathlib, sys, time
run = pathlib.Path(sys.argv[1]) / "run" / "relay-1.json"
run.parent.mkdir(parents=True, exist_ok=True)
port = int(run.read_text().split('"port": ')[1].split("}")[0]) + 1 if run.exists() else 20001
run.with_suffix(".new").write_text(json.dumps({"pid": os.getpid(), "port": port}))
run.with_suffix(".new").replace(run)
time.sleep(60)
"""


async def test_a_supervisor_keeps_the_targets_true_across_a_restart(tmp_path: Path) -> None:
    spec = ReplicaSpec("relay-1", (sys.executable, "-c", SERVES, str(tmp_path)), dict(os.environ))
    supervisor = Supervisor([spec], tmp_path, grace_seconds=5, tell=lambda _: None)
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop))

    async def at(wanted: str) -> None:
        async def look() -> bool:
            return targets_path(tmp_path).exists() and address(tmp_path, "relay-1") == wanted

        await wait_for(look, 10, wanted)

    await at("127.0.0.1:20001")
    pid = supervisor.replicas[0].record.pid
    assert pid is not None
    os.kill(pid, 9)
    await at("127.0.0.1:20002")
    stop.set()
    assert await running == 0
    assert not targets_path(tmp_path).exists()
