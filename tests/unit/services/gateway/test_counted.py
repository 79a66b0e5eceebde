"""What the gateway's process counts of its calls: by route, from 0 on, with the trace of a sampled call."""

from __future__ import annotations

from fastapi.routing import APIRoute
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from infra.telemetry.http import TracedHttp
from infra.telemetry.metrics import Metrics
from infra.telemetry.tracing import Tracing
from services.gateway.calls import TRACEPARENT
from services.gateway.edge import Edge
from services.gateway.worker import Counted, CountedStreams
from tests.unit.services.gateway.arena import Arena

LIST = "/api/v1/requests"
TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_a_call_is_counted_with_its_trace() -> None:
    metrics, arena = Metrics(), Arena(most_in_flight=7)  # an application of its own, for its observer is replaced
    tracing = Tracing.to_exporter(InMemorySpanExporter())
    assert tracing.server_provider is not None
    edge = arena.app
    assert isinstance(edge, Edge)
    edge._observer = Counted(metrics)
    arena.app = TracedHttp(edge, tracing.server_provider, key=TRACEPARENT)  # type: ignore[assignment]
    await arena.call("GET", LIST, headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    tracing.shutdown(1)
    samples = [sample for family in metrics.http_request_duration_seconds.collect() for sample in family.samples]
    assert [sample.exemplar.labels for sample in samples if sample.exemplar] == [{"trace_id": TRACE}]
    value = metrics.registry.get_sample_value
    assert value("http_requests_total", {"method": "GET", "endpoint": LIST, "status": "200"}) == 1
    assert value("active_requests") == 0


def test_what_can_be_counted_is_there_before_the_first_call() -> None:
    metrics = Metrics()
    counted = Counted(metrics)
    counted.know(route for router in Arena().routers for route in router.routes if isinstance(route, APIRoute))
    streams = CountedStreams(metrics)
    value = metrics.registry.get_sample_value
    for status in ("200", "500", "503"):
        assert value("http_requests_total", {"method": "GET", "endpoint": LIST, "status": status}) == 0
    assert value("agentmesh_permissions_refused_total", {"permission": "request:create"}) == 0
    assert value("agentmesh_rate_limited_total", {"route_class": "auth"}) == 0
    assert value("agentmesh_rate_limited_total", {"route_class": "stream"}) == 0
    assert value("agentmesh_event_streams_closed_total", {"reason": "too_slow"}) == 0
    counted.forbidden("request:create")
    counted.limited("auth")
    streams.limited()
    assert value("agentmesh_permissions_refused_total", {"permission": "request:create"}) == 1
    assert value("agentmesh_rate_limited_total", {"route_class": "auth"}) == 1
    assert value("agentmesh_rate_limited_total", {"route_class": "stream"}) == 1
