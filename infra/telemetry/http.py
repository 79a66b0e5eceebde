"""Puts the server span of the ASGI instrumentation around an HTTP application: calls in, calls that know their trace on; built by the
gateway's worker where tracing is on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import Span

from infra.telemetry import names
from infra.telemetry.libraries import ask_for_stable_names
from infra.telemetry.spans import child_traceparent

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

EVENT_STREAM = b"text/event-stream"
SERVER_SEND = "agentmesh.telemetry.send"
HIDDEN = "?"
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})


class TracedHttp:
    """An ASGI application with one server span a call, named by method and route template, child of the caller's `traceparent`.

    Under `key` the scope holds the `traceparent` of the span: the trace that commands and answers of the call name. The span of a stream of
    events ends when the stream begins, so that none lasts for days. Paths of `untraced` have no span.
    """

    def __init__(self, app: Application, provider: trace.TracerProvider, *, key: str, untraced: Collection[str] = ()) -> None:
        ask_for_stable_names()
        self._app = app
        self._key = key
        self._untraced = frozenset(untraced)
        self._traced: Application = OpenTelemetryMiddleware(
            self._inside,
            default_span_details=_details,
            server_request_hook=self._began,
            tracer_provider=provider,
            exclude_spans=["receive", "send"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http" or scope["path"] in self._untraced:
            await self._app(scope, receive, send)
            return
        scope[SERVER_SEND] = send
        await self._traced(scope, receive, send)

    def _began(self, span: Span, scope: Scope) -> None:
        scope[self._key] = child_traceparent(span)
        query = scope.get("query_string")
        if query and span.is_recording():
            # What callers look for may be personal; which filters they use is not.
            span.set_attribute(names.URL_QUERY, _without_values(query.decode("latin-1")))

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = trace.get_current_span()
        recorded = span.is_recording()
        await self._app(scope, receive, _Answer(span, scope, send) if recorded else send)


class _Answer:
    """The way back of a recorded call."""

    __slots__ = ("_scope", "_send", "_span")

    def __init__(self, span: Span, scope: Scope, send: Send) -> None:
        self._span = span
        self._scope = scope
        self._send = send

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        self._name()
        await self._send(message)
        if _is_stream(message):
            self._span.end()
            self._send = self._scope[SERVER_SEND]
            # What the stream reads from now on belongs to no trace.
            otel_context.attach(otel_context.Context())

    def _name(self) -> None:
        """Routing is over by now."""
        template = getattr(self._scope.get("route"), "path", None)
        if template:
            self._span.update_name(f"{_method(self._scope)} {template}")
            self._span.set_attribute(names.HTTP_ROUTE, template)


def _details(scope: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name until the route is known; never the path, of which there are as many as things."""
    return _method(scope), {}


def _method(scope: Mapping[str, Any]) -> str:
    method = str(scope.get("method", "")).upper()
    return method if method in KNOWN_METHODS else "HTTP"


def _is_stream(message: Mapping[str, Any]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(EVENT_STREAM) for name, value in message.get("headers", ()))


def _without_values(query: str) -> str:
    return urlencode([(name, HIDDEN) for name, _ in parse_qsl(query, keep_blank_values=True, max_num_fields=None)], safe=HIDDEN)
