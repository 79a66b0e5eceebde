"""Health and metrics on the API's own port: open to everybody, with the components and the statuses of every worker's."""

from __future__ import annotations

import pytest

from tests.integration.gateway.conftest import OpenCaller, serve
from tests.mesh import Mesh

pytestmark = pytest.mark.integration


async def test_whoever_calls_is_told_of_health_and_metrics_without_a_token(mesh: Mesh, open_caller: OpenCaller) -> None:
    worker = await serve(mesh)
    client = (await open_caller(worker._own.url)).client
    health = await client.get("/health")
    assert health.status_code == 200
    found = health.json()
    assert found["overall_status"] in ("healthy", "degraded")  # a busy machine may be slow
    assert {"database", "message_broker", "event_store"} <= {each["name"] for each in found["components"]}
    for path, status in (("/health/live", "live"), ("/health/ready", "ready")):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert answer.headers["x-request-id"].startswith("req-")
    metrics = await client.get("/metrics")
    assert 'http_requests_total{endpoint="/health/live",method="GET",status="200"}' in metrics.text
    assert (await client.get("/health/other")).status_code == 404
    worker.stopping.set()
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
    assert (await client.get("/health/live")).status_code == 200
