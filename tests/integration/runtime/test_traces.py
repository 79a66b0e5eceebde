"""One trace from the publisher through worker, store and relay to the read model; batches link to the messages they handle."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contracts.topics import commands_topic, rejections_topic
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from infra.telemetry.tracing import Tracing
from tests.mesh import Mesh, create, header, new_id

pytestmark = pytest.mark.integration
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01".encode()}


def linked_to(span: ReadableSpan) -> set[str]:
    return {f"{link.context.trace_id:032x}" for link in span.links}


async def test_the_publishers_trace_goes_on_to_the_event_and_batches_link_to_it(mesh_settings: MeshSettings) -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry.for_tests(Tracing.to_exporter(exporter))
    async with Mesh(mesh_settings, partitions=1, telemetry=telemetry) as mesh:
        await mesh.start_all()
        first, request = new_id(), new_id()
        await mesh.do("CreateRequest", first, create(first))
        await mesh.read_model_at(first, 1)  # from here on the read model follows Kafka
        await mesh.publish("CreateRequest", request, create(request), command_id="c1", headers=SAMPLED)
        await mesh.read_model_at(request, 1)
        _, event = await mesh.records(count=2)
        version, trace, parent, flags = header(event, "traceparent").split("-")
        assert (version, trace, flags) == ("00", TRACE, "01")
        assert parent != PARENT, "the event's parent is the handling of its command"
        await mesh.stop(*mesh.workers)
    telemetry.tracing.shutdown(5)
    spans = exporter.get_finished_spans()
    handled = [span for span in spans if span.parent is not None and f"{span.parent.span_id:016x}" == PARENT]
    assert [f"{span.context.span_id:016x}" for span in handled if span.context] == [parent]
    batches = {span.name: span for span in spans if TRACE in linked_to(span)}
    assert set(batches) == {
        f"process {mesh.settings.topic_prefix}{commands_topic('requests')}",
        "send requests",
        "process projections.requests",
    }


async def test_a_rejection_continues_the_trace_too_and_an_unsampled_one_goes_on_as_it_came(mesh_settings: MeshSettings) -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry.for_tests(Tracing.to_exporter(exporter))
    unsampled = f"00-{'1' * 32}-{'2' * 16}-00"
    async with Mesh(mesh_settings, telemetry=telemetry) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        refused, quiet = new_id(), new_id()
        await mesh.do("DeleteRequest", refused, {}, headers=SAMPLED)
        await mesh.do("CreateRequest", quiet, create(quiet), headers={"traceparent": unsampled.encode()})
        (rejection,) = await mesh.records(rejections_topic("requests"), count=1)
        assert header(rejection, "traceparent").split("-")[1] == TRACE
        (event,) = await mesh.records(count=1)
        assert header(event, "traceparent") == unsampled
    telemetry.tracing.shutdown(5)


async def test_without_tracing_the_publishers_trace_is_passed_on(mesh_settings: MeshSettings) -> None:
    async with Mesh(mesh_settings) as mesh:
        await mesh.start(mesh.requests_worker(), mesh.relay())
        request = new_id()
        await mesh.do("CreateRequest", request, create(request), headers=SAMPLED)
        (event,) = await mesh.records(count=1)
        assert header(event, "traceparent").encode() == SAMPLED["traceparent"]
