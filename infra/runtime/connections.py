"""What a server of HTTP allows one connection, and how many: bytes in, calls of the application out, or a refusal; used by `HttpServer`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LINGER_SECONDS = 1.0
logger = logging.getLogger(__name__)

Refusal = Callable[[int], tuple[Sequence[tuple[bytes, bytes]], bytes]]
"""Header fields and body of the answer with this status, to what the application never sees."""


def plain_refusal(status: int) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
    """A refusal in plain text."""
    return [(b"content-type", b"text/plain; charset=utf-8")], HTTPStatus(status).phrase.encode()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What is open, and what a connection may take."""

    most: int = 10_000
    """Connections at a time; one more is answered 503 and closed."""
    header_bytes: int = 32 * 1024
    """The most that is kept of a header that is not whole."""
    header_seconds: float = 20.0
    """How long a header may take to come, of a new connection too."""


class BoundedProtocol(H11Protocol):
    """A connection that takes its place only while there is one, and gives it back when its header does not come in time.

    What h11 cannot read (a header too large, two lengths, an unknown encoding) is refused with its status; the connection is closed."""

    def __init__(self, limits: ConnectionLimits, refusal: Refusal, **more: Any) -> None:
        super().__init__(**more)
        self._limits = limits
        self._refusal = refusal
        self._waiting: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection has come about."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.most:
            logger.warning("a connection was refused: %d are open", self._limits.most)
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            self._await_header()

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        if self._is_over():
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif not self._is_over():
            self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """A call was answered; the next one may have begun already."""
        super().on_response_complete()
        if not self.transport.is_closing() and self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._await_header()

    def send_400_response(self, msg: str) -> None:
        """Called where h11's error was caught, which has the status."""
        error = sys.exc_info()[1]
        self._refuse(getattr(error, "error_status_hint", HTTPStatus.BAD_REQUEST))

    def _is_over(self) -> bool:
        return self._refused or self.transport.is_closing()

    def _await_header(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self._limits.header_seconds, self._header_is_late)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _header_is_late(self) -> None:
        self._waiting = None
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self._refused = True
        self.connections.discard(self)
        if self.cycle is not None:  # a call whose body broke off: the application is told that its caller is gone
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        headers, body = self._refusal(status)
        length = (b"content-length", str(len(body)).encode())
        reason = HTTPStatus(status).phrase.encode()
        response = h11.Response(status_code=status, headers=[*headers, length, (b"connection", b"close")], reason=reason)
        sent = [self.conn.send(each) for each in (response, h11.Data(data=body), h11.EndOfMessage())]
        self.transport.write(b"".join(each for each in sent if each))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # What the caller still sends is read and thrown away for a moment: closed at once, the connection would lose the answer with it.
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
