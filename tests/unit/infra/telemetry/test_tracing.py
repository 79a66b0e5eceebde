"""Spans of batches, messages and operations, as a collector gets them."""

import asyncio
import re
from collections.abc import Iterator
from math import inf
from time import time_ns
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode

from infra.telemetry import names
from infra.telemetry.root_sampler import Allowance
from infra.telemetry.spans import without_span
from infra.telemetry.traceparent import parse_traceparent
from infra.telemetry.tracing import MAX_LINKS, Tracing, child_traceparent
from tests.trace_checker import replaced_names

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
DEPRECATED = {
    "messaging.operation", "messaging.kafka.consumer.group", "messaging.kafka.destination.partition",
    "messaging.kafka.message.offset", "messaging.message.payload_size_bytes",
}  # fmt: skip


class Collected:
    """Tracing into memory, and what it exported."""

    def __init__(self, sample_ratio: float = 1.0, foreign_per_second: float = inf) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = Tracing.to_exporter(self._exporter, sample_ratio=sample_ratio, foreign_per_second=foreign_per_second)

    def spans(self) -> list[ReadableSpan]:
        self.tracing.shutdown(5)
        return list(self._exporter.get_finished_spans())

    def span(self) -> ReadableSpan:
        (span,) = self.spans()
        return span


@pytest.fixture
def collected() -> Iterator[Collected]:
    found = Collected()
    yield found
    found.tracing.shutdown(5)


def message(traceparent: str | None, source: str = "unknown", subject: str = "req-1") -> Any:
    return SimpleNamespace(
        message_id="m-1",
        type_name="agentmesh.requests.CreateRequest.v1",
        source=source,
        subject=subject,
        correlation_id="c-1",
        traceparent=traceparent,
    )


def follow_up(tracing: Tracing, traceparent: str | None, first: str | None = None, **rules: bool) -> str | None:
    """What follows from a message of a batch of its own."""
    with tracing.message_spans("process", "t") as spans:
        return spans.traceparent(message(traceparent), first, **rules)


@pytest.mark.parametrize(
    ("operation", "kind", "kind_of_operation"),
    [("send", SpanKind.PRODUCER, "send"), ("poll", SpanKind.CLIENT, "receive"),
     ("process", SpanKind.CONSUMER, "process"), ("commit", SpanKind.CLIENT, "settle")],
)  # fmt: skip
def test_a_batch_is_one_span_named_by_the_conventions(collected: Collected, operation: str, kind: SpanKind, kind_of_operation: str) -> None:
    with collected.tracing.batch_span(operation, "some.topic", attributes={names.MESSAGING_BATCH_MESSAGE_COUNT: 500}):
        pass
    span = collected.span()
    assert (span.name, span.kind) == (f"{operation} some.topic", kind)
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka", "messaging.operation.name": operation, "messaging.operation.type": kind_of_operation,
        "messaging.destination.name": "some.topic", "messaging.batch.message_count": 500,
    }  # fmt: skip
    assert span.status.status_code is StatusCode.UNSET


def test_a_batch_of_several_topics_is_named_by_whose_it_is_and_has_no_destination(collected: Collected) -> None:
    with collected.tracing.batch_span("send", None, name="send requests"):
        pass
    span = collected.span()
    assert (span.name, span.kind) == ("send requests", SpanKind.PRODUCER)
    assert "messaging.destination.name" not in (span.attributes or {})


def test_a_batch_links_to_at_most_32_of_its_messages_that_are_recorded(collected: Collected) -> None:
    headers = [None, "garbage", *[UNSAMPLED] * MAX_LINKS, *map(asked, range(1, 100))]
    with collected.tracing.batch_span("process", "t", links=headers):
        pass
    links = collected.span().links
    assert [link.context.trace_id for link in links] == list(range(1, MAX_LINKS + 1))


def test_a_message_continues_the_trace_of_its_header(collected: Collected) -> None:
    with collected.tracing.message_span("process", "t", SAMPLED, {names.MESSAGING_MESSAGE_ID: "m"}) as span:
        header = child_traceparent(span, SAMPLED)
    done = collected.span()
    assert f"{done.context.trace_id:032x}" == TRACE
    assert done.parent is not None
    assert f"{done.parent.span_id:016x}" == SPAN
    assert done.parent.is_remote
    parsed = parse_traceparent(header)
    assert parsed is not None
    assert (parsed.trace_id, parsed.span_id) == (TRACE, f"{done.context.span_id:016x}")
    assert parsed.sampled


def test_a_message_whose_sender_did_not_sample_costs_nothing_and_keeps_its_header(collected: Collected) -> None:
    with collected.tracing.message_span("process", "t", UNSAMPLED) as span:
        assert span is INVALID_SPAN
        assert child_traceparent(span, UNSAMPLED) == UNSAMPLED
    assert follow_up(collected.tracing, UNSAMPLED) == UNSAMPLED
    assert collected.spans() == []


def test_a_message_without_a_header_continues_the_running_span(collected: Collected) -> None:
    with collected.tracing.batch_span("process", "t"), collected.tracing.message_span("process", "t", None, name="triage"):
        pass
    inner, outer = collected.spans()
    assert inner.name == "triage"
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id


def test_what_follows_from_a_message_hangs_on_a_span_of_its_own(collected: Collected) -> None:
    header = parse_traceparent(follow_up(collected.tracing, SAMPLED))
    span = collected.span()
    assert header is not None
    assert (header.trace_id, header.span_id) == (TRACE, f"{span.context.span_id:016x}")
    assert (span.attributes or {})["messaging.message.conversation_id"] == "c-1"


def test_each_message_without_a_header_starts_its_own_trace(collected: Collected) -> None:
    with collected.tracing.batch_span("process", "t"):
        headers = {follow_up(collected.tracing, None) for _ in range(3)}
    parsed = [parse_traceparent(header) for header in headers]
    assert len({header.trace_id for header in parsed if header}) == 3


def test_an_unsampled_new_trace_says_so_to_those_that_follow() -> None:
    collected = Collected(sample_ratio=0.0)
    header = parse_traceparent(follow_up(collected.tracing, None))
    assert header is not None
    assert not header.sampled
    with collected.tracing.batch_span("process", "t"), collected.tracing.traced_operation("x"):
        pass
    assert collected.spans() == []


def test_the_sampler_keeps_what_a_sender_sampled_whatever_the_ratio() -> None:
    collected = Collected(sample_ratio=0.0)
    with collected.tracing.message_span("process", "t", SAMPLED):
        pass
    assert f"{collected.span().context.trace_id:032x}" == TRACE


OTHER = f"00-{'c' * 32}-{'d' * 16}-01"
OTHER_UNSAMPLED = OTHER[:-1] + "0"


def test_a_message_has_one_span_from_the_begin_of_its_batch_to_its_end(collected: Collected) -> None:
    with collected.tracing.message_spans("process", "t", {names.MESSAGING_CONSUMER_GROUP_NAME: "g"}) as spans:
        began = time_ns()
        first, again = (spans.traceparent(message(SAMPLED)) for _ in range(2))
        assert first == again
    span = collected.span()
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= began <= span.end_time
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "t",
        "messaging.consumer.group.name": "g",
        "messaging.message.id": "m-1",
        "messaging.message.conversation_id": "c-1",
        "cloudevents.event_type": "agentmesh.requests.CreateRequest.v1",
        "cloudevents.event_subject": "req-1",
    }


def test_spans_of_a_batch_that_breaks_off_end_too_and_say_so(collected: Collected) -> None:
    def breaks_off() -> None:
        with collected.tracing.message_spans("process", "t") as spans:
            spans.traceparent(message(SAMPLED))
            raise KeyError

    with pytest.raises(KeyError):
        breaks_off()
    span = collected.span()
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert span.status.status_code is StatusCode.ERROR


def test_commands_of_one_id_for_two_aggregates_have_a_span_each(collected: Collected) -> None:
    with collected.tracing.message_spans("process", "t") as spans:
        headers = [spans.traceparent(message(traceparent, subject=subject)) for traceparent, subject in ((SAMPLED, "a"), (OTHER, "b"))]
    assert [header and header[3:35] for header in headers] == [TRACE, "c" * 32]
    assert [(span.attributes or {})["cloudevents.event_subject"] for span in collected.spans()] == ["a", "b"]


def test_a_message_in_another_trace_is_linked_to_that_of_its_aggregate(collected: Collected) -> None:
    header = follow_up(collected.tracing, OTHER, SAMPLED)
    span = collected.span()
    assert f"{span.context.trace_id:032x}" == "c" * 32
    assert [(f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") for link in span.links] == [(TRACE, SPAN)]
    assert header is not None
    assert header.startswith("00-" + "c" * 32)


@pytest.mark.parametrize("first", [None, UNSAMPLED, SAMPLED])
def test_no_link_leads_into_the_own_trace_or_to_one_that_is_not_recorded(collected: Collected, first: str | None) -> None:
    follow_up(collected.tracing, SAMPLED, first)
    assert collected.span().links == ()


@pytest.mark.parametrize("incoming", [None, OTHER_UNSAMPLED])
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_what_comes_later_is_recorded_where_the_first_trace_was(incoming: str | None, ratio: float) -> None:
    collected = Collected(ratio)
    header = parse_traceparent(follow_up(collected.tracing, incoming, SAMPLED, wholly=True))
    span = collected.span()
    assert header is not None
    assert header.sampled
    assert header.trace_id not in (TRACE, "c" * 32), "a trace of its own"
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACE]


def test_without_that_rule_an_unsampled_message_stays_unsampled(collected: Collected) -> None:
    assert follow_up(collected.tracing, OTHER_UNSAMPLED, SAMPLED) == OTHER_UNSAMPLED
    assert follow_up(collected.tracing, OTHER_UNSAMPLED, UNSAMPLED, wholly=True) == OTHER_UNSAMPLED
    assert collected.spans() == []


def test_a_message_without_a_trace_may_go_on_in_its_aggregates(collected: Collected) -> None:
    header = parse_traceparent(follow_up(collected.tracing, None, SAMPLED, goes_on=True))
    span = collected.span()
    assert header is not None
    assert header.trace_id == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == SPAN
    assert span.links == ()


def test_it_goes_on_in_one_that_is_not_recorded_as_well_and_one_with_a_trace_keeps_it(collected: Collected) -> None:
    assert follow_up(collected.tracing, None, UNSAMPLED, goes_on=True) == UNSAMPLED
    header = follow_up(collected.tracing, OTHER, SAMPLED, goes_on=True)
    assert header is not None
    assert header[3:35] == "c" * 32


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0, 0, 0), (1.0, 2_000, 2_000), (0.25, 350, 650)])
def test_a_share_of_new_traces_is_recorded(ratio: float, least: int, most: int) -> None:
    collected = Collected(ratio)
    parsed = [parse_traceparent(follow_up(collected.tracing, None)) for _ in range(2_000)]
    assert least <= sum(header is not None and header.sampled for header in parsed) <= most
    assert len({header.trace_id for header in parsed if header}) == 2_000
    assert least <= len(collected.spans()) <= most


def asked(number: int) -> str:
    """The header of a sender that samples everything."""
    return f"00-{number:032x}-{SPAN}-01"


def test_what_foreign_senders_sampled_is_recorded_as_far_as_the_allowance_reaches() -> None:
    collected = Collected(0.0, foreign_per_second=2)
    headers = []
    with collected.tracing.message_spans("process", "t") as spans:
        for number in range(1, 7):
            headers.append(parse_traceparent(spans.traceparent(message(asked(number), subject=f"req-{number}"))))
    assert [header and header.trace_id for header in headers] == [f"{number:032x}" for number in range(1, 7)]
    assert [header and header.sampled for header in headers] == [True, True, False, False, False, False]
    assert all(header is not None and header.span_id != SPAN for header in headers), "who changes the flag is the next in the trace"
    assert len(collected.spans()) == 2


def test_what_the_mesh_sends_and_what_goes_on_in_a_recorded_request_needs_no_allowance() -> None:
    collected = Collected(0.0, foreign_per_second=0)
    with collected.tracing.message_spans("process", "t") as spans:
        own = spans.traceparent(message(asked(1), source="/agentmesh/gateway", subject="a"))
        later = spans.traceparent(message(SAMPLED, subject="b"), SAMPLED, wholly=True)
        apart = parse_traceparent(spans.traceparent(message(asked(2), subject="c"), SAMPLED, wholly=True))
        refused = spans.traceparent(message(asked(3), subject="d"), SAMPLED)
    assert own is not None
    assert own.startswith(asked(1)[:35])
    assert later is not None
    assert later.startswith(SAMPLED[:35])
    assert apart is not None
    assert apart.sampled
    assert apart.trace_id != f"{2:032x}", "the request's change is recorded, in a trace of its own"
    assert refused is not None
    assert refused.endswith("-00")
    assert len(collected.spans()) == 3


def test_each_second_has_an_allowance_of_its_own() -> None:
    now = [10.0]
    allowance = Allowance(2, lambda: now[0])
    assert [allowance.grants_one() for _ in range(3)] == [True, True, False]
    now[0] = 10.9
    assert not allowance.grants_one()
    now[0] = 11.0
    assert [allowance.grants_one() for _ in range(3)] == [True, True, False]
    assert not Allowance(0).grants_one()


def test_libraries_make_spans_below_a_running_one_only(collected: Collected) -> None:
    provider = collected.tracing.provider
    assert provider is not None
    tracer = provider.get_tracer("library", "1")
    with tracer.start_as_current_span("alone") as alone, tracer.start_as_current_span("below nothing"):
        assert alone is INVALID_SPAN
    assert tracer.start_span("alone") is INVALID_SPAN
    with collected.tracing.traced_operation("work") as work, tracer.start_as_current_span("below"):
        tracer.start_span("deeper").end()
    with trace.use_span(work):
        assert tracer.start_span("too late") is INVALID_SPAN
    assert [span.name for span in collected.spans()] == ["deeper", "below", "work"]


async def test_a_task_for_many_begins_without_the_span_of_who_began_it(collected: Collected) -> None:
    async def running() -> trace.Span:
        return trace.get_current_span()

    with collected.tracing.traced_operation("work") as work:
        assert await asyncio.create_task(running()) is work
        assert await asyncio.create_task(running(), context=without_span()) is INVALID_SPAN


def test_a_traced_operation_that_succeeds_is_ok_with_attributes_as_text(collected: Collected) -> None:
    with collected.tracing.traced_operation("route_message", {"tenant": "acme", "attempt": 3, "values": [1, 2]}) as span:
        assert trace.get_current_span() is span
    done = collected.span()
    assert (done.name, done.status.status_code) == ("route_message", StatusCode.OK)
    assert dict(done.attributes or {}) == {"tenant": "acme", "attempt": "3", "values": "[1, 2]"}


def test_a_traced_operation_that_fails_is_an_error_and_the_exception_goes_on(collected: Collected) -> None:
    with pytest.raises(ValueError, match="broken"), collected.tracing.traced_operation("route_message"):
        raise ValueError("broken")
    done = collected.span()
    assert (done.status.status_code, done.status.description) == (StatusCode.ERROR, "broken")
    assert [event.name for event in done.events] == ["exception"]
    assert (done.events[0].attributes or {})["exception.type"] == "ValueError"
    assert (done.attributes or {})["error.type"] == "ValueError"
    assert trace.get_current_span() is INVALID_SPAN


def test_a_failing_batch_is_an_error_too(collected: Collected) -> None:
    with pytest.raises(KeyError), collected.tracing.batch_span("process", "t"):
        raise KeyError
    assert collected.span().status.description == "KeyError"


def test_tracing_that_is_off_does_nothing_and_hands_headers_on() -> None:
    tracing = Tracing()
    assert not tracing.enabled
    blocks = [
        tracing.batch_span("process", "t", links=[SAMPLED]),
        tracing.message_span("process", "t", SAMPLED),
        tracing.traced_operation("x", {"a": 1}),
    ]
    assert len({id(block) for block in blocks}) == 1
    with blocks[0] as span:
        assert not span.is_recording()
        assert child_traceparent(span) is None
        span.set_attribute("a", 1)
    assert follow_up(tracing, SAMPLED) == SAMPLED
    assert follow_up(tracing, None) is None
    tracing.shutdown(1)


def test_an_exception_passes_a_span_that_is_off() -> None:
    with pytest.raises(KeyError), Tracing().traced_operation("x"):
        raise KeyError


def test_no_deprecated_attribute_name_is_known() -> None:
    spelled = {value for value in vars(names).values() if isinstance(value, str)}
    assert not DEPRECATED & spelled


def test_attribute_names_are_those_of_the_conventions_package() -> None:
    from opentelemetry.semconv._incubating.attributes import (
        cloudevents_attributes,
        db_attributes,
        deployment_attributes,
        gen_ai_attributes,
        messaging_attributes,
        service_attributes,
    )
    from opentelemetry.semconv.attributes import error_attributes, http_attributes, url_attributes

    modules = (
        messaging_attributes, service_attributes, deployment_attributes, error_attributes,
        cloudevents_attributes, gen_ai_attributes, db_attributes, http_attributes, url_attributes,
    )  # fmt: skip
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    spelled = (value for value in vars(names).values() if isinstance(value, str))
    kinds = r"(messaging|service|deployment|error|cloudevents|gen_ai|http|url|db)\."
    ours = {value for value in spelled if re.match(kinds, value)}
    assert ours
    assert ours <= known
    assert not ours & replaced_names()


def test_values_of_attributes_are_those_of_the_conventions_package() -> None:
    from opentelemetry.semconv._incubating.attributes import db_attributes, gen_ai_attributes, messaging_attributes

    assert messaging_attributes.MessagingSystemValues.KAFKA.value == names.MESSAGING_SYSTEM_KAFKA
    assert db_attributes.DbSystemNameValues.POSTGRESQL.value == names.DB_SYSTEM_POSTGRESQL
    assert gen_ai_attributes.GenAiOperationNameValues.INVOKE_AGENT.value == names.GEN_AI_INVOKE_AGENT
    types = {each.value for each in messaging_attributes.MessagingOperationTypeValues}
    assert set(names.OPERATION_TYPES.values()) <= types
