"""A stream of events: pieces of bytes in, events out, and after a cut how and when to go on; no network here."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import pydantic

from agentmesh_client.calls import Answer, Call, nothing, pairs_of, path_of
from agentmesh_client.errors import AgentMeshError, NotConnected, RateLimited, Unauthorized, Unavailable, UnexpectedAnswer, error_of
from agentmesh_client.models import Event, Partial
from agentmesh_client.retries import delay_ms

LINE_END = re.compile(rb"\r\n|\r|\n")
MOST_BYTES = 16 * 1024 * 1024
"""Of one event: a stream with a longer one is not read on."""
CLOSING = "closing"
PARTIAL = "partial"
Begin = Literal["now", "beginning"]


@dataclass(slots=True)
class Frame:
    """One event as the standard of Server-Sent Events has it."""

    event: str
    data: str
    id: str


@dataclass(slots=True)
class Parser:
    """Feed it pieces of a stream, cut anywhere. What is not ended by an empty line has not been received."""

    last_id: str = ""
    retry_ms: int | None = None
    _rest: bytes = b""
    _size: int = 0
    _after_return: bool = False
    _first: bool = True
    _id: str | None = None
    _event: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, piece: bytes) -> Iterator[Frame]:
        """The events that this piece ends. Raises UnexpectedAnswer for one that is too long."""
        if self._after_return and piece:
            piece, self._after_return = piece.removeprefix(b"\n"), False
        self._size += len(piece)
        if LINE_END.search(piece) is None:
            self._check()
            self._rest += piece
            return
        *lines, rest = LINE_END.split(self._rest + piece)
        self._after_return = piece.endswith(b"\r")
        self._rest = rest
        for line in lines:
            if self._first:
                line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
            if line:
                self._line(line.decode("utf-8", "replace"))
                continue
            frame = self._ended()
            if frame is not None:
                yield frame
            self._size = len(self._rest)
        self._check()

    def _check(self) -> None:
        if self._size > MOST_BYTES:
            raise UnexpectedAnswer(f"An event of the stream is longer than {MOST_BYTES} bytes.")

    def _line(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)

    def _ended(self) -> Frame | None:
        if self._id is not None:
            self.last_id = self._id
        found = Frame(self._event or "message", "\n".join(self._data), self.last_id) if self._data else None
        self._id, self._event, self._data = None, "", []
        return found


def stream_call(
    contexts: Collection[str] = (),
    types: Collection[str] = (),
    aggregate_id: str | None = None,
    begin: Begin = "now",
    correlation_id: str | None = None,
) -> Call[None]:
    """The call that opens a stream."""
    query = (*pairs_of(context=tuple(contexts), type=tuple(types), aggregate_id=aggregate_id), ("from", begin))
    return Call("GET", path_of("v1", "events"), nothing, query, correlation_id=correlation_id)


def request_stream_call(request_id: str, begin: Begin = "beginning", correlation_id: str | None = None) -> Call[None]:
    """The call that opens the stream of one request."""
    return Call("GET", path_of("v1", "requests", request_id, "stream"), nothing, (("from", begin),), correlation_id=correlation_id)


class Following:
    """One reader. It goes on after every cut, until it has been without a connection for `patience` seconds (None: for ever)."""

    def __init__(self, call: Call[None], last_event_id: str | None, patience: float | None, now: Callable[[], float]) -> None:
        self._call = call
        self._parser = Parser(last_event_id or "")
        self._patience = patience
        self._now = now
        self._connected_at = now()
        self._failures = 0
        self._asked = 0.0
        self._refused = False
        self.renew = False
        """True where the token has to be renewed before the next connection."""

    def call(self) -> Call[None]:
        """The call that goes on after the last whole event."""
        last = self._parser.last_id
        self._parser = Parser(last, self._parser.retry_ms)
        return replace(self._call, headers={"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})})

    def opened(self) -> None:
        """The gateway streams."""
        self._failures, self._asked, self._refused, self.renew = 0, 0.0, False, False
        self._connected_at = self._now()

    def took(self, piece: bytes) -> Iterator[Event | Partial]:
        """The events that this piece ends. Raises UnexpectedAnswer."""
        self._connected_at = self._now()
        for frame in self._parser.feed(piece):
            if frame.event == CLOSING:
                continue  # the gateway ends the stream now, and has said in `retry` when to come again
            try:
                if frame.event == PARTIAL:
                    yield Partial.model_validate_json(frame.data)
                    continue
                found = Event.model_validate_json(frame.data)
            except pydantic.ValidationError as error:
                raise UnexpectedAnswer(f"An event of the stream cannot be read: {error.error_count()} fields.") from None
            yield found.model_copy(update={"place": frame.id})

    def refused(self, answer: Answer, renews: bool) -> None:
        """The gateway did not open the stream. Raises AgentMeshError, unless a new token may help."""
        error = error_of(answer.status, answer.headers, answer.content)
        if not isinstance(error, Unauthorized) or not renews or self._refused:
            raise error
        self._refused = self.renew = True

    def resumes(self, error: AgentMeshError) -> bool:
        """True where coming again may help and patience has not ended."""
        if not isinstance(error, RateLimited | Unavailable | NotConnected):
            return False
        self.renew = False
        self._failures += 1
        self._asked = error.retry_after or 0.0
        return self._patience is None or self._now() - self._connected_at <= self._patience

    def pause(self) -> float:
        """Seconds until the next connection: what the gateway asked for, longer after failures in a row."""
        if self.renew:
            return 0.0
        hint = (self._parser.retry_ms if self._parser.retry_ms is not None else 1000) / 1000
        return max(self._asked, hint if not self._failures else max(min(hint, 1.0), delay_ms(self._failures) / 1000))


def cut_of(error: Exception) -> NotConnected:
    """A failure of the network as an error of this package."""
    return NotConnected(f"No whole answer came: {type(error).__name__}: {error}")
