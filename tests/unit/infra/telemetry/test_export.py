"""Spans reach a collector as real OTLP; a collector that is away costs one warning and no time."""

import http.server
import logging
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from infra.telemetry.export import BATCH_SPANS, QUEUE_SPANS, CalmExporter, traces_url
from infra.telemetry.scrub import Scrubber, known_secrets
from infra.telemetry.tracing import Tracing


class Collector:
    """An OTLP collector over HTTP that keeps what it was sent; `delay` makes it a slow one."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        self.headers: dict[str, str] = {}
        self.status = 200
        self.delay = threading.Event()
        self.delay.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.headers = {name.lower(): value for name, value in self.headers.items()}
                collector.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
                collector.delay.wait(30)
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.delay.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def tracing_to(endpoint: str) -> Tracing:
    return Tracing.start("agentmesh-requests", version="1.0.0", environment="test", endpoint=endpoint)


def test_spans_reach_a_collector_as_otlp_with_the_resource_of_the_worker(collector: Collector) -> None:
    tracing = tracing_to(collector.url)
    with tracing.batch_span("process", "some.topic", links=[f"00-{5:032x}-{6:016x}-01"]):
        pass
    tracing.shutdown(5)
    ((path, request),) = collector.requests
    assert path == "/v1/traces"
    (resource_spans,) = request.resource_spans
    resource = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
    expected = {
        "service.name": "agentmesh-requests", "service.namespace": "agentmesh", "service.version": "1.0.0",
        "deployment.environment.name": "test",
    }  # fmt: skip
    assert expected.items() <= resource.items()
    assert resource["service.instance.id"]
    (span,) = resource_spans.scope_spans[0].spans
    assert span.name == "process some.topic"
    assert span.links[0].trace_id == (5).to_bytes(16)


@pytest.mark.parametrize(
    ("endpoint", "jaeger", "url"),
    [
        ("http://collector:4318", None, "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "jaeger", "http://collector:4318/v1/traces"),
        ("http://collector/v1/traces", None, "http://collector/v1/traces"),
        (None, "jaeger", "http://jaeger:4318/v1/traces"),
        (None, None, None),
        ("", "", None),
    ],
)
def test_the_endpoint_wins_over_jaegers_host_and_neither_means_off(endpoint: str | None, jaeger: str | None, url: str | None) -> None:
    assert traces_url(endpoint, jaeger) == url


def test_without_an_endpoint_tracing_is_off() -> None:
    assert not Tracing.start("s", version="1", environment="test", endpoint=None, jaeger_host=None).enabled


# An export in vain takes three seconds and more; what takes less did not wait for one, on a busy machine too.
SOONER = 2.5


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_dead_endpoint_harms_no_work_and_does_not_delay_the_end(caplog: pytest.LogCaptureFixture) -> None:
    tracing = tracing_to(f"http://127.0.0.1:{unused_port()}")
    started = time.perf_counter()
    for _ in range(200):
        with tracing.traced_operation("work"):
            pass
    tracing.shutdown(0.2)
    assert time.perf_counter() - started < SOONER, "neither the work nor the end waits for an export"
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_a_collector_that_hangs_does_not_delay_the_end(collector: Collector) -> None:
    collector.delay.clear()
    tracing = tracing_to(collector.url)
    with tracing.traced_operation("work"):
        pass
    started = time.perf_counter()
    tracing.shutdown(0.2)
    assert time.perf_counter() - started < SOONER


def test_a_collector_that_refuses_is_a_warning_at_most(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    collector.status = 400
    tracing = tracing_to(collector.url)
    with tracing.traced_operation("work"):
        pass
    tracing.shutdown(5)
    (record,) = [record for record in caplog.records if record.name.startswith(("infra", "opentelemetry"))]
    assert record.levelno == logging.WARNING
    assert "400" in record.getMessage()


class Scripted(SpanExporter):
    """Answers what the test says."""

    def __init__(self, *answers: SpanExportResult | Exception) -> None:
        self.answers = list(answers)
        self.exported = 0
        self.shut_down = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.exported += len(spans)
        return answer

    def shutdown(self) -> None:
        self.shut_down += 1


def test_after_a_failure_spans_are_dropped_in_silence_until_the_collector_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = [0.0]
    inner = Scripted(RuntimeError("odd transport"), SpanExportResult.SUCCESS)
    calm = CalmExporter(inner, cool_down=30, clock=lambda: now[0])
    span = ReadableSpan("s")
    assert calm.export([span]) is SpanExportResult.FAILURE
    now[0] = 29.9
    assert calm.export([span, span]) is SpanExportResult.FAILURE
    assert len(inner.answers) == 1
    now[0] = 30.0
    assert calm.export([span]) is SpanExportResult.SUCCESS
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "RuntimeError: odd transport" in caplog.messages[0]
    assert calm.dropped == 3


def test_a_closed_exporter_drops_what_comes_and_closes_once() -> None:
    inner = Scripted()
    calm = CalmExporter(inner)
    calm.shutdown()
    calm.shutdown()
    assert calm.export([ReadableSpan("s")]) is SpanExportResult.FAILURE
    assert (inner.shut_down, calm.dropped) == (1, 1)
    assert calm.force_flush()


def test_a_collector_that_is_away_is_counted_and_so_is_a_full_queue(collector: Collector) -> None:
    lost: list[int] = []
    collector.status = 400
    tracing = Tracing.start("agentmesh-x", version="1", environment="test", endpoint=collector.url, dropped=lost.append)
    collector.delay.clear()
    made = QUEUE_SPANS + BATCH_SPANS + 10
    for _ in range(made):
        with tracing.traced_operation("work"):
            pass
    overflow = sum(lost)
    assert 0 < overflow <= BATCH_SPANS + 10, "what came while the queue was full"
    collector.delay.set()
    tracing.shutdown(10)
    assert sum(lost) == made, "all of them: the collector refused one batch, and was left alone"


def test_headers_of_the_setting_go_along(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret,x-scope=mesh")
    tracing = tracing_to(collector.url)
    with tracing.traced_operation("work"):
        pass
    tracing.shutdown(5)
    assert (collector.headers["authorization"], collector.headers["x-scope"]) == ("Bearer secret", "mesh")


def test_a_name_that_the_conventions_replaced_does_not_leave_the_process(collector: Collector) -> None:
    tracing = tracing_to(collector.url)
    with tracing.traced_operation("chat", {"gen_ai.system": "openai", "gen_ai.provider.name": "openai"}):
        pass
    tracing.shutdown(5)
    ((_, request),) = collector.requests
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert [item.key for item in span.attributes] == ["gen_ai.provider.name"]
    assert span.status.code == span.status.STATUS_CODE_OK
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


def test_the_words_of_an_exception_leave_the_process_without_secrets_and_personal_data(collector: Collector) -> None:
    scrubber = Scrubber(known_secrets(["known-by-heart"]))
    tracing = Tracing.start("agentmesh-x", version="1", environment="test", endpoint=collector.url, scrubber=scrubber)
    with pytest.raises(ValueError, match="hunter2"), tracing.traced_operation("work"):
        raise ValueError("password=hunter2 of ann@example.org is not known-by-heart \udc80")
    tracing.shutdown(5)
    ((_, request),) = collector.requests
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert span.status.message == "password=[secret] of [email] is not [secret] \\udc80"
    (event,) = span.events
    told = {item.key: item.value.string_value for item in event.attributes}
    assert (told["exception.type"], told["exception.message"]) == ("ValueError", span.status.message)
    assert "test_export.py" in told["exception.stacktrace"]
    assert event.time_unix_nano >= span.start_time_unix_nano
    assert not any(hidden in str(request) for hidden in ("hunter2", "ann@example.org", "by-heart"))
