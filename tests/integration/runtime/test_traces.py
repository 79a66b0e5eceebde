"""One trace from the publisher through worker, store and relay to the read model; batches link to the messages they handle."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contracts.ids import new_task_id
from contracts.topics import commands_topic, rejections_topic
from infra.settings import MeshSettings
from infra.telemetry.telemetry import Telemetry
from infra.telemetry.tracing import Tracing
from services.tasks.worker import build as build_tasks
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
    of_read_model = batches["process projections.requests"].attributes or {}
    assert of_read_model["messaging.consumer.group.name"] == f"{mesh.settings.topic_prefix}agentmesh.projections.requests"
    assert "messaging.destination.name" not in of_read_model, "its batches are of several topics"


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


async def test_a_worker_that_knows_nothing_yet_links_a_later_command_to_the_trace_of_its_aggregate(mesh_settings: MeshSettings) -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry.for_tests(Tracing.to_exporter(exporter, sample_ratio=0.0))
    other = f"00-{'1' * 32}-{'2' * 16}-01"
    async with Mesh(mesh_settings, partitions=1, telemetry=telemetry) as mesh:
        first = mesh.requests_worker()
        await mesh.start(first)
        request = new_id()
        await mesh.do("CreateRequest", request, create(request), headers=SAMPLED)
        await mesh.stop(first)
        await mesh.start(mesh.requests_worker())  # it has to load the request
        await mesh.do("UpdateRequest", request, {"priority": 3}, headers={"traceparent": other.encode()})
        await mesh.do("UpdateRequest", request, {"priority": 4})
        events = list(await mesh.store.read_stream(request))
    telemetry.tracing.shutdown(5)
    named = {f"{span.context.span_id:016x}": span for span in exporter.get_finished_spans() if span.context}
    created, updated, again = [named[str(event.metadata.traceparent).split("-")[2]] for event in events]
    assert created.context is not None
    for later in (updated, again):
        assert [link.context.span_id for link in later.links] == [created.context.span_id]
    assert updated.context is not None
    assert f"{updated.context.trace_id:032x}" == "1" * 32
    assert again.parent is None, "a trace of its own, recorded because the request's is"


async def test_the_end_of_an_attempt_that_nobody_told_stands_in_the_trace_of_its_task(mesh_settings: MeshSettings) -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry.for_tests(Tracing.to_exporter(exporter, sample_ratio=0.0))
    async with Mesh(mesh_settings, partitions=1, telemetry=telemetry) as mesh:
        await mesh.start(build_tasks(mesh.settings, telemetry))
        task_id = new_task_id()
        asked = {"task_id": task_id, "task_type": "t", "kind": "t", "subject_id": "nobody"}
        await mesh.do_in("tasks", "RequestTask", task_id, asked, headers=SAMPLED)
        await mesh.do_in("tasks", "AssignTask", task_id, {"task_id": task_id, "agent_id": "agent-1", "attempt": 1})
        await mesh.do_in("tasks", "ReassignTask", task_id, {"task_id": task_id, "attempt": 1, "reason": "its lease ran out"})
        events = list(await mesh.store_of("tasks").read_stream(task_id))
    telemetry.tracing.shutdown(5)
    traces = [str(event.metadata.traceparent).split("-")[1] for event in events]
    assert traces[0] == TRACE
    assert traces[1] != TRACE, "an order of somebody who brings no trace has its own"
    assert traces[2] == TRACE
    (ended,) = [span for span in exporter.get_finished_spans() if "ReassignTask" in str(span.attributes)]
    assert ended.parent is not None
    assert f"{ended.parent.span_id:016x}" == str(events[0].metadata.traceparent).split("-")[2]
