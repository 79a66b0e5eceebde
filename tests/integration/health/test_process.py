"""A worker process as a supervisor sees it: a real one, its run file, its signals and its exit codes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.errors import EXIT_CONFIGURATION, ConfigurationError
from infra.runtime.process import _configuration_error, _loop_factory, _stacks, run_process
from infra.runtime.run_file import RunFile, replica_name
from infra.settings import SettingsError, load_settings
from infra.telemetry.telemetry import Telemetry

ROOT = Path(__file__).resolve().parents[3]
TOY = Path(__file__).with_name("toy_process.py")


class Toy:
    """One started toy process."""

    def __init__(self, home: Path, behaviour: str, **environment: str) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTMESH_", "OTEL_", "JAEGER_"))}
        environment = {"AGENTMESH_HOME": str(home), "PYTHONPATH": str(ROOT), "AGENTMESH_GRACE_SECONDS": "4", **environment}
        self.process = subprocess.Popen(
            [sys.executable, str(TOY), behaviour],
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def run_file(self) -> Path:
        return self.home / ".agentmesh" / "run" / "toy+other.json"

    def wait_ready(self) -> int:
        """The port, once the process says it is ready."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            if self.run_file.exists():
                port = int(json.loads(self.run_file.read_text())["port"])
                if ask(port, "/health/ready") == 200:
                    return port
            time.sleep(0.02)
        raise AssertionError("the toy did not become ready")

    def ended(self, seconds: float = 120) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, log lines and stderr."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err


def ask(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Any]:
    started: list[Toy] = []

    def start(behaviour: str, **environment: str) -> Toy:
        started.append(Toy(tmp_path, behaviour, **environment))
        return started[-1]

    yield start
    for toy in started:
        if toy.process.poll() is None:
            toy.process.kill()
            toy.process.communicate()


def said(lines: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    return [line for line in lines if text in line["message"]]


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_every_worker_and_exits_with_0(toys: Any, number: signal.Signals) -> None:
    toy = toys("work")
    port = toy.wait_ready()
    content = json.loads(toy.run_file.read_text())
    assert content.keys() == {"name", "pid", "port", "started_at"}
    assert (content["name"], content["pid"]) == ("toy+other", toy.process.pid)
    assert ask(port, "/health/live") == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        found = {sample.name: sample for family in text_string_to_metric_families(response.read().decode()) for sample in family.samples}
    assert abs(found["agentmesh_worker_attempt_timestamp_seconds"].value - time.time()) < 10
    toy.process.send_signal(number)
    assert wait_until(lambda: ask(port, "/health/ready") == 503), "not ready at once, while it still drains"
    assert ask(port, "/health/live") == 200
    code, lines, err = toy.ended()
    assert (code, err) == (0, "")
    assert len(said(lines, "drained")) == 2
    assert {line["service"] for line in lines} == {"agentmesh-toy+other"}
    assert not toy.run_file.exists()


def wait_until(check: Any, seconds: float = 1.4) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return True
    return False


@pytest.mark.alone
def test_a_second_signal_exits_at_once(toys: Any) -> None:
    toy = toys("stop-hangs")
    port = toy.wait_ready()
    toy.process.terminate()
    assert wait_until(lambda: ask(port, "/health/ready") == 503, 2)
    started = time.monotonic()
    toy.process.terminate()
    code, lines, _ = toy.ended()
    assert code == 128 + signal.SIGTERM
    assert time.monotonic() - started < 10
    assert said(lines, "second signal")


@pytest.mark.alone
def test_a_worker_that_does_not_stop_ends_with_the_grace_period_and_says_so(toys: Any) -> None:
    toy = toys("stop-hangs", AGENTMESH_GRACE_SECONDS="3")
    toy.wait_ready()
    started = time.monotonic()
    toy.process.terminate()
    code, lines, _ = toy.ended()
    assert code == 1
    assert time.monotonic() - started < 10
    assert said(lines, "worker toy did not stop")
    assert said(lines, "other drained")


def test_a_signal_during_the_start_stops_cleanly(toys: Any) -> None:
    toy = toys("slow-start")
    assert wait_until(toy.run_file.exists, 120)
    assert ask(json.loads(toy.run_file.read_text())["port"], "/health/ready") == 503
    toy.process.terminate()
    assert toy.ended()[0] == 0


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("refuse", "run agentmesh migrate."),
        ("refuse-later", "topic x is missing: run agentmesh migrate."),
        ("refuse-build", "DATABASE_URL is not set."),
    ],
)
def test_a_refused_configuration_exits_with_78_and_one_line(toys: Any, behaviour: str, text: str) -> None:
    code, _, err = toys(behaviour).ended()
    assert code == EXIT_CONFIGURATION == 78
    (line,) = err.splitlines()
    assert line.startswith("agentmesh toy+other: ")
    assert line.endswith(text)


def test_wrong_settings_and_a_taken_port_exit_with_78(toys: Any) -> None:
    code, _, err = toys("work", AGENTMESH_GRACE_SECONDS="soon").ended()
    assert (code, len(err.splitlines())) == (78, 1)
    assert "AGENTMESH_GRACE_SECONDS" in err
    port = toys("work").wait_ready()
    code, _, err = toys("work", AGENTMESH_HEALTH_PORT=str(port), AGENTMESH_REPLICA_NAME="toy 2").ended()
    assert code == 78
    assert err.startswith("agentmesh toy_2: ")
    assert "AGENTMESH_HEALTH_PORT" in err


@pytest.mark.parametrize(
    ("behaviour", "text"),
    [
        ("die", "worker toy died"),
        ("end", "worker toy died: it ended without being asked to"),
        ("broken-start", "did not start"),
        ("broken-build", "the process failed"),
        ("no-attempts", "liveness cannot be judged"),
    ],
)
def test_a_worker_that_dies_ends_the_process_non_zero_after_draining_the_others(toys: Any, behaviour: str, text: str) -> None:
    code, lines, err = toys(behaviour).ended()
    assert (code, err) == (1, "")
    (line,) = said(lines, text)
    assert line["level"] == "error"
    assert behaviour == "end" or line["exception"]["type"] == "RuntimeError"
    assert said(lines, "other drained") or behaviour.startswith("broken")


def test_a_worker_that_cannot_stop_is_an_unclean_end(toys: Any) -> None:
    toy = toys("stop-fails")
    toy.wait_ready()
    toy.process.terminate()
    code, lines, _ = toy.ended()
    assert code == 1
    assert said(lines, "worker toy failed to stop")[0]["exception"]["message"] == "cannot stop"


def test_a_worker_that_makes_no_attempts_ends_the_process_with_the_stacks_of_all_tasks(toys: Any) -> None:
    code, lines, _ = toys("hang").ended()
    assert code == 1
    (line,) = said(lines, "hangs")
    assert line["level"] == "error"
    assert "worker toy made no attempt" in line["message"]
    assert "toy_process.py" in line["extra"]["tasks"]["toy-work"]


def test_an_event_loop_that_is_blocked_ends_the_process_with_the_stacks_of_all_threads(toys: Any) -> None:
    code, _, err = toys("block").ended()
    assert code == 1
    assert "toy_process.py" in err


@pytest.mark.slow
def test_a_worker_that_blocks_the_loop_while_stopping_does_not_keep_the_process(toys: Any) -> None:
    toy = toys("stop-blocks", AGENTMESH_GRACE_SECONDS="1")
    toy.wait_ready()
    toy.process.terminate()
    code, _, err = toy.ended()
    assert code == 1
    assert "toy_process.py" in err


def test_a_platform_without_uvloop_runs_on_asyncios_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _loop_factory() is not None
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert _loop_factory() is None


def test_the_replicas_name_comes_from_its_supervisor_and_is_fit_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTMESH_REPLICA_NAME", raising=False)
    assert replica_name(["agents", "customers"]) == "agents+customers"
    monkeypatch.setenv("AGENTMESH_REPLICA_NAME", "../requests-1")
    assert replica_name(["requests"]) == ".._requests-1"


def test_a_run_file_of_another_process_is_left_alone(tmp_path: Path) -> None:
    run_file = RunFile(tmp_path, "requests-1")
    run_file.write(8080)
    content = json.loads(run_file.path.read_text())
    run_file.path.write_text(json.dumps({**content, "pid": 1}))
    run_file.remove()
    assert run_file.path.exists()
    assert [path.name for path in run_file.path.parent.iterdir()] == ["requests-1.json"]
    run_file.path.write_text("half")
    run_file.remove()
    assert run_file.path.exists()


def test_a_home_that_cannot_be_written_only_costs_the_run_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".agentmesh").write_text("a file where a folder should be")
    run_file = RunFile(tmp_path, "requests-1")
    run_file.write(8080)
    run_file.remove()
    assert "run file not written" in caplog.text


def test_a_refusal_is_found_inside_groups() -> None:
    refusal = SettingsError("x")
    assert _configuration_error(ExceptionGroup("a", [KeyError(), ExceptionGroup("b", [refusal])])) is refusal
    assert isinstance(_configuration_error(ConfigurationError("x")), ConfigurationError)
    assert _configuration_error(ExceptionGroup("a", [KeyError()])) is None
    assert _configuration_error(None) is None


class Idle:
    """A worker that does nothing, for runs inside the test's own process."""

    name = "idle"

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        self.stopped.set()

    async def wait_failed(self) -> None:
        await self.stopped.wait()

    def health_checks(self) -> list[Any]:
        return []

    def last_attempt(self) -> float:
        return time.monotonic()


async def test_a_run_leaves_the_interpreter_as_it_was(tmp_path: Path) -> None:
    import gc

    before = gc.get_threshold()
    worker = Idle()
    settings = load_settings(home=tmp_path, health_host="127.0.0.1")
    running = asyncio.create_task(run_process([worker], settings, Telemetry.for_tests()))
    run_file = tmp_path / ".agentmesh" / "run" / "idle.json"
    for _ in range(1_000):
        if run_file.exists() and gc.get_threshold() != before and "idle" in _stacks():
            break
        await asyncio.sleep(0.01)
    assert gc.get_freeze_count() > 0
    assert "wait_failed" in _stacks()["idle"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
