"""The `with` blocks around spans, and the ways from `traceparent` texts to OpenTelemetry's objects and back; used by tracing."""

from __future__ import annotations

import contextvars
from collections.abc import Iterable
from contextlib import AbstractContextManager
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, NonRecordingSpan, Span, SpanContext, Status, StatusCode, TraceFlags

from infra.telemetry import names
from infra.telemetry.traceparent import Traceparent, format_traceparent, parse_traceparent, says_sampled

Attribute = str | bool | int | float
SpanBlock = AbstractContextManager[Span]


class _NoSpan:
    """The block of an operation that is not recorded."""

    __slots__ = ()

    def __enter__(self) -> Span:
        return INVALID_SPAN

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None) -> None:
        return None


NO_SPAN = _NoSpan()


class RunningSpan:
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


def child_traceparent(span: Span, incoming: str | None = None) -> str | None:
    """The `traceparent` that makes `span` the parent of what follows; where nothing is recorded `incoming` goes on as it came."""
    context = span.get_span_context()
    return format_traceparent(context.trace_id, context.span_id, context.trace_flags) if context.is_valid else incoming


def remote(parent: Traceparent) -> Context:
    """A context in which the span of another process is the current one."""
    return trace.set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())


def link_to(other: Traceparent) -> Link:
    """A link to a span of another trace."""
    return Link(_span_context(other))


def links_to(traceparents: Iterable[str | None], most: int) -> list[Link]:
    """Links to the first `most` of those that are recorded."""
    links: list[Link] = []
    for text in traceparents:
        if len(links) == most:
            break
        parsed = parse_traceparent(text) if says_sampled(text) else None
        if parsed is not None:
            links.append(link_to(parsed))
    return links


def without_span() -> contextvars.Context:
    """A copy of the running context in which no span runs: for a task that is begun by one caller and works for many, or without end."""
    copied = contextvars.copy_context()
    copied.run(otel_context.attach, Context())
    return copied


def _span_context(parent: Traceparent) -> SpanContext:
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=TraceFlags(parent.flags))
