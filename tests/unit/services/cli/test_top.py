"""`agentmesh top`: what workers tell becomes one picture, also of dead workers, of an empty fleet and on a narrow terminal."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from rich.console import Console

from infra.telemetry.metrics import Metrics
from services.cli import main
from services.cli.top.frame import SILENT, Frame, Look, WaitRow, frame_of
from services.cli.top.samples import CONSUMER_GROUP, PROJECTION, RELAY, WorkerSample, read_metrics
from services.cli.top.screen import draw

NOW = 1_800_000_000.0


def row(name: str, pid: int | None = 100, **changes: Any) -> dict[str, Any]:
    values = {
        "name": name,
        "state": "running",
        "pid": pid,
        "port": 9000,
        "ready": True,
        "restarts": 0,
        "uptime_seconds": 75.0,
        "message": None,
    }
    return {**values, **changes}


def exposed(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def working() -> Metrics:
    """The metrics of a worker, as the product defines them."""
    metrics = Metrics(version="1", environment="test")
    metrics.commands_handled_total.labels("t", "events").inc(30)
    metrics.commands_handled_total.labels("t", "rejected").inc(10)
    metrics.events_appended_total.labels("RequestCreated").inc(50)
    metrics.request_duration_seconds.labels("completed").observe(3)
    metrics.llm_tokens_used_total.labels("m", "triage").inc(700)
    for level, count in (("info", 100), ("error", 2), ("critical", 1)):
        metrics.log_lines_total.labels(level).inc(count)
    metrics.worker_attempt_timestamp_seconds.labels("requests").set(NOW - 2)
    metrics.worker_attempt_timestamp_seconds.labels("tasks").set(NOW - 90)
    metrics.component_health.labels("database").set(0)
    metrics.component_health.labels("cache").set(2)
    metrics.circuit_state.labels("model").set(1)
    metrics.circuit_state.labels("redis").set(0)
    metrics.consumer_lag_messages.labels("agentmesh.requests", "t", "0").set(5)
    metrics.consumer_lag_messages.labels("agentmesh.requests", "t", "1").set(7)
    metrics.consumer_lag_seconds.labels("agentmesh.requests", "t", "0").set(3)
    metrics.consumer_lag_seconds.labels("agentmesh.requests", "t", "1").set(1)
    metrics.outbox_pending.labels("requests").set(4)
    metrics.projection_lag_events.labels("timeline").set(0)
    return metrics


def monitoring() -> Metrics:
    """The metrics of the monitor that leads."""
    metrics = Metrics(version="1", environment="test")
    metrics.monitor_leader.set(1)
    metrics.lag_messages.replace({(CONSUMER_GROUP, "agentmesh.requests"): 1200.0, (PROJECTION, "timeline"): 3.0, (RELAY, "requests"): 0.0})
    metrics.lag_seconds.replace({(CONSUMER_GROUP, "agentmesh.requests"): 400.0, (PROJECTION, "timeline"): 0.5, (RELAY, "requests"): 0.0})
    metrics.waiting.replace({("request",): 12.0, ("task",): 0.0, ("approval",): 3.0})
    metrics.oldest_waiting_seconds.replace({("request",): 7200.0, ("task",): 0.0, ("approval",): 90_000.0})
    metrics.parked_keys.replace({("requests",): 2.0, ("tasks",): 0.0})
    metrics.oldest_parked_seconds.replace({("requests",): 60.0, ("tasks",): 0.0})
    return metrics


def look(samples: Mapping[str, WorkerSample], clock: float = 0.0, rows: list[dict[str, Any]] | None = None) -> Look:
    return Look(clock, NOW + clock, rows if rows is not None else [row(name) for name in samples], samples)


def drawn(frame: Frame, width: int, height: int | None = None) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(draw(frame, width, height))
    return captured.get()


def test_a_worker_is_read_from_its_own_metrics() -> None:
    found = read_metrics(exposed(working()))
    assert found.counters == {"commands": 40, "events": 50, "finished": 1, "tokens": 700, "errors": 3}
    assert found.attempts == {"requests": NOW - 2, "tasks": NOW - 90}
    assert found.breakers == {"model": 1}
    assert found.own_lags == {
        (CONSUMER_GROUP, "agentmesh.requests"): (12.0, 3.0),
        (RELAY, "requests"): (4.0, 0.0),
        (PROJECTION, "timeline"): (0.0, 0.0),
    }
    assert not found.monitors
    assert found.cpu_seconds is not None
    assert found.memory_bytes is not None


def test_the_leading_monitor_tells_of_everybody() -> None:
    frame = frame_of(look({"requests-1": read_metrics(exposed(working())), "workflow-1": read_metrics(exposed(monitoring()))}), None)
    assert (frame.lags_from, [(each.name, each.messages, each.seconds) for each in frame.lags]) == (
        "monitor", [("agentmesh.requests", 1200, 400), ("timeline", 3, 0.5), ("requests", 0, 0)],
    )  # fmt: skip
    assert frame.waiting == (WaitRow("request", 12, 7200), WaitRow("task", 0, 0), WaitRow("approval", 3, 90_000))
    assert frame.parked == (WaitRow("requests", 2, 60),)
    assert frame.breakers == {"requests-1: model": "open"}


def test_without_a_monitor_the_workers_own_lags_are_added_up() -> None:
    sample = read_metrics(exposed(working()))
    frame = frame_of(look({"requests-1": sample, "requests-2": sample}), None)
    assert frame.lags_from == "workers"
    assert (frame.lags[0].name, frame.lags[0].messages, frame.lags[0].seconds) == ("agentmesh.requests", 24, 3)
    text = drawn(frame, 80)
    assert "Waiting  not told: no monitor leads" in text
    (relay,) = [lag for lag in frame.lags if lag.kind == RELAY]
    assert (relay.messages, relay.seconds) == (8, None), "a relay tells how much, not since when"
    assert re.search(r"relay +requests +8 +-", text)


def test_rates_and_processor_time_are_those_between_two_looks_of_the_same_process() -> None:
    before = {"a": WorkerSample(cpu_seconds=1.0, counters={"commands": 100}), "b": WorkerSample(cpu_seconds=5, counters={"commands": 50})}
    after = {"a": WorkerSample(cpu_seconds=2.0, counters={"commands": 300}), "b": WorkerSample(cpu_seconds=0.1, counters={"commands": 10})}
    again = look(after, 2.0, [row("a"), row("b", pid=200, restarts=1)])
    frame = frame_of(again, look(before))
    assert [worker.cpu_percent for worker in frame.workers] == [50.0, None]
    assert frame.rates["commands"] == 100.0  # of b nothing can be said: its count began anew
    assert frame_of(again, None).rates["commands"] is None
    assert frame_of(again, again).rates["commands"] is None


def test_a_worker_that_is_new_counts_from_nothing() -> None:
    frame = frame_of(look({"a": WorkerSample(counters={"events": 40})}, 4.0), look({}, rows=[]))
    assert frame.rates["events"] == 10.0


def test_a_dead_worker_has_a_row_and_says_why() -> None:
    dead = row(
        "requests-1", pid=None, state="waiting", ready=False, port=None, restarts=3, uptime_seconds=None, message="killed by SIGKILL"
    )
    silent = row("tasks-1")
    frame = frame_of(look({}, rows=[dead, silent]), None)
    assert [(worker.health, worker.message) for worker in frame.workers] == [(SILENT, "killed by SIGKILL"), (SILENT, None)]
    text = drawn(frame, 80)
    assert "killed by SIGKILL" in text
    assert "no answer" in text
    assert "1 of 2 workers ready" in text


def test_the_worst_component_and_the_longest_silence_of_a_process_count() -> None:
    (worker,) = frame_of(look({"a": read_metrics(exposed(working()))}), None).workers
    assert (worker.health, worker.attempt_seconds) == ("unhealthy: cache", 90.0)


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    samples = {f"a-worker-with-a-long-name-{number}": read_metrics(exposed(working())) for number in range(3)}
    samples["workflow-1"] = read_metrics(exposed(monitoring()))
    text = drawn(frame_of(look(samples, 1.0), look(samples)), width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    if width >= 80:
        for said in ("1,200", "6m40s", "12 requests, the oldest 2h00m", "2 of requests for 1m00s", "model open", "unhealthy: cache"):
            assert said in text


def test_on_a_small_screen_what_waits_stands_above_and_fewer_are_listed_who_are_behind() -> None:
    metrics = monitoring()
    metrics.lag_messages.replace({(PROJECTION, f"model-{number}"): 9.0 for number in range(15)})
    samples = {"worker-1": read_metrics(exposed(working())), "workflow-1": read_metrics(exposed(metrics))}
    samples |= {f"worker-{number}": WorkerSample() for number in range(2, 8)}
    text = drawn(frame_of(look(samples, 1.0), look(samples)), 80, 24).rstrip("\n")
    assert len(text.splitlines()) <= 24
    assert re.search(r"Waiting .*Parked keys .*Breakers .*Workers .*workflow-1 .*Behind .*model-0 .*more are behind", text, re.DOTALL)


def test_a_monitor_that_has_not_looked_yet_leads_all_the_same() -> None:
    metrics = Metrics(version="1", environment="test")
    metrics.monitor_leader.set(1)
    assert "Waiting  not told yet" in drawn(frame_of(look({"m": read_metrics(exposed(metrics))}), None), 80)


def test_nobody_behind_is_said_in_one_line() -> None:
    metrics = Metrics(version="1", environment="test")
    metrics.monitor_leader.set(1)
    metrics.lag_messages.replace({(RELAY, "requests"): 0.0, (RELAY, "tasks"): 0.0})
    assert "nobody: all 2 are at the end" in drawn(frame_of(look({"m": read_metrics(exposed(metrics))}), None), 80)


def test_what_is_no_exposition_is_an_error() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        read_metrics("<html>not metrics</html> {")


def test_an_empty_fleet_is_shown_and_says_how_to_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("AGENTMESH_HOME", str(tmp_path))
    assert main.run(("top", "--once")) == 0
    assert "agentmesh up" in capsys.readouterr().out
    assert main.run(("top", "-o", "json")) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == []


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_at_a_terminal_it_goes_on_until_q_or_ctrl_c_and_leaves_the_terminal_as_it_was(tmp_path: Path, key: bytes) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(slave)
    command = [sys.executable, "-m", "services.cli.main", "top", "--interval", "0.5"]
    environment = {**os.environ, "AGENTMESH_HOME": str(tmp_path), "TERM": "xterm"}
    process = subprocess.Popen(
        command, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=_own_terminal
    )
    try:
        shown = b""
        deadline = time.monotonic() + 60
        while b"agentmesh up" not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(master, 4096)
        os.write(master, b"\x1b[A")  # an arrow key is no key of ours
        os.write(master, b"x")
        time.sleep(0.3)
        assert process.poll() is None
        os.write(master, key)
        os.set_blocking(master, False)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            try:
                shown += os.read(master, 4096)
            except BlockingIOError:
                continue
        assert process.returncode == 0, shown
        assert termios.tcgetattr(slave)[3] == before[3]
        assert b"Traceback" not in shown
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def _own_terminal() -> None:
    """So that Ctrl-C at this terminal is a signal to the process."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
