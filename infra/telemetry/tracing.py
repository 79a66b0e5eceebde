"""Makes OpenTelemetry spans for batches, messages and operations; workers open them, a background thread exports them.

Off (no endpoint set) every call answers a shared object that does nothing. On, a span never fails the work it describes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from infra.telemetry import names
from infra.telemetry.traceparent import Traceparent, format_traceparent, parse_traceparent

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

MAX_LINKS = 32
Attribute = str | bool | int | float
Attributes = Mapping[str, Attribute]
SpanBlock = AbstractContextManager[Span]

_KINDS = {
    names.OPERATION_SEND: SpanKind.PRODUCER,
    names.OPERATION_POLL: SpanKind.CLIENT,
    names.OPERATION_PROCESS: SpanKind.CONSUMER,
    names.OPERATION_COMMIT: SpanKind.CLIENT,
}


class TracedMessage(Protocol):
    """What `message_traceparent` reads of a message's metadata; `contracts.envelope.Metadata` has it."""

    @property
    def message_id(self) -> str: ...
    @property
    def type_name(self) -> str: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def traceparent(self) -> str | None: ...


class _NoSpan:
    """The block of an operation that is not recorded."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return INVALID_SPAN

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None) -> None:
        return None


_NO_SPAN = _NoSpan()


class _SpanBlock:
    """Makes a span the current one for a `with` block and ends it; an exception is recorded and goes on."""

    __slots__ = ("_ok", "_span", "_token")

    def __init__(self, span: Span, *, ok: bool = False) -> None:
        self._span = span
        self._ok = ok  # whether success is said aloud: OBS-08 asks for it, messaging spans leave it open

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None) -> None:
        otel_context.detach(self._token)
        span = self._span
        if error is not None:
            span.record_exception(error)
            span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR, str(error) or type(error).__qualname__))
        elif self._ok:
            span.set_status(Status(StatusCode.OK))
        span.end()


class Tracing:
    """The spans of one process. `Tracing()` is off; `Tracing.start` reads the endpoints; `Tracing.to_exporter` is for tests."""

    def __init__(
        self,
        tracer: trace.Tracer | None = None,
        close: Callable[[float], None] | None = None,
        provider: trace.TracerProvider | None = None,
    ) -> None:
        self._tracer = tracer
        self._close = close
        self.provider = provider
        """For libraries that make spans of their own; None while tracing is off."""

    @classmethod
    def start(
        cls,
        service: str,
        *,
        version: str,
        environment: str,
        endpoint: str | None,
        jaeger_host: str | None = None,
        sample_ratio: float = 1.0,
    ) -> Tracing:
        """Export over OTLP to `endpoint`, else to the OTLP port of `jaeger_host`; with neither, tracing is off."""
        from infra.telemetry.export import otlp_exporter, traces_url  # the SDK is only loaded where it is used

        url = traces_url(endpoint, jaeger_host)
        if url is None:
            return cls()
        return cls.to_exporter(otlp_exporter(url), service, version=version, environment=environment, sample_ratio=sample_ratio)

    @classmethod
    def to_exporter(
        cls,
        exporter: SpanExporter,
        service: str = "agentmesh-test",
        *,
        version: str = "",
        environment: str = "",
        sample_ratio: float = 1.0,
    ) -> Tracing:
        """Record spans and hand them to `exporter` from a background thread."""
        from infra.telemetry.export import span_pipeline

        provider, close = span_pipeline(exporter, service, version, environment, sample_ratio, MAX_LINKS)
        return cls(provider.get_tracer("agentmesh", version or None), close, provider)

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded at all."""
        return self._tracer is not None

    def batch_span(
        self,
        operation: str,
        destination: str,
        links: Iterable[str | None] = (),
        attributes: Attributes | None = None,
        *,
        producer: bool = False,
    ) -> SpanBlock:
        """One span for a whole batch, linked to at most 32 of the messages it handles (their `traceparent` headers).

        `operation` is send, poll, process or commit; `producer` forces the kind of a sender for an operation of another name.
        """
        tracer = self._tracer
        if tracer is None:
            return _NO_SPAN
        span = tracer.start_span(
            f"{operation} {destination}",
            kind=SpanKind.PRODUCER if producer else _KINDS.get(operation, SpanKind.CONSUMER),
            attributes={**_messaging(operation, destination), **(attributes or {})},
            links=_links(links),
        )
        return _SpanBlock(span)

    def message_span(
        self,
        operation: str,
        destination: str,
        traceparent: str | None,
        attributes: Attributes | None = None,
        name: str | None = None,
    ) -> SpanBlock:
        """One span for one message, child of its `traceparent`; nothing where the sender did not sample its trace.

        A message without a (valid) traceparent continues the running span, or starts a trace of its own under the sampler.
        """
        tracer = self._tracer
        if tracer is None:
            return _NO_SPAN
        parent = parse_traceparent(traceparent)
        if parent is not None and not parent.sampled:
            return _NO_SPAN
        span = tracer.start_span(
            name or f"{operation} {destination}",
            context=None if parent is None else _remote(parent),
            kind=_KINDS.get(operation, SpanKind.CONSUMER),
            attributes={**_messaging(operation, destination), **(attributes or {})},
        )
        return _SpanBlock(span)

    def message_traceparent(self, message: TracedMessage, destination: str) -> str | None:
        """The `traceparent` for what follows from one message: that of a span of its own where sampled, else the message's.

        A message without one starts a trace under the sampler, so that each request has its own trace, whatever batch it came in.
        """
        incoming = message.traceparent
        tracer = self._tracer
        if tracer is None:
            return incoming
        parent = parse_traceparent(incoming)
        if parent is not None and not parent.sampled:
            return incoming
        span = tracer.start_span(
            f"{names.OPERATION_PROCESS} {destination}",
            context=otel_context.Context() if parent is None else _remote(parent),
            kind=SpanKind.CONSUMER,
            attributes={
                **_messaging(names.OPERATION_PROCESS, destination),
                names.MESSAGING_MESSAGE_ID: message.message_id,
                names.MESSAGING_CONVERSATION_ID: message.correlation_id,
                names.CLOUDEVENTS_EVENT_TYPE: message.type_name,
            },
        )
        span.end()
        return child_traceparent(span, incoming)

    def traced_operation(self, name: str, attributes: Mapping[str, object] | None = None) -> SpanBlock:
        """A span around a named operation (OBS-08): attributes as text; OK, or ERROR and the exception goes on."""
        tracer = self._tracer
        if tracer is None:
            return _NO_SPAN
        texts = {key: str(value) for key, value in attributes.items()} if attributes else None
        return _SpanBlock(tracer.start_span(name, attributes=texts), ok=True)

    def shutdown(self, seconds: float) -> None:
        """Send what is left, within `seconds`; the spans of a collector that is away are dropped. Safe to call twice."""
        close, self._close, self._tracer, self.provider = self._close, None, None, None
        if close is not None:
            close(seconds)


def child_traceparent(span: Span, incoming: str | None = None) -> str | None:
    """The `traceparent` that makes `span` the parent of what follows; where nothing is recorded `incoming` goes on as it came."""
    context = span.get_span_context()
    return format_traceparent(context.trace_id, context.span_id, context.trace_flags) if context.is_valid else incoming


def _messaging(operation: str, destination: str) -> dict[str, Attribute]:
    return {
        names.MESSAGING_SYSTEM: names.MESSAGING_SYSTEM_KAFKA,
        names.MESSAGING_OPERATION_NAME: operation,
        names.MESSAGING_OPERATION_TYPE: names.OPERATION_TYPES.get(operation, operation),
        names.MESSAGING_DESTINATION_NAME: destination,
    }


def _span_context(parent: Traceparent) -> SpanContext:
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=TraceFlags(parent.flags))


def _remote(parent: Traceparent) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(_span_context(parent)), otel_context.Context())


def _links(traceparents: Iterable[str | None]) -> list[Link]:
    links: list[Link] = []
    for text in traceparents:
        if len(links) == MAX_LINKS:
            break
        parsed = parse_traceparent(text)
        if parsed is not None:
            links.append(Link(_span_context(parsed)))
    return links
