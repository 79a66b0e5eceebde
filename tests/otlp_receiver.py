"""An OTLP collector over HTTP with protobuf that keeps the spans it is sent, and shows them as trees; used by tests of traces."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

KINDS = {trace_pb2.Span.SPAN_KIND_SERVER: "server", trace_pb2.Span.SPAN_KIND_CLIENT: "client"}


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came over the wire; ids are lower-case hex, times are seconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first span of a trace."""
    name: str
    service: str
    began: float
    ended: float
    kind: int
    error: bool
    said: str
    """What its status says."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()
    """Trace id and span id of each."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


class OtlpReceiver:
    """The server. `status` is what it answers, `headers` what the last call came with."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.calls = 0
        self._spans: list[ReceivedSpan] = []
        self._lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        serving = {"poll_interval": 0.05}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs=serving, name="otlp receiver", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[ReceivedSpan]:
        """All that have come so far."""
        with self._lock:
            return list(self._spans)

    def take(self, body: bytes) -> None:
        """One call's spans."""
        spans = list(decoded(body))
        with self._lock:
            self.calls += 1
            self._spans += spans

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.headers = {name.lower(): value for name, value in self.headers.items()}
                known = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
                status = receiver.status if known else 404
                if status == 200:
                    receiver.take(_inflated(body, self.headers.get("content-encoding", "")))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        return Handler


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """A receiver for a block."""
    receiver = OtlpReceiver()
    try:
        yield receiver
    finally:
        receiver.close()


def _inflated(body: bytes, encoding: str) -> bytes:
    import gzip

    return gzip.decompress(body) if encoding == "gzip" else body


def count_of(body: bytes) -> int:
    """How many spans an export has."""
    return sum(len(scope.spans) for found in ExportTraceServiceRequest.FromString(body).resource_spans for scope in found.scope_spans)


def decoded(body: bytes) -> Iterator[ReceivedSpan]:
    """The spans of one export."""
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {item.key: _value(item.value) for item in of_resource.resource.attributes}
        for scope in of_resource.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    name=span.name,
                    service=str(resource.get("service.name", "")),
                    began=span.start_time_unix_nano / 1e9,
                    ended=span.end_time_unix_nano / 1e9,
                    kind=span.kind,
                    error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    said=span.status.message,
                    attributes={item.key: _value(item.value) for item in span.attributes},
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(each) for each in value.array_value.values)
    return None if kind is None else getattr(value, kind)


def tree(spans: Iterable[ReceivedSpan], trace_id: str) -> str:
    """One trace as text: a line a span, children below their parents, with milliseconds since the first span began and how long it took."""
    mine = sorted((span for span in spans if span.trace_id == trace_id), key=lambda span: (span.began, span.ended))
    if not mine:
        return ""
    known = {span.span_id for span in mine}
    children: dict[str, list[ReceivedSpan]] = {}
    for span in mine:
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    start = mine[0].began
    lines = [f"trace {trace_id}: {len(mine)} spans"]

    def show(parent: str, depth: int) -> None:
        for span in children.get(parent, ()):
            linked = "".join(f"  ~> {trace}" for trace, _ in span.links if trace != trace_id)
            failed = f"  ! {span.attributes.get('error.type', 'error')}" if span.error else ""
            times = f"{(span.began - start) * 1000:8.0f} {span.seconds * 1000:8.1f} ms"
            lines.append(f"{times}  {'  ' * depth}{span.name} [{span.service}]{_shown(span)}{failed}{linked}")
            show(span.span_id, depth + 1)

    show("", 0)
    return "\n".join(lines)


def _shown(span: ReceivedSpan) -> str:
    names = ("cloudevents.event_type", "agentmesh.task.attempt", "http.response.status_code")
    found = [str(span.attributes[name]) for name in names if name in span.attributes]
    short = [text.split(".")[2] if text.count(".") == 3 else text for text in found]
    return f" {' '.join(short)}" if short else ""
