"""The outermost ASGI layer: every call comes in here and every answer goes out here, with its ids and headers, its limits and its count."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from services.gateway import errors
from services.gateway.calls import CALL, FIELDS, OBSERVER, Call, Observer, Scope, call_of_scope, header
from services.gateway.cors import cors
from services.gateway.errors import ApiError
from services.gateway.settings import GatewaySettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Bind = Callable[..., AbstractContextManager[None]]
"""`with bind(correlation_id=…, traceparent=…):` every log line inside carries them."""

METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})
UNKNOWN_ENDPOINT = "unknown"
ANSWER = "agentmesh.answer"
MAX_URL_BYTES = 8 * 1024
NOT_HTTP = "The call is not HTTP/1.1 that can be read."
_OF_CONNECTION = {408: "REQUEST_TIMEOUT", 431: "HEADERS_TOO_LARGE", 503: "SERVICE_UNAVAILABLE"}
EVENT_STREAM = "text/event-stream"
HTML_POLICY = b"default-src 'none'; frame-ancestors 'none'"
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", HTML_POLICY),
    (b"cache-control", b"no-store"),
)
STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
logger = logging.getLogger(__name__)


class ErrorPages(Protocol):
    """Tells people, in pages, what a caller of the API is told in JSON."""

    def shows(self, path: str) -> bool:
        """Whether a path leads to a page."""
        ...

    def refused(self, scope: Scope, error: ApiError) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of a refused call."""
        ...


class Edge:
    """Wraps the application. No call goes on beyond the time limit, none is read beyond the body limit, and no more than
    `most_in_flight` are answered at once; whatever the application raises, the caller gets a whole answer without its text. A stream of
    events is such a call until it begins; from then on it has limits of its own (services/gateway/streams.py)."""

    def __init__(
        self, app: Application, settings: GatewaySettings, observer: Observer, bind: Bind, pages: ErrorPages | None = None
    ) -> None:
        self._app = app
        self._pages = pages
        self._settings = settings
        self._observer = observer
        self._bind = bind
        self._in_flight = 0
        self._answer: Application = self._beside_pages(cors(self._answered, settings))
        tls = (STRICT_TRANSPORT,) if settings.url.startswith("https://") else ()
        self._security = (*SECURITY_HEADERS, *tls)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application. Nothing but HTTP is served."""
        if scope["type"] != "http":
            return
        call = call_of_scope(scope, self._settings.url)
        scope[CALL] = call
        fields: dict[str, str] = {}
        scope[FIELDS] = fields
        scope[OBSERVER] = self._observer
        scope[ANSWER] = answer = _Answer(send, call, self._security, fields)
        answer.on_stream = self._leave
        body = _Body(receive, self._settings.body_limit_bytes)
        self._in_flight += 1
        self._observer.began()
        began = time.perf_counter()
        try:
            with self._bind(correlation_id=call.correlation_id, traceparent=call.traceparent):
                await self._answer(scope, body, answer)
        finally:
            if not answer.streams_since:
                self._leave()
            self._observer.ended(_method(call), _endpoint(scope), answer.status, (answer.streams_since or time.perf_counter()) - began)

    def _leave(self) -> None:
        self._in_flight -= 1

    def _beside_pages(self, with_cors: Application) -> Application:
        """Pages are for people alone: no origin but their own ever reads them, whichever may call the API."""

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            page = self._pages is not None and self._pages.shows(scope["path"])
            await (self._answered if page else with_cors)(scope, receive, send)

        return answered

    async def _answered(self, scope: Scope, body: Any, send: Send) -> None:
        """Let the application answer; where it does not, answer for it. What is sent goes through `send`, which may add fields."""
        settings = self._settings
        try:
            check_header(scope, settings)
            if self._in_flight > settings.most_in_flight:
                raise errors.unavailable(settings.retry_after_seconds)
            if body.announced_too_large(header(scope["headers"], b"content-length")):
                raise too_large(settings.body_limit_bytes)
            async with asyncio.timeout(settings.request_timeout_seconds) as limit:
                scope[ANSWER].limit = limit
                await self._app(scope, body, send)
        except ApiError as error:
            await self._refuse(scope, send, error)
        except TimeoutError:
            await self._refuse(scope, send, _too_slow(body, settings))
        except Exception:
            logger.exception("a call failed", extra={"http_request_id": scope[CALL].request_id})
            await self._refuse(scope, send, errors.internal())

    async def _refuse(self, scope: Scope, send: Send, error: ApiError) -> None:
        if scope[ANSWER].status:  # the answer has begun; what is missing of it cannot be said any more
            return
        status, body, headers = refusal(error, scope, self._settings.url, self._pages)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def refusal(error: ApiError, scope: Scope, base_url: str, pages: ErrorPages | None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of a refused call: a page where its path leads to one, else an object."""
    if pages is not None and pages.shows(scope["path"]):
        return pages.refused(scope, error)
    body, headers = error_answer(error, scope[CALL], base_url)
    return error.status, body, headers


def error_answer(error: ApiError, call: Call, base_url: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a refused call; logs it as API-27 asks."""
    log_refusal(error, call)
    body, media_type = errors.render(
        error, url=call.url, accept=call.accept, base_url=base_url, request_id=call.request_id, trace_id=call.trace_id
    )
    return body, {"content-type": media_type, "content-length": str(len(body)), **error.headers}


def log_refusal(error: ApiError, call: Call) -> None:
    """Write a refused call into the log, with the whole error."""
    # Its message is ours and says what is wrong; under the name `message` a log hides what customers wrote.
    told = {"error_type": error.error_type, "reason": error.message, "code": error.code, "details": dict(error.details)}
    logger.warning("%s", error.code, extra={"error": told, "http_request_id": call.request_id})


def check_header(scope: Scope, settings: GatewaySettings) -> None:
    """Refuses, with 414 or 431, a URL or a header that is larger than the limits; with 400 a body that has two ends (RFC 9112, 6.3)."""
    if len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b"")) > MAX_URL_BYTES:
        raise ApiError("URI_TOO_LONG", f"The URL has more than {MAX_URL_BYTES} bytes.", details={"limit_bytes": MAX_URL_BYTES})
    headers = scope["headers"]
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in headers}:
        message = "Content-Length and Transfer-Encoding exclude each other."
        raise ApiError("VALIDATION_ERROR", message, error_type="ValidationError", headers={"Connection": "close"})
    if len(headers) > settings.most_headers:
        message = f"The header has more than {settings.most_headers} fields."
        raise ApiError("HEADERS_TOO_LARGE", message, details={"limit_fields": settings.most_headers})
    if sum(len(name) + len(value) for name, value in headers) > settings.header_limit_bytes:
        message = f"The header has more than {settings.header_limit_bytes} bytes."
        raise ApiError("HEADERS_TOO_LARGE", message, details={"limit_bytes": settings.header_limit_bytes})


def raw_refusal(status: int, settings: GatewaySettings) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Header fields and body of a refusal on a connection that never became a call."""
    code = _OF_CONNECTION.get(status, "VALIDATION_ERROR")
    told = NOT_HTTP if code == "VALIDATION_ERROR" else errors.KINDS[code].title + "."
    retry = {"Retry-After": str(settings.retry_after_seconds)} if status == 503 else {}
    call = call_of_scope({"method": "", "path": "", "headers": []}, settings.url)
    body, headers = error_answer(ApiError(code, told, status=status, headers=retry), call, settings.url)
    ids = {"X-Correlation-ID": call.correlation_id, "X-Request-ID": call.request_id}
    fields = [(name.encode(), value.encode("latin-1")) for name, value in (headers | ids).items() if name != "content-length"]
    return [*fields, *SECURITY_HEADERS], body


def too_large(limit: int) -> ApiError:
    """413: the body is larger than the limit."""
    return ApiError("PAYLOAD_TOO_LARGE", f"The body has more than {limit} bytes.", details={"limit_bytes": limit})


class _Answer:
    """The way back to the caller: adds the headers of every answer and remembers its status. A stream of events has no end: when one
    begins, the time limit goes and the call counts as answered."""

    __slots__ = ("_fields", "_headers", "_send", "call", "limit", "on_stream", "status", "streams_since")

    def __init__(self, send: Send, call: Call, security: tuple[tuple[bytes, bytes], ...], fields: dict[str, str]) -> None:
        self._send = send
        self._fields = fields
        self.call = call
        self.on_stream: Callable[[], None] = lambda: None
        self.limit: asyncio.Timeout | None = None
        self.status = 0
        self.streams_since = 0.0
        ids = ((b"x-correlation-id", call.correlation_id.encode()), (b"x-request-id", call.request_id.encode()))
        self._headers = (*ids, *security)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", ()))
            names = {name.lower() for name, _ in given}
            if header(given, b"content-type").startswith(EVENT_STREAM):
                self._begin_stream()
            told = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._fields.items()]
            message = {**message, "headers": [*given, *(each for each in (*told, *self._headers) if each[0] not in names)]}
        await self._send(message)

    def _begin_stream(self) -> None:
        self.streams_since = time.perf_counter()
        self.on_stream()
        if self.limit is not None:
            self.limit.reschedule(None)


class _Body:
    """The way of the caller's body: what comes in beyond the limit is not kept."""

    __slots__ = ("_limit", "_read", "_receive", "whole")

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._read = 0
        self.whole = False

    def announced_too_large(self, length: str) -> bool:
        """Whether the caller says itself that the body is too large."""
        return length.isdigit() and int(length[:20]) > self._limit

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
            if self._read > self._limit:
                raise too_large(self._limit)
        return message


def _too_slow(body: _Body, settings: GatewaySettings) -> ApiError:
    if body.whole:
        return errors.unavailable(settings.retry_after_seconds, "The call could not be answered in time: try again later.")
    return ApiError("REQUEST_TIMEOUT", f"The body did not come within {settings.request_timeout_seconds:g} s.")


def _method(call: Call) -> str:
    return call.method if call.method in METHODS else "other"


def _endpoint(scope: Scope) -> str:
    """The template of the route, never the path (OBS-33)."""
    return getattr(scope.get("route"), "path", None) or UNKNOWN_ENDPOINT
