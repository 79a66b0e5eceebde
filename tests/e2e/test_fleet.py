"""The fleet as people run it: up in the background, shown, a killed worker back, work done meanwhile, down; and up in the foreground."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.local_stack.processes import start_token
from infra.settings import MeshSettings
from services.cli.fleet import DEFAULT_FLEET
from tests.e2e import planted

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]

AGENTMESH = [sys.executable, "-m", "services.cli.main"]
CASE = json.dumps({"customer_id": "cust-0042", "message": "My invoice of May is wrong"})


class Shell:
    """Types commands in one mesh."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = {**environment, "AGENTMESH_PARTITIONS": "3", "AGENTMESH_POOL_MIN_SIZE": "1"}
        self.home = Path(environment["AGENTMESH_HOME"])

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*AGENTMESH, *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=200)
        assert done.returncode == code, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def json(self, *arguments: str) -> Any:
        """The answer of a command."""
        return json.loads(self(*arguments, "-o", "json").stdout)

    def replica(self, name: str) -> dict[str, Any]:
        """One row of `ps`."""
        return next(row for row in self.json("ps") if row["name"] == name)

    def logs(self) -> str:
        """The end of every log, for a failure's message."""
        logs = sorted((self.home / ".agentmesh" / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-800:]}" for log in logs)


@pytest.fixture
def shell(mesh_environment: dict[str, str]) -> Iterator[Shell]:
    typed = Shell(mesh_environment)
    yield typed
    subprocess.run([*AGENTMESH, "down"], env=typed.environment, capture_output=True, check=False, timeout=120)


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


EVERYTHING = "infra=DEBUG,services=DEBUG,projections=DEBUG,aiokafka.producer=DEBUG,faststream=DEBUG,psycopg=DEBUG,uvicorn=DEBUG"


def test_a_fleet_in_the_background_mends_itself_and_ends_without_a_trace(shell: Shell, mesh_settings: MeshSettings) -> None:
    shell.environment["AGENTMESH_LOG_LEVELS"] = EVERYTHING
    shell("up", "-d", "--replicas", "requests=2")
    rows = {row["name"]: row for row in shell.json("ps")}
    assert list(rows)[:2] == ["requests-1", "requests-2"]
    assert {name.rpartition("-")[0] for name in rows} == {member.name for member in DEFAULT_FLEET}
    assert all(row["ready"] and row["port"] and row["restarts"] == 0 for row in rows.values())
    assert (shell.home / ".agentmesh" / "endpoints.json").exists()

    again = shell("up", "-d")
    assert "The fleet runs already" in again.stderr
    assert {row["pid"] for row in shell.json("ps")} == {row["pid"] for row in rows.values()}

    os.kill(rows["relay-1"]["pid"], signal.SIGKILL)
    os.kill(rows["requests-1"]["pid"], signal.SIGKILL)
    # A command that comes while two workers are dead has its outcome all the same.
    created = shell.json("publish", "CreateRequest", json.dumps(planted.good()), "--timeout", "60")
    assert created["outcome"] == "events"
    refused = planted.in_loop(lambda: planted.publish_badly(mesh_settings))
    token = shell("token", "--role", "admin", "--tenant", "default").stdout.strip()
    url = json.loads((shell.home / ".agentmesh" / "endpoints.json").read_text())["gateway_url"]
    assert [status for status in planted.call_badly(url, token) if status >= 500] == []
    wait_for(lambda: all(shell.replica(name)["ready"] for name in ("relay-1", "requests-1")), 60)
    assert shell.replica("relay-1")["restarts"] == 1
    assert shell.replica("relay-1")["pid"] != rows["relay-1"]["pid"]
    assert shell.replica("projections-1")["pid"] == rows["projections-1"]["pid"]
    assert ", 0 fail" in shell("doctor").stdout

    check_logs(shell, mesh_settings, created, refused, token)
    check_top(shell)

    supervisor = json.loads((shell.home / ".agentmesh" / "fleet.json").read_text())["pid"]
    pids = [row["pid"] for row in shell.json("ps")]
    shell("down")
    assert [pid for pid in (*pids, supervisor) if start_token(pid) is not None] == []  # a zombie that nobody reaps does not count
    assert shell.json("ps") == []
    assert not (shell.home / ".agentmesh" / "fleet.json").exists()
    assert "no fleet runs here" in shell("down").stderr
    folder = shell.home / ".agentmesh" / "logs"
    assert planted.leaks(folder) == []


def check_logs(shell: Shell, settings: MeshSettings, created: dict[str, Any], refused: list[str], token: str) -> None:
    """Of all that was planted no log shows anything; each line is JSON; and they are found by request and level."""
    folder = shell.home / ".agentmesh" / "logs"
    assert len(list(folder.glob("*.log"))) >= len(DEFAULT_FLEET)
    assert planted.lines_of_another_form(folder) == []
    password = urlsplit(settings.postgres_dsn).password
    own = [text for text in (password, token, token[:40]) if text]
    assert planted.leaks(folder, tuple(own)) == []
    text = "\n".join(path.read_text() for path in folder.glob("*.log"))
    assert "value=[bytes]" in text  # the producers say what they send, so there was something to take out
    assert created["request_id"] in shell("logs", "--request", created["request_id"], "--level", "debug").stdout
    told = [
        json.loads(line) for line in shell("logs", "--worker", "requests", "--level", "info", "-n", "500", "-o", "json").stdout.splitlines()
    ]
    outcomes = {
        line["extra"]["aggregate_id"]: line for line in told if line["name"] == "infra.runtime.told" and "command_id" in line["extra"]
    }
    assert {line["message"] for line in outcomes.values()} >= {"CreateRequest: rejected with VALIDATION_ERROR"}
    assert set(outcomes) & set(refused)
    assert any(line["message"].startswith("a record holds no command") and line["level"] == "warning" for line in told)
    assert all(line["service"] == "agentmesh-requests" for line in told)


def check_top(shell: Shell) -> None:
    """The picture of the fleet, as programs and as people get it, with one worker stopped so that it does not answer."""
    picture = shell.json("top")
    names = {worker["name"] for worker in picture["workers"]}
    assert names == {row["name"] for row in shell.json("ps")}
    assert all(worker["cpu_percent"] is not None and worker["memory_bytes"] > 2**20 for worker in picture["workers"])
    assert picture["lags_from"] == "monitor"
    assert {("consumer_group", "agentmesh.requests"), ("relay", "requests"), ("projection", "requests")} <= {
        (lag["kind"], lag["name"].removeprefix(shell.environment["AGENTMESH_TOPIC_PREFIX"])) for lag in picture["lags"]
    }
    assert {wait["kind"] for wait in picture["waiting"]} == {"request", "task", "approval"}
    assert all(rate is not None for rate in picture["rates"].values())
    paused = shell.replica("tasks-1")["pid"]
    os.kill(paused, signal.SIGSTOP)
    try:
        text = shell("top", "--once").stdout
    finally:
        os.kill(paused, signal.SIGCONT)
    assert re.search(r"tasks-1 .*no answer", text)
    assert re.search(r"relay-1 +running +\d+ +1 ", text)
    assert "\x1b" not in text


def test_a_fleet_in_the_foreground_shows_its_logs_and_ends_on_ctrl_c(shell: Shell) -> None:
    log = shell.home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*AGENTMESH, "up"], env=shell.environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: [row["ready"] for row in shell.json("ps")] == [True] * len(DEFAULT_FLEET), 120)
        wait_for(lambda: "projections-1" in log.read_text(), 10)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    text = log.read_text()
    assert code == 0, text
    assert 'relay-1        | {"timestamp"' in text
    assert "the fleet has stopped" in text
    assert shell.json("ps") == []


def test_a_worker_whose_configuration_is_refused_is_told_and_not_tried_again(shell: Shell) -> None:
    """The topics are made with three partitions; the workers are told of four."""
    shell("migrate")
    shell.environment["AGENTMESH_PARTITIONS"] = "4"
    refused = shell("up", "-d", code=78)
    assert "4 are configured" in refused.stdout + refused.stderr
