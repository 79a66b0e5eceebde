"""Real processes under the supervisor: a killed one comes back, a refused one does not, all end in time, and nobody is left behind."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.errors import EXIT_CONFIGURATION
from infra.supervisor.fleet_file import FleetRecord, ReplicaRecord, read_fleet
from infra.supervisor.readiness import health_of, is_ready, metrics_of
from infra.supervisor.replica import ReplicaSpec, log_path
from infra.supervisor.restarts import RestartPolicy
from infra.supervisor.supervisor import Supervisor, end_leftovers

ROOT = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.integration]

# A worker of the least kind: serves its readiness and writes its run file, as `infra.runtime.process` does.
WORKER = """
import http.server, json, os, pathlib, signal, sys, threading
print(json.dumps({"message": "hello from " + sys.argv[2]}), flush=True)
if "talkative" in sys.argv:
    print(("x" * 1023 + "\\n") * 11 * 1024 + "more", flush=True)
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if "refused" in sys.argv:
    print("agentmesh x: set AGENTMESH_PARTITIONS", file=sys.stderr)
    sys.exit(78)
if "dying" in sys.argv:
    sys.exit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"overall_status": "healthy"}')
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
folder = pathlib.Path(sys.argv[1]) / "run"
folder.mkdir(parents=True, exist_ok=True)
text = json.dumps({"name": sys.argv[2], "pid": os.getpid(), "port": server.server_address[1]})
(folder / (sys.argv[2] + ".new")).write_text(text)
(folder / (sys.argv[2] + ".new")).replace(folder / (sys.argv[2] + ".json"))
server.serve_forever()
"""
FAST = RestartPolicy(first_seconds=0.05, most_seconds=0.2)


def spec(state_dir: Path, name: str, *traits: str) -> ReplicaSpec:
    return ReplicaSpec(name, (sys.executable, "-c", WORKER, str(state_dir), name, *traits), dict(os.environ))


class Running:
    """A supervisor in this test's loop, and what it told."""

    def __init__(self, state_dir: Path, *specs: ReplicaSpec, grace: float = 10.0) -> None:
        self.state_dir = state_dir
        self.told: list[str] = []
        self.stop = asyncio.Event()
        self.supervisor = Supervisor(specs, state_dir, policy=FAST, grace_seconds=grace, tell=self.told.append)
        self.task = asyncio.create_task(self.supervisor.run(self.stop))

    def replica(self, name: str) -> ReplicaRecord:
        record = read_fleet(self.state_dir)
        assert record is not None
        return next(replica for replica in record.replicas if replica.name == name)

    async def until(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert not self.task.done(), self.task
            assert time.monotonic() < deadline, (self.told, read_fleet(self.state_dir))
            await asyncio.sleep(0.02)

    async def ready(self, *names: str) -> None:
        await self.until(lambda: read_fleet(self.state_dir) is not None)
        await self.until(lambda: all(self.replica(name).ready for name in names))

    async def end(self) -> int:
        self.stop.set()
        return await asyncio.wait_for(self.task, 20)


async def test_the_log_of_a_worker_that_runs_for_long_is_set_aside(tmp_path: Path) -> None:
    running = Running(tmp_path, spec(tmp_path, "a-1", "talkative"))
    log = log_path(tmp_path, "a-1")
    await running.ready("a-1")
    await running.until(lambda: log.stat().st_size == 0)
    assert log.with_name("a-1.log.1").read_text().endswith("x\nmore\n")
    assert running.replica("a-1").restarts == 0
    assert await running.end() == 0


async def test_a_killed_worker_is_started_again(tmp_path: Path) -> None:
    running = Running(tmp_path, spec(tmp_path, "a-1"), spec(tmp_path, "b-1"))
    await running.ready("a-1", "b-1")
    first, other = running.replica("a-1"), running.replica("b-1")
    assert first.pid is not None
    assert first.port is not None
    assert is_ready(first.port)
    assert health_of(first.port) == {"overall_status": "healthy"}
    assert metrics_of(first.port) is not None
    os.kill(first.pid, signal.SIGKILL)
    await running.until(lambda: running.replica("a-1").restarts == 1 and running.replica("a-1").ready)
    second = running.replica("a-1")
    assert second.pid != first.pid
    assert running.replica("b-1") == other
    assert "a-1 ended (killed by SIGKILL); starting it again in 0.05 s" in running.told
    assert await running.end() == 0
    assert not first.alive()
    assert not second.alive()
    assert not other.alive()
    assert read_fleet(tmp_path) is None
    assert not is_ready(first.port)
    assert health_of(first.port) is None


async def test_a_refused_configuration_stops_that_worker_alone(tmp_path: Path) -> None:
    running = Running(tmp_path, spec(tmp_path, "a-1"), spec(tmp_path, "b-1", "refused"))
    await running.ready("a-1")
    await running.until(lambda: running.replica("b-1").state == "failed")
    record = running.replica("b-1")
    assert (record.restarts, record.message) == (0, "agentmesh x: set AGENTMESH_PARTITIONS")
    assert any("b-1 was refused its configuration and is not started again: agentmesh x: set" in line for line in running.told)
    assert await running.end() == 0


async def test_when_every_worker_was_refused_the_supervisor_ends(tmp_path: Path) -> None:
    running = Running(tmp_path, spec(tmp_path, "a-1", "refused"))
    assert await asyncio.wait_for(running.task, 20) == EXIT_CONFIGURATION


async def test_a_worker_that_keeps_dying_is_started_ever_more_rarely(tmp_path: Path) -> None:
    running = Running(tmp_path, spec(tmp_path, "a-1", "dying"))
    await running.until(lambda: len(running.told) >= 4, seconds=30)
    assert [line.rpartition(" in ")[2] for line in running.told[:4]] == ["0.05 s", "0.1 s", "0.2 s", "0.2 s"]
    assert "exit code 3" in running.told[0]
    assert await running.end() == 0


async def test_a_worker_that_does_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    running = Running(tmp_path, spec(tmp_path, "a-1", "stubborn"), grace=0.3)
    await running.ready("a-1")
    record = running.replica("a-1")
    assert await running.end() == 0
    assert not record.alive()
    assert any("was killed" in line for line in running.told)


async def test_output_goes_to_a_log_file_of_its_own(tmp_path: Path) -> None:
    running = Running(tmp_path, spec(tmp_path, "a-1"))
    await running.ready("a-1")
    assert running.supervisor.replicas[0].last_words() == "hello from a-1"
    assert "hello from a-1" in log_path(tmp_path, "a-1").read_text()
    await running.end()


async def test_what_a_killed_supervisor_left_behind_is_ended(tmp_path: Path) -> None:
    code = f"""
import asyncio, pathlib, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.integration.cli.test_supervisor import spec
from infra.supervisor.supervisor import Supervisor
state = pathlib.Path({str(tmp_path)!r})
asyncio.run(Supervisor([spec(state, "a-1"), spec(state, "b-1", "stubborn")], state).run(asyncio.Event()))
"""
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    record: FleetRecord | None = None
    deadline = time.monotonic() + 30
    while record is None or not all(replica.ready for replica in record.replicas):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
        record = read_fleet(tmp_path)
    assert record.supervised()
    supervisor.kill()
    await supervisor.wait()
    assert not record.supervised()
    assert all(replica.alive() for replica in record.replicas)
    assert sorted(await asyncio.to_thread(end_leftovers, tmp_path, 0.5)) == ["a-1", "b-1"]
    assert not any(replica.alive() for replica in record.replicas)
    assert end_leftovers(tmp_path, 0.5) == []
