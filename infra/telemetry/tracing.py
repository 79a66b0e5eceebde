"""Makes OpenTelemetry spans for batches, messages and operations; workers open them, a background thread exports them.

Off (no endpoint set) every call answers a shared object that does nothing. On, a span never fails the work it describes, and whether a
trace is recorded is decided before anything is made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from infra.telemetry import names
from infra.telemetry.root_sampler import Allowance, RootSampler, unsampled_traceparent
from infra.telemetry.spans import NO_SPAN, Attribute, RunningSpan, SpanBlock, child_traceparent, link_to, links_to, remote
from infra.telemetry.traceparent import Traceparent, parse_traceparent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from infra.telemetry.scrub import Scrubber

__all__ = ["MAX_LINKS", "Attribute", "MessageSpans", "Tracing", "child_traceparent"]

MAX_LINKS = 32
Attributes = Mapping[str, Attribute]

_KINDS = {
    names.OPERATION_SEND: SpanKind.PRODUCER,
    names.OPERATION_POLL: SpanKind.CLIENT,
    names.OPERATION_PROCESS: SpanKind.CONSUMER,
    names.OPERATION_COMMIT: SpanKind.CLIENT,
}


class TracedMessage(Protocol):
    """What `MessageSpans` reads of a message's metadata; `contracts.envelope.Metadata` has it."""

    @property
    def message_id(self) -> str: ...
    @property
    def type_name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def traceparent(self) -> str | None: ...


class Tracing:
    """The spans of one process. `Tracing()` is off; `Tracing.start` reads the endpoints; `Tracing.to_exporter` is for tests."""

    def __init__(
        self,
        tracer: trace.Tracer | None = None,
        close: Callable[[float], None] | None = None,
        roots: RootSampler | None = None,
        foreign: Allowance | None = None,
        provider: trace.TracerProvider | None = None,
        server_provider: trace.TracerProvider | None = None,
    ) -> None:
        self._tracer = tracer  # records whatever it is asked for: what is not to be recorded never reaches it
        self._close = close
        self._roots = roots or RootSampler(1.0)
        self._foreign = foreign or Allowance(inf)
        self.provider = provider
        """For libraries that make spans of their own: it records below a running span, and nothing elsewhere. None while tracing is off."""
        self.server_provider = server_provider
        """The same for what begins traces, or goes on in those of foreign callers: it samples. None while tracing is off."""

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
        foreign_per_second: float = inf,
        dropped: Callable[[int], None] | None = None,
        scrubber: Scrubber | None = None,
    ) -> Tracing:
        """Export over OTLP to `endpoint`, else to the OTLP port of `jaeger_host`; with neither, tracing is off.

        `sample_ratio` is the share of new traces that is recorded, `foreign_per_second` how many are because somebody outside of the mesh
        asks for it. `dropped` is told of spans that were lost, `scrubber` knows the secrets of this process.
        """
        from infra.telemetry.export import otlp_exporter, traces_url  # the SDK is only loaded where it is used

        url = traces_url(endpoint, jaeger_host)
        if url is None:
            return cls()
        return cls.to_exporter(
            otlp_exporter(url, dropped),
            service,
            version=version,
            environment=environment,
            sample_ratio=sample_ratio,
            foreign_per_second=foreign_per_second,
            dropped=dropped,
            scrubber=scrubber,
        )

    @classmethod
    def to_exporter(
        cls,
        exporter: SpanExporter,
        service: str = "agentmesh-test",
        *,
        version: str = "",
        environment: str = "",
        sample_ratio: float = 1.0,
        foreign_per_second: float = inf,
        dropped: Callable[[int], None] | None = None,
        scrubber: Scrubber | None = None,
    ) -> Tracing:
        """Record spans and hand them to `exporter` from a background thread."""
        from infra.telemetry.export import server_sampler, span_pipeline
        from infra.telemetry.libraries import SpansBelow

        foreign = Allowance(foreign_per_second)
        sampler = server_sampler(sample_ratio, foreign)
        made = span_pipeline(exporter, service, version, environment, sampler, MAX_LINKS, dropped, scrubber)
        tracer = made.all.get_tracer("agentmesh", version or None)
        return cls(tracer, made.close, RootSampler(sample_ratio), foreign, SpansBelow(made.all), made.sampled)

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded at all."""
        return self._tracer is not None

    def batch_span(
        self,
        operation: str,
        destination: str | None,
        links: Iterable[str | None] = (),
        attributes: Attributes | None = None,
        name: str | None = None,
    ) -> SpanBlock:
        """One span for a whole batch, linked to at most 32 of its recorded messages, by their `traceparent` headers.

        `operation` is send, poll, process or commit; a batch of several topics has no destination, and `name` says whose it is.
        """
        tracer = self._tracer
        if tracer is None or not self._is_recorded_here():
            return NO_SPAN
        span = tracer.start_span(
            name or f"{operation} {destination}",
            kind=_KINDS.get(operation, SpanKind.CONSUMER),
            attributes={**_messaging(operation, destination), **(attributes or {})},
            links=links_to(links, MAX_LINKS),
        )
        return RunningSpan(span)

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
            return NO_SPAN
        parent = parse_traceparent(traceparent)
        if not (self._is_recorded_here() if parent is None else parent.sampled):
            return NO_SPAN
        span = tracer.start_span(
            name or f"{operation} {destination}",
            context=None if parent is None else remote(parent),
            kind=_KINDS.get(operation, SpanKind.CONSUMER),
            attributes={**_messaging(operation, destination), **(attributes or {})},
        )
        return RunningSpan(span)

    def message_spans(self, operation: str, destination: str, attributes: Attributes | None = None) -> MessageSpans:
        """`with tracing.message_spans(…) as spans:` spans of single messages of a batch, which end with the block."""
        return MessageSpans(self._tracer, self._roots, self._foreign, operation, destination, attributes)

    def traced_operation(self, name: str, attributes: Mapping[str, object] | None = None) -> SpanBlock:
        """A span around a named operation (OBS-08): attributes as text; OK, or ERROR and the exception goes on."""
        tracer = self._tracer
        if tracer is None or not self._is_recorded_here():
            return NO_SPAN
        texts = {key: str(value) for key, value in attributes.items()} if attributes else None
        return RunningSpan(tracer.start_span(name, attributes=texts), ok=True)

    def _is_recorded_here(self) -> bool:
        """What the running span says of its trace; where none runs, the sampler of new ones."""
        running = trace.get_current_span()
        return running.is_recording() if running.get_span_context().is_valid else self._roots.takes_one()

    def shutdown(self, seconds: float) -> None:
        """Send what is left, within `seconds`; the spans of a collector that is away are dropped. Safe to call twice."""
        close, self._close, self._tracer, self.provider, self.server_provider = self._close, None, None, None, None
        if close is not None:
            close(seconds)


class MessageSpans:
    """A span for each message of a batch that is recorded, from the batch's begin to its end. One message has one span, however often it
    is asked for; where nothing is recorded a message costs next to nothing."""

    __slots__ = ("_attributes", "_began", "_destination", "_foreign", "_kind", "_made", "_name", "_operation", "_roots", "_tracer")

    def __init__(
        self,
        tracer: trace.Tracer | None,
        roots: RootSampler,
        foreign: Allowance,
        operation: str,
        destination: str,
        attributes: Attributes | None,
    ) -> None:
        self._tracer = tracer
        self._roots = roots
        self._foreign = foreign
        self._name = f"{operation} {destination}"
        self._kind = _KINDS.get(operation, SpanKind.CONSUMER)
        self._operation = operation
        self._destination = destination
        self._attributes = attributes
        self._began: int | None = None
        # By command and aggregate: the id of a command is its sender's choice, and may be that of another one for another aggregate.
        self._made: dict[tuple[str, str], Span] = {}

    def __enter__(self) -> MessageSpans:
        if self._tracer is not None:
            self._began = time_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None) -> None:
        made, self._made = self._made, {}
        for span in made.values():
            if error is not None:
                span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
            span.end()

    def traceparent(self, message: TracedMessage, first: str | None = None, *, goes_on: bool = False, wholly: bool = False) -> str | None:
        """The `traceparent` for what follows from a message: that of its span where its trace is recorded, else the message's own.

        A message without one starts a trace under the sampler, so that each request has its own, whatever batch it came in. `first` is the
        traceparent of the first event of the aggregate that the message is for: a span in another trace is linked to it. With `goes_on` a
        message without a trace goes on in that one; with `wholly` a new trace is recorded where that one was and the message's is not.
        What somebody outside of the mesh has sampled is recorded as far as the allowance reaches.
        """
        incoming = message.traceparent
        if self._tracer is None:
            return incoming
        known = self._made.get((message.message_id, message.subject)) if self._made else None
        if known is not None:
            return child_traceparent(known)
        if incoming is None and first is None:  # most commands of publishers that do not trace
            return self._start(message, None, None) if self._roots.takes_one() else unsampled_traceparent()
        # The trace ids stand at the same place in both texts.
        other = None if first is None or (incoming is not None and first[3:35] == incoming[3:35]) else parse_traceparent(first)
        if goes_on and other is not None and parse_traceparent(incoming) is None:
            incoming, other = first, None
        linked = other if other is not None and other.sampled else None
        parent = parse_traceparent(incoming)
        if parent is not None and parent.sampled:
            if self._follows(message, parent, first if wholly else None):
                return self._start(message, parent, linked)
            incoming = unsampled_traceparent(parent.trace_id)
        if (wholly and linked is not None) or (parent is None and self._roots.takes_one()):
            return self._start(message, None, linked)
        return unsampled_traceparent() if parent is None else incoming

    def _follows(self, message: TracedMessage, parent: Traceparent, first: str | None) -> bool:
        """Whether what the sender has sampled is recorded. What of its trace is recorded already stays whole."""
        if message.source.startswith(names.OWN_SOURCES):
            return True
        begun = parse_traceparent(first)
        return (begun is not None and begun.sampled and begun.trace_id == parent.trace_id) or self._foreign.grants_one()

    def _start(self, message: TracedMessage, parent: Traceparent | None, origin: Traceparent | None) -> str | None:
        assert self._tracer is not None
        span = self._made[message.message_id, message.subject] = self._tracer.start_span(
            self._name,
            context=otel_context.Context() if parent is None else remote(parent),
            kind=self._kind,
            attributes={
                **_messaging(self._operation, self._destination),
                **(self._attributes or {}),
                names.MESSAGING_MESSAGE_ID: message.message_id,
                names.MESSAGING_CONVERSATION_ID: message.correlation_id,
                names.CLOUDEVENTS_EVENT_TYPE: message.type_name,
                names.CLOUDEVENTS_EVENT_SUBJECT: message.subject,
            },
            links=None if origin is None else [link_to(origin)],
            start_time=self._began,
        )
        return child_traceparent(span)


def _messaging(operation: str, destination: str | None) -> dict[str, Attribute]:
    known: dict[str, Attribute] = {
        names.MESSAGING_SYSTEM: names.MESSAGING_SYSTEM_KAFKA,
        names.MESSAGING_OPERATION_NAME: operation,
        names.MESSAGING_OPERATION_TYPE: names.OPERATION_TYPES.get(operation, operation),
    }
    if destination is not None:
        known[names.MESSAGING_DESTINATION_NAME] = destination
    return known
