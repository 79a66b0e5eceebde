"""The span `process_request`: opened when a workflow begins, parent of what follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contracts.envelope import Metadata, RecordedEvent
from contracts.message import Event
from contracts.registry import EVENTS
from contracts.requests.events import RequestCreated, RequestTriaged, RequestUpdated
from contracts.requests.examples import EXAMPLES
from infra.process_managers.traced import TracedProcess
from infra.telemetry.tracing import Tracing
from services.requests.process import PROCESS

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{PARENT}-01"


def recorded(kind: type[Event], traceparent: str | None) -> RecordedEvent:
    event = kind.model_validate(EXAMPLES[kind])
    metadata = Metadata(
        message_id="e-1",
        type_name=kind.type_name,
        source="/agentmesh/requests",
        subject=event.aggregate_id,
        time="2026-11-23T10:00:00Z",
        tenant_id="acme",
        auth_type="user",
        auth_id="ann",
        correlation_id="c-1",
        causation_id="c-1",
        traceparent=traceparent,
        tracestate=None,
    )
    assert kind.type_name in EVENTS
    return RecordedEvent(metadata, event.to_json(), 1, 1, "requests")


def spans_of(exporter: InMemorySpanExporter, tracing: Tracing) -> list[Any]:
    tracing.shutdown(5)
    return list(exporter.get_finished_spans())


def test_a_new_request_opens_the_span_that_its_tasks_are_traced_under() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing.to_exporter(exporter)
    event = recorded(RequestCreated, SAMPLED)
    (asked,) = TracedProcess(PROCESS, tracing).changes(event)
    (span,) = spans_of(exporter, tracing)
    assert (span.name, span.attributes["request.id"]) == ("process_request", event.aggregate_id)
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert asked.metadata.traceparent == f"00-{TRACE}-{span.context.span_id:016x}-01"


def test_later_steps_stay_in_the_trace_without_a_span_of_that_name() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing.to_exporter(exporter)
    commands = TracedProcess(PROCESS, tracing, "x.").changes(recorded(RequestTriaged, SAMPLED))
    (span,) = spans_of(exporter, tracing)
    assert span.name == "process x.agentmesh.requests.events.v1"
    assert span.attributes["messaging.destination.name"] == "x.agentmesh.requests.events.v1"
    assert span.attributes["messaging.consumer.group.name"] == "x.agentmesh.requests-process"
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert {metadata.traceparent for _, metadata in commands} == {f"00-{TRACE}-{span.context.span_id:016x}-01"}


def test_an_event_that_leads_to_nothing_has_no_span() -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing.to_exporter(exporter)
    assert TracedProcess(PROCESS, tracing).changes(recorded(RequestUpdated, SAMPLED)) == []
    assert spans_of(exporter, tracing) == []


@pytest.mark.parametrize("tracing", [Tracing(), Tracing.to_exporter(InMemorySpanExporter())])
@pytest.mark.parametrize("traceparent", [None, f"00-{TRACE}-{PARENT}-00"])
def test_what_is_not_traced_leads_to_the_same_commands(tracing: Tracing, traceparent: str | None) -> None:
    event = recorded(RequestCreated, traceparent)
    plain, traced = PROCESS.changes(event), TracedProcess(PROCESS, tracing).changes(event)
    tracing.shutdown(5)
    assert [command for command, _ in traced] == [command for command, _ in plain]
    assert [metadata.message_id for _, metadata in traced] == [metadata.message_id for _, metadata in plain]
