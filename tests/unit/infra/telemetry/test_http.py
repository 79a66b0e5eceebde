"""The server span around an HTTP application: its name and trace, what it does not tell, and its end."""

from __future__ import annotations

from collections.abc import MutableMapping
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from infra.telemetry.http import TracedHttp
from infra.telemetry.traceparent import parse_traceparent
from infra.telemetry.tracing import Tracing

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
KEY = "test.traceparent"
Message = MutableMapping[str, Any]


class Site:
    """An application behind the spans: routes to `/things/{id}`, answers as it is told."""

    def __init__(self, ratio: float = 1.0, foreign_per_second: float = inf) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing.to_exporter(self.exporter, sample_ratio=ratio, foreign_per_second=foreign_per_second)
        provider = self.tracing.server_provider
        assert provider is not None
        self.app = TracedHttp(self._answer, provider, key=KEY, untraced={"/health"})
        self.scopes: list[MutableMapping[str, Any]] = []
        self.status = 200
        self.kind = b"application/json"
        self.error: Exception | None = None
        self.streaming = trace.INVALID_SPAN

    async def _answer(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if self.error is not None:
            raise self.error
        if scope["path"].startswith("/things/"):
            scope["route"] = SimpleNamespace(path="/things/{id}")
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-type", self.kind)]})
        self.streaming = trace.get_current_span()
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async def call(self, path: str, method: str = "GET", query: bytes = b"", **headers: str) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request"}

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": raw, "server": ("gateway", 80)}
        await self.app({**scope, "scheme": "http", "http_version": "1.1", "client": ("10.0.0.1", 1)}, receive, send)
        return sent

    def spans(self) -> list[Any]:
        self.tracing.shutdown(5)
        return list(self.exporter.get_finished_spans())


async def test_a_call_is_named_by_its_route_and_goes_on_in_the_callers_trace() -> None:
    site = Site(ratio=0.0)
    sent = await site.call("/things/7", "POST", traceparent=f"00-{TRACE}-{PARENT}-01")
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body", "http.response.body"]
    (span,) = site.spans()
    assert (span.name, span.kind, span.attributes["http.route"]) == ("POST /things/{id}", SpanKind.SERVER, "/things/{id}")
    assert (span.attributes["http.request.method"], span.attributes["http.response.status_code"]) == ("POST", 200)
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert site.scopes[0][KEY] == f"00-{TRACE}-{span.context.span_id:016x}-01"


@pytest.mark.parametrize(("method", "name"), [("GET", "GET"), ("BREW", "HTTP")])
async def test_a_call_without_a_route_is_named_by_its_method_alone(method: str, name: str) -> None:
    site = Site()
    await site.call("/nowhere/4711", method)
    (span,) = site.spans()
    assert span.name == name
    assert "http.route" not in span.attributes


async def test_what_is_looked_for_is_not_told() -> None:
    site = Site()
    await site.call("/things/7", query=b"status=open&customer_id=cust-0042&q=ann%40example.org&empty=")
    (span,) = site.spans()
    assert span.attributes["url.query"] == "status=?&customer_id=?&q=?&empty=?"
    assert "ann" not in str(dict(span.attributes))


async def test_paths_that_are_not_traced_and_traces_that_are_not_sampled_have_no_span() -> None:
    site = Site(ratio=0.0)
    await site.call("/health", traceparent=f"00-{TRACE}-{PARENT}-01")
    await site.call("/things/7")
    await site.call("/things/8", traceparent=f"00-{TRACE}-{PARENT}-00")
    assert site.spans() == []
    assert KEY not in site.scopes[0]
    decided = [parse_traceparent(scope[KEY]) for scope in site.scopes[1:]]
    assert [header is not None and header.sampled for header in decided] == [False, False]
    assert decided[1] is not None
    assert decided[1].trace_id == TRACE


async def test_callers_that_sample_everything_are_recorded_as_far_as_the_allowance_reaches() -> None:
    site = Site(ratio=0.0, foreign_per_second=1)
    for number in range(1, 4):
        await site.call("/things/7", traceparent=f"00-{number:032x}-{PARENT}-01")
    decided = [parse_traceparent(scope[KEY]) for scope in site.scopes]
    assert [header and (header.trace_id, header.sampled) for header in decided] == [
        (f"{number:032x}", number == 1) for number in range(1, 4)
    ]
    assert len(site.spans()) == 1


async def test_the_span_of_a_stream_ends_when_the_stream_begins(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.kind = b"text/event-stream; charset=utf-8"
    sent = await site.call("/things/7")
    assert len(sent) == 3
    assert site.streaming is trace.INVALID_SPAN, "what the stream reads belongs to no trace"
    (span,) = site.spans()
    assert span.attributes["http.response.status_code"] == 200
    assert caplog.records == [], "and nobody tries to end it again"


async def test_an_answer_that_is_our_fault_is_an_error_of_the_span() -> None:
    site = Site()
    site.status = 503
    await site.call("/things/7")
    site.status = 404
    await site.call("/things/8")
    assert [span.status.status_code for span in site.spans()] == [StatusCode.ERROR, StatusCode.UNSET]


async def test_what_an_application_raises_goes_on_and_is_told() -> None:
    site = Site()
    site.error = RuntimeError("no idea")
    with pytest.raises(RuntimeError, match="no idea"):
        await site.call("/things/7")
    (span,) = site.spans()
    assert (span.status.status_code, [event.name for event in span.events]) == (StatusCode.ERROR, ["exception"])
