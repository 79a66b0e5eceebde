"""Starts a real Prometheus, a real Alertmanager and a receiver of its webhooks for a test, asks them with deadlines, ends what it started.

Both are single programs (Debian packages, see INSTALL); a test that needs one that is absent is skipped with the command that installs it:

    pytestmark = needs("prometheus", "alertmanager")

    with webhook_receiver() as hook, alertmanager(tmp_path / "am", routed_to(hook.url)) as manager:
        with prometheus(tmp_path / "prom", targets=[Target("127.0.0.1:9100", worker="relay")], alertmanager=manager.address) as server:
            server.wait_for('up{worker="relay"} == 1', 10)
"""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import yaml

from infra.local_stack.ports import free_port

INSTALL = "apt-get install -y --no-install-recommends prometheus prometheus-alertmanager"
# What a program is called: by Debian, and by its makers.
PROGRAMS = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "amtool": ("amtool",),
}
START_SECONDS = 20.0
CALL_SECONDS = 10.0
STOP_SECONDS = 10.0
JOB = "agentmesh"

Labels = dict[str, str]


def program(name: str) -> str | None:
    """The path of one of PROGRAMS, None where it is not installed."""
    return next((path for each in PROGRAMS[name] if (path := shutil.which(each))), None)


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips a test where one of these programs is absent; the reason names the command that installs them."""
    absent = [name for name in names if program(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"{', '.join(absent)} not installed: {INSTALL}")


def tool(name: str, *arguments: str, cwd: Path | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool to its end; stdout and stderr are answered as one text."""
    path = program(name)
    assert path is not None, f"{name} not installed: {INSTALL}"
    command = [path, *arguments]
    return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=seconds)


@dataclass(frozen=True)
class Target:
    """What Prometheus scrapes, with the labels that the fleet's scrape config gives."""

    address: str
    worker: str
    replica: str = "1"
    job: str = JOB


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and (time, value) one after the other; an instant query has one."""

    labels: Labels
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The last value."""
        return self.points[-1][1]


class QueryError(AssertionError):
    """The server refused a query; the message is its own."""


class Server:
    """One program that serves HTTP on loopback; `url` is its base. Ended by pid, and only what was started here."""

    def __init__(self, name: str, folder: Path, arguments: Callable[[int], Sequence[str]], ready: str) -> None:
        path = program(name)
        assert path is not None, f"{name} not installed: {INSTALL}"
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{name}.log"
        self.started_at = time.time()
        for _ in range(3):  # another process may take the port between our look and the program's start
            self.port = free_port(set())
            with self.log.open("ab") as log:
                command = [path, *arguments(self.port)]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            if self._came_up(ready):
                return
        raise AssertionError(f"{name} did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{self.address}"

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """One HTTP call: (status, body). Raises OSError where nobody answers in time."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=CALL_SECONDS)
        try:
            form = isinstance(body, str)
            data = body if form or body is None else json.dumps(body)
            kind = "application/x-www-form-urlencoded" if form else "application/json"
            connection.request(method, path, body=data, headers={"content-type": kind} if data is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of a call that must succeed."""
        status, answer = self.call(method, path, body)
        if status >= 400:
            raise QueryError(f"{method} {path}: {status} {answer.decode('utf-8', 'replace')[:2000]}")
        return json.loads(answer) if answer else None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what does not end by it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
                return

    def _came_up(self, ready: str) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                if self.call("GET", ready)[0] == http.client.OK:
                    return True
            time.sleep(0.05)
        self.stop()
        return False


class PrometheusServer(Server):
    """A Prometheus with a temporary database."""

    def query(self, expression: str, at: float | None = None) -> list[Series]:
        """The series of an instant query, now or at a moment (Unix seconds). Raises QueryError."""
        form = {"query": expression, **({} if at is None else {"time": repr(at)})}
        result = self.json("POST", "/api/v1/query", urlencode(form))["data"]
        if result["resultType"] in ("scalar", "string"):
            moment, value = result["result"]
            return [Series({}, ((float(moment), float(value)),))]
        return [_series(each) for each in result["result"]]

    def query_range(self, expression: str, start: float, end: float, step: float = 1.0) -> list[Series]:
        """The series of a range query, times in Unix seconds. Raises QueryError."""
        form = {"query": expression, "start": repr(start), "end": repr(end), "step": repr(step)}
        return [_series(each) for each in self.json("POST", "/api/v1/query_range", urlencode(form))["data"]["result"]]

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of the series that an expression selects."""
        found = self.json("POST", "/api/v1/query_exemplars", urlencode({"query": expression, "start": repr(start), "end": repr(end)}))
        return list(found["data"])

    def value(self, expression: str) -> float | None:
        """The value of an expression with one series or none."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression} has {len(found)} series"
        return found[0].value if found else None

    def wait_for(self, expression: str, seconds: float) -> list[Series]:
        """Wait until an instant query has an answer that is not empty. Raises AssertionError with what is scraped."""
        deadline = time.monotonic() + seconds
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, f"{expression} stayed empty for {seconds:g} s; targets: {self.target_states()}"
            time.sleep(0.1)
        return found

    def targets(self) -> list[dict[str, Any]]:
        """The targets that are scraped now."""
        return list(self.json("GET", "/api/v1/targets?state=active")["data"]["activeTargets"])

    def target_states(self) -> dict[str, str]:
        """worker-replica -> health and the last error, for a failure's message."""
        return {
            f"{found['labels'].get('worker')}-{found['labels'].get('replica')}": f"{found['health']} {found['lastError']}".strip()
            for found in self.targets()
        }

    def wait_for_targets(self, count: int, seconds: float) -> None:
        """Wait until so many targets are up."""
        deadline = time.monotonic() + seconds
        while sum(found["health"] == "up" for found in self.targets()) < count:
            assert time.monotonic() < deadline, f"not {count} targets up within {seconds:g} s: {self.target_states()}"
            time.sleep(0.1)

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing."""
        return list(self.json("GET", "/api/v1/alerts")["data"]["alerts"])

    def rules(self) -> list[dict[str, Any]]:
        """The rules with their health and last error."""
        return [rule for group in self.json("GET", "/api/v1/rules")["data"]["groups"] for rule in group["rules"]]


class AlertmanagerServer(Server):
    """An Alertmanager of its own, without peers."""

    def alerts(self) -> list[dict[str, Any]]:
        """What it holds: active and suppressed alerts."""
        return list(self.json("GET", "/api/v2/alerts"))

    def names(self) -> set[str]:
        """The names of the alerts that it holds."""
        return {alert["labels"]["alertname"] for alert in self.alerts()}


class WebhookReceiver:
    """Takes what Alertmanager sends; `notifications` holds (Unix time, body) in the order of arrival."""

    def __init__(self) -> None:
        self.notifications: list[tuple[float, dict[str, Any]]] = []
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="webhooks", daemon=True).start()

    @property
    def url(self) -> str:
        """Where to send to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def alerts(self) -> list[tuple[float, dict[str, Any]]]:
        """(arrived at, alert) of every alert of every notification; `status` of an alert is `firing` or `resolved`."""
        with self._arrived:
            return [(arrived, alert) for arrived, body in self.notifications for alert in body["alerts"]]

    def wait_for(self, alertname: str, status: str, seconds: float, *, since: float = 0, **labels: str) -> tuple[float, dict[str, Any]]:
        """Wait for an alert in a state that arrives after `since` (Unix time); answers when it arrived and what it says."""
        wanted = {"alertname": alertname, **labels}
        deadline = time.monotonic() + seconds
        while True:
            for arrived, alert in self.alerts():
                if arrived >= since and alert["status"] == status and wanted.items() <= alert["labels"].items():
                    return arrived, alert
            left = deadline - time.monotonic()
            assert left > 0, f"{alertname} {status} did not come within {seconds:g} s; there came {self.told()}"
            with self._arrived:
                self._arrived.wait(min(left, 0.5))

    def told(self, since: float = 0) -> list[tuple[str, str]]:
        """(alert, status) of all that came, or came after `since` (Unix time)."""
        return [(alert["labels"]["alertname"], alert["status"]) for arrived, alert in self.alerts() if arrived >= since]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with receiver._arrived:
                    receiver.notifications.append((time.time(), body))
                    receiver._arrived.notify_all()
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


@contextmanager
def prometheus(
    folder: Path,
    *,
    targets: Sequence[Target] = (),
    file_sd: Path | None = None,
    rule_files: Sequence[Path] = (),
    alertmanager: str | None = None,
    interval: str = "1s",
    scrape: Mapping[str, Any] | None = None,
) -> Iterator[PrometheusServer]:
    """A Prometheus that scrapes `targets` and what `file_sd` names, evaluates rules and tells an Alertmanager (host:port).

    `interval` is that of scrapes and of rules; `scrape` changes the scrape config of the job `agentmesh` (metrics_path and the like).
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_config(targets, file_sd, rule_files, alertmanager, interval, scrape or {}), sort_keys=False))
    with prometheus_of(folder, config) as server:
        yield server


@contextmanager
def prometheus_of(folder: Path, config: Path) -> Iterator[PrometheusServer]:
    """A Prometheus with a config file of one's own; its database lies in `folder`."""

    def arguments(port: int) -> list[str]:
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
            "--enable-feature=exemplar-storage",
            "--scrape.discovery-reload-interval=1s",
        ]

    server = PrometheusServer("prometheus", folder, arguments, "/-/ready")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def alertmanager(folder: Path, config: Path | Mapping[str, Any]) -> Iterator[AlertmanagerServer]:
    """An Alertmanager with a config file, or with a config as a mapping (`routed_to` makes a small one)."""
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(config, Path):
        file = config
    else:
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(dict(config), sort_keys=False))

    def arguments(port: int) -> list[str]:
        return [
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]

    server = AlertmanagerServer("alertmanager", folder, arguments, "/-/ready")
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """A receiver of Alertmanager's notifications."""
    receiver = WebhookReceiver()
    try:
        yield receiver
    finally:
        receiver.close()


def routed_to(url: str) -> dict[str, Any]:
    """An Alertmanager config that sends every alert on its own to a webhook at once."""
    return {
        "route": {"receiver": "hook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"},
        "receivers": [{"name": "hook", "webhook_configs": [{"url": url, "send_resolved": True}]}],
    }


def label_values(server: PrometheusServer, label: str) -> list[str]:
    """The values of a label that the server knows."""
    return list(server.json("GET", f"/api/v1/label/{quote(label)}/values")["data"])


def _config(
    targets: Sequence[Target],
    file_sd: Path | None,
    rule_files: Sequence[Path],
    manager: str | None,
    interval: str,
    scrape: Mapping[str, Any],
) -> dict[str, Any]:
    jobs = [{"job_name": JOB, "scrape_timeout": interval, **scrape}]
    if file_sd is not None:
        jobs[0]["file_sd_configs"] = [{"files": [str(file_sd)], "refresh_interval": "1s"}]
    jobs[0]["static_configs"] = [
        {"targets": [each.address], "labels": {"job": each.job, "worker": each.worker, "replica": each.replica}} for each in targets
    ]
    config: dict[str, Any] = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(path) for path in rule_files],
        "scrape_configs": jobs,
    }
    if manager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [manager]}]}]}
    return config


def _series(found: Mapping[str, Any]) -> Series:
    points = found["values"] if "values" in found else [found["value"]]
    return Series(dict(found["metric"]), tuple((float(moment), float(value)) for moment, value in points))
