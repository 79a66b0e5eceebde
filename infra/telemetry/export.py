"""Carries ended spans to an OTLP collector from a background thread; started by tracing, never felt by traced work."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Status

from infra.telemetry import names
from infra.telemetry.root_sampler import Allowance
from infra.telemetry.scrub import Scrubber

logger = logging.getLogger(__name__)

OTLP_HTTP_PORT = 4318
TRACES_PATH = "/v1/traces"
EXPORT_SECONDS = 5.0
# After a failed export the collector is left alone for this long and spans are dropped, so that no queue builds up behind it.
COOL_DOWN_SECONDS = 30.0
QUEUE_SPANS = 8_192
BATCH_SPANS = 512
BATCH_MILLISECONDS = 1_000
# pydantic-ai tells the provider under this name too, which the conventions have replaced by gen_ai.provider.name.
REPLACED = "gen_ai.system"


def traces_url(endpoint: str | None, jaeger_host: str | None) -> str | None:
    """Where to post spans: the OTLP endpoint, else the OTLP port of Jaeger's host (its agent port speaks thrift), else None."""
    if endpoint:
        base = endpoint.rstrip("/")
        return base if base.endswith(TRACES_PATH) else base + TRACES_PATH
    return f"http://{jaeger_host}:{OTLP_HTTP_PORT}{TRACES_PATH}" if jaeger_host else None


class CalmExporter(SpanExporter):
    """Wraps an exporter so that its failures cost nothing: one warning, then silence and dropped spans for a while (OBS-09)."""

    def __init__(
        self,
        inner: SpanExporter,
        cool_down: float = COOL_DOWN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        reason: _LastWords | None = None,
        told: Callable[[int], None] | None = None,
    ) -> None:
        self._inner = inner
        self._cool_down = cool_down
        self._clock = clock
        self._reason = reason or _LastWords()
        self._quiet_until: float | None = None
        self._closed = False
        self._told = told
        self.dropped = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, or drop while the collector is known to be away."""
        now = self._clock()
        if self._closed or (self._quiet_until is not None and now < self._quiet_until):
            self._drop(len(spans))
            return SpanExportResult.FAILURE
        try:
            result = self._inner.export(spans)
        except Exception as error:  # whatever a transport raises, spans are worth less than work
            self._reason.text = f"{type(error).__name__}: {error}"
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._recovered()
            return result
        self._drop(len(spans))
        self._quiet_until = self._clock() + self._cool_down
        logger.warning("spans are not exported, %d dropped, next try in %.0f s: %s", self.dropped, self._cool_down, self._reason.text)
        return result

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self._told is not None:
            self._told(count)

    def _recovered(self) -> None:
        if self._quiet_until is not None:
            self._quiet_until = None
            logger.info("spans are exported again, %d were dropped", self.dropped)

    def shutdown(self) -> None:
        """Stop at once: what is still queued is dropped, a wait between retries ends."""
        if not self._closed:
            self._closed = True
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held here."""
        return True


class _LastWords(logging.Filter):
    """Keeps the SDK exporter's own lines (several, and an error, for each failed export); CalmExporter says it once instead."""

    def __init__(self) -> None:
        super().__init__()
        self.text = "no reason given"

    def filter(self, record: logging.LogRecord) -> bool:
        self.text = record.getMessage()
        return False


def otlp_exporter(url: str, dropped: Callable[[int], None] | None = None) -> SpanExporter:
    """An exporter to an OTLP collector over HTTP with protobuf. What OTEL_EXPORTER_OTLP_HEADERS says goes along with each call."""
    last_words = _LastWords()
    for name in (OTLPSpanExporter.__module__, "opentelemetry.exporter.otlp.common.http"):
        sdk_logger = logging.getLogger(name)
        sdk_logger.filters[:] = [kept for kept in sdk_logger.filters if not isinstance(kept, _LastWords)]
        sdk_logger.addFilter(last_words)
    return CalmExporter(OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS), reason=last_words, told=dropped)


class _AsCallersAsk(Sampler):
    """Records what callers have sampled, as far as the allowance reaches."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance

    def should_sample(self, *args: Any, **options: Any) -> SamplingResult:
        """As ALWAYS_ON, or as ALWAYS_OFF."""
        return (ALWAYS_ON if self._allowance.grants_one() else ALWAYS_OFF).should_sample(*args, **options)

    def get_description(self) -> str:
        """For the SDK's own words."""
        return type(self).__name__


def server_sampler(ratio: float, foreign: Allowance) -> Sampler:
    """Samples new traces by the ratio, and follows what callers say of theirs."""
    return ParentBased(TraceIdRatioBased(ratio), remote_parent_sampled=_AsCallersAsk(foreign))


class Pipeline(NamedTuple):
    """Where spans are made, and what sends the last of them."""

    all: TracerProvider
    """Records whatever it is asked for."""
    sampled: TracerProvider
    """Samples new traces, and records in those of others what they record."""
    close: Callable[[float], None]


def span_pipeline(
    exporter: SpanExporter,
    service: str,
    version: str,
    environment: str,
    sampler: Sampler,
    max_links: int,
    dropped: Callable[[int], None] | None = None,
    scrubber: Scrubber | None = None,
) -> Pipeline:
    """The SDK's providers over one batch processor, and a function that closes it within some seconds."""
    resource = Resource.create(
        {
            names.RESOURCE_SERVICE_NAME: service,
            names.RESOURCE_SERVICE_NAMESPACE: names.SERVICE_NAMESPACE,
            names.RESOURCE_SERVICE_VERSION: version,
            names.RESOURCE_SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{os.getpid()}",
            names.RESOURCE_ENVIRONMENT: environment,
        }
    )
    processor = _CountingProcessor(_CleanExporter(exporter, scrubber or Scrubber()), dropped or _nobody)

    def provider(sampler: Sampler) -> TracerProvider:
        made = TracerProvider(
            sampler=sampler,
            resource=resource,
            span_limits=SpanLimits(max_links=max_links),
            shutdown_on_exit=False,  # the process closes it itself, within a limit
        )
        made.add_span_processor(processor)
        return made

    def close(seconds: float) -> None:
        # The SDK takes no limit here and would wait up to 30 s for a collector that is away.
        closing = threading.Thread(target=processor.shutdown, name="close-spans", daemon=True)
        closing.start()
        closing.join(seconds)
        if closing.is_alive():
            exporter.shutdown()

    return Pipeline(provider(ALWAYS_ON), provider(sampler), close)


class _CountingProcessor(BatchSpanProcessor):
    """The SDK's batch processor, which drops what comes while its queue is full; here that is counted."""

    def __init__(self, exporter: SpanExporter, dropped: Callable[[int], None]) -> None:
        super().__init__(
            exporter,
            max_queue_size=QUEUE_SPANS,
            schedule_delay_millis=BATCH_MILLISECONDS,
            max_export_batch_size=BATCH_SPANS,
            export_timeout_millis=EXPORT_SECONDS * 1000,
        )
        self._dropped = dropped

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span, or lose one."""
        if len(self._batch_processor._queue) >= QUEUE_SPANS:
            self._dropped(1)
        super().on_end(span)


class _CleanExporter(SpanExporter):
    """Takes out of spans what must not leave the process, in the thread that exports: secrets and personal data in the words of exceptions,
    and names that a library still gives beside those that have replaced them."""

    def __init__(self, inner: SpanExporter, scrubber: Scrubber) -> None:
        self._inner = inner
        self._scrubber = scrubber

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export them clean."""
        return self._inner.export([_clean(span, self._scrubber) for span in spans])

    def shutdown(self) -> None:
        """As the exporter's."""
        self._inner.shutdown()


def _clean(span: ReadableSpan, scrubber: Scrubber) -> ReadableSpan:
    attributes, status = span.attributes or {}, span.status
    if not span.events and not status.description and REPLACED not in attributes:
        return span
    return ReadableSpan(
        span.name,
        span.context,
        span.parent,
        span.resource,
        {name: value for name, value in attributes.items() if name != REPLACED},
        [_clean_event(event, scrubber) for event in span.events],
        span.links,
        span.kind,
        None,
        Status(status.status_code, _clean_words(status.description, scrubber)) if status.description else status,
        span.start_time,
        span.end_time,
        span.instrumentation_scope,
    )


def _clean_event(event: Event, scrubber: Scrubber) -> Event:
    attributes = (event.attributes or {}).items()
    texts = {name: _clean_words(value, scrubber) if isinstance(value, str) else value for name, value in attributes}
    return Event(event.name, texts, event.timestamp)


def _clean_words(text: str, scrubber: Scrubber) -> str:
    # One character that is none in UTF-8 would cost all spans of the export.
    return scrubber.traceback(text).encode("utf-8", "backslashreplace").decode()


def _nobody(count: int) -> None:
    """Nobody counts."""
