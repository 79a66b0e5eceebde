"""The four routes of every worker, asked over a real socket."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from infra.errors import ConfigurationError
from infra.health.base import ComponentHealth, HealthStatus, SystemHealth
from infra.runtime.http import HttpServer, build_app
from infra.telemetry.bounded import exemplar
from infra.telemetry.metrics import Metrics
from infra.telemetry.tracing import Tracing

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Served:
    """A server whose state the test sets."""

    def __init__(self) -> None:
        self.status = HealthStatus.HEALTHY
        self.not_ready: str | None = None
        self.not_live: str | None = None
        self.asked = 0
        self.metrics = Metrics(version="1.0.0", environment="test")
        app = build_app(self.health, lambda: self.not_ready, lambda: self.not_live, self.metrics.registry)
        self.server = HttpServer(app, "127.0.0.1", 0)

    async def health(self) -> SystemHealth:
        self.asked += 1
        component = ComponentHealth(name="database", status=self.status, response_time_ms=1, message="m")
        return SystemHealth(
            overall_status=self.status, timestamp=datetime.now(UTC), components=(component,), dependencies={"database": self.status}
        )

    async def get(self, path: str, accept: str = "*/*", method: str = "GET") -> tuple[int, str, str]:
        return await asyncio.to_thread(self._get, path, accept, method)

    def _get(self, path: str, accept: str, method: str) -> tuple[int, str, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}{path}", headers={"accept": accept}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return response.status, response.headers["content-type"], response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get("content-type", ""), error.read().decode()


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    found = Served()
    await found.server.start()
    yield found
    await found.server.stop()


@pytest.mark.parametrize(("status", "code"), [("healthy", 200), ("degraded", 200), ("unhealthy", 503)])
async def test_health_is_the_whole_state_as_json(served: Served, status: str, code: int) -> None:
    served.status = HealthStatus(status)
    answered, content_type, body = await served.get("/health")
    assert (answered, content_type) == (code, "application/json")
    assert json.loads(body)["overall_status"] == status
    assert json.loads(body)["components"][0]["name"] == "database"


@pytest.mark.parametrize(("status", "code"), [("healthy", 200), ("degraded", 200), ("unhealthy", 503)])
async def test_ready_when_healthy_or_degraded(served: Served, status: str, code: int) -> None:
    served.status = HealthStatus(status)
    assert (await served.get("/health/ready"))[0] == code


async def test_not_ready_while_draining_without_asking_anybody(served: Served) -> None:
    served.not_ready = "draining"
    code, _, body = await served.get("/health/ready")
    assert (code, json.loads(body)) == (503, {"status": "not ready", "reason": "draining"})
    assert served.asked == 0


async def test_live_asks_no_dependency(served: Served) -> None:
    served.status = HealthStatus.UNHEALTHY
    assert (await served.get("/health/live"))[0] == 200
    served.not_live = 'worker "x" made no attempt'
    code, _, body = await served.get("/health/live")
    assert (code, json.loads(body)["reason"]) == (503, 'worker "x" made no attempt')
    assert served.asked == 0


async def test_metrics_as_openmetrics_end_with_eof_and_parse(served: Served) -> None:
    served.metrics.retries_total.labels("database").inc()
    code, content_type, body = await served.get("/metrics", OPENMETRICS)
    assert (code, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    assert body.endswith("# EOF\n")
    families = {family.name: family for family in parse_openmetrics(body)}
    assert families["agentmesh_retries"].samples[0].value == 1


async def test_openmetrics_show_the_trace_of_a_sampled_observation_and_metrics_ask_no_server(served: Served) -> None:
    tracing = Tracing.to_exporter(InMemorySpanExporter())
    with tracing.batch_span("process", "t") as span:
        served.metrics.handle_duration_seconds.labels("agentmesh.requests").observe(0.02, exemplar())
    tracing.shutdown(1)
    _, _, body = await served.get("/metrics", OPENMETRICS)
    families = {family.name: family for family in parse_openmetrics(body)}
    traces = [sample.exemplar.labels for sample in families["agentmesh_handle_duration_seconds"].samples if sample.exemplar]
    assert traces == [{"trace_id": f"{span.get_span_context().trace_id:032x}"}]
    assert served.asked == 0


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "text/plain; version=0.0.4", "application/json"])
async def test_metrics_as_prometheus_text_for_everybody_else(served: Served, accept: str) -> None:
    served.metrics.outbox_pending.labels("requests").set(7)
    code, content_type, body = await served.get("/metrics", accept)
    assert (code, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = {family.name: family for family in parse_prometheus(body)}
    assert families["agentmesh_outbox_pending"].samples[0].value == 7
    assert "process_resident_memory_bytes" in families


async def test_other_paths_and_methods_are_refused(served: Served) -> None:
    assert (await served.get("/nothing"))[0] == 404
    assert (await served.get("/health", method="POST"))[0] == 405


async def test_a_taken_port_is_a_configuration_error_that_says_what_to_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="AGENTMESH_HEALTH_PORT"):
            HttpServer(build_app(None, None, None, None), "127.0.0.1", port)  # type: ignore[arg-type]


async def test_a_server_that_cannot_start_says_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Served().server

    async def fail(sockets: object = None) -> None:
        raise OSError("no")

    monkeypatch.setattr(broken._server, "serve", fail)
    with pytest.raises(OSError, match="no"):
        await broken.start()
    broken._socket.close()


async def test_a_server_that_was_never_started_can_be_closed() -> None:
    await Served().server.stop()
