"""Streams of events as Server-Sent Events: a signed-in caller and what it wants in, an answer without an end out; used by its route.

Every event has as its `id` the place of the reader after it, so a reader that was cut off goes on there. A stream that is ended by us says
why in an event `closing`, and when to come again.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse, SendTimeoutError
from starlette.types import Receive, Scope, Send

from infra.errors import TransientError
from infra.event_streams.base import Batch, Ended, EventStreams, Followed, StreamedEvent, StreamEnded, Subscription, place_text
from infra.identity.base import Principal
from services.gateway import errors
from services.gateway.access import utc_now
from services.gateway.errors import ApiError
from services.gateway.partials import Partials
from services.gateway.settings import GatewaySettings

RETRY_MS = 1_000
CHUNK_BYTES = 32 * 1024
CLOSING = "closing"
STREAM = "stream"
"""How streams that are too many of one tenant are counted beside calls that are too many of one class of routes."""
PARTIAL_SECONDS = 0.1
logger = logging.getLogger(__name__)


class Closed(StrEnum):
    """Why a stream ended, beside the reasons of `Ended`."""

    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the name of a reason
    RENEW = "renew"
    """It lasted as long as a stream may; who comes again is asked for its permission anew."""
    READER_LEFT = "reader_left"


class StreamObserver(Protocol):
    """Counts streams and what goes over them."""

    def opened(self) -> None: ...

    def sent(self, events: int) -> None: ...

    def closed(self, reason: str) -> None: ...

    def limited(self) -> None: ...


class Streams:
    """Opens streams, no more at a time than may be."""

    def __init__(
        self, source: EventStreams, settings: GatewaySettings, observer: StreamObserver, now: Callable[[], datetime] = utc_now
    ) -> None:
        self.source = source
        self.settings = settings
        self.observer = observer
        self.now = now
        self._of_tenants: Counter[str] = Counter()

    async def open(
        self,
        principal: Principal,
        followed: Followed,
        place: Mapping[str, int],
        customer: str | None,
        partials: Callable[[], Partials] | None = None,
    ) -> EventStream:
        """The answer to a caller; of a `customer` it shows the own requests only; what `partials` have stands between the events. Raises
        ApiError, 503 or 429, where there are too many; TransientError."""
        self._enter(principal.tenant_id)
        try:
            subscription = await self.source.subscribe(followed, place)
        except BaseException as error:
            self._leave(principal.tenant_id)
            if isinstance(error, StreamEnded):
                raise errors.unavailable(self.settings.retry_after_seconds) from error
            raise
        self.observer.opened()
        return EventStream(self, principal, subscription, customer, partials)

    def ended(self, stream: EventStream) -> None:
        """A stream is over, whoever ended it."""
        self._leave(stream.principal.tenant_id)
        self.observer.closed(stream.reason)
        told = {"reason": stream.reason, "events": stream.events, "tenant_id": stream.principal.tenant_id, "user_id": stream.principal.id}
        logger.log(logging.WARNING if stream.reason in (Ended.TOO_SLOW, Ended.FAILED) else logging.INFO, "a stream ended", extra=told)

    def _enter(self, tenant_id: str) -> None:
        retry = self.settings.retry_after_seconds
        if self._of_tenants.total() >= self.settings.most_streams:
            raise errors.unavailable(retry, "No more streams can be opened here now: try again later.")
        if self._of_tenants[tenant_id] >= self.settings.most_streams_per_tenant:
            self.observer.limited()
            raise ApiError("RATE_LIMITED", "The tenant has as many streams open as it may.", headers={"Retry-After": str(retry)})
        self._of_tenants[tenant_id] += 1

    def _leave(self, tenant_id: str) -> None:
        self._of_tenants[tenant_id] -= 1
        if not self._of_tenants[tenant_id]:
            del self._of_tenants[tenant_id]


class EventStream(EventSourceResponse):
    """One answer. It ends when its reader leaves or is too slow, when the token or the longest time ends, or with the process."""

    def __init__(
        self,
        streams: Streams,
        principal: Principal,
        subscription: Subscription,
        customer: str | None,
        partials: Callable[[], Partials] | None = None,
    ) -> None:
        super().__init__(self._frames(), ping=0, send_timeout=streams.settings.stream_send_seconds)
        self.principal = principal
        self.reason: str = Closed.READER_LEFT
        self.events = 0
        self._streams = streams
        self._subscription = subscription
        self._customer = customer
        self._open_partials = partials
        self._partials: Partials | None = None
        self._until, self._at_end = self._end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        try:
            self._partials = None if self._open_partials is None else self._open_partials()
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            self.reason = Ended.TOO_SLOW
        finally:
            self._subscription.leave()
            self._streams.ended(self)
            if self._partials is not None:
                await self._partials.close()

    def _end(self) -> tuple[float, Closed]:
        """When the stream ends, by the monotonic clock, and why."""
        longest, reason = self._streams.settings.stream_longest_seconds, Closed.RENEW
        if self.principal.expires_at is not None:
            left = (self.principal.expires_at - self._streams.now()).total_seconds()
            if left < longest:
                longest, reason = left, Closed.TOKEN_EXPIRED
        return time.monotonic() + longest, reason

    async def _frames(self) -> AsyncIterator[bytes]:
        place = dict(self._subscription.place)
        # The first id stands before the first event, so that who is cut off before that misses nothing either.
        yield ServerSentEvent(id=place_text(place), retry=RETRY_MS, comment="events follow").encode()
        heartbeat = self._streams.settings.stream_heartbeat_seconds
        silent_since = time.monotonic()
        try:
            while (left := self._until - time.monotonic()) > 0:
                batch = await self._subscription.next(self._look_again(left, silent_since + heartbeat - time.monotonic()))
                if self._partials is not None and (pieces := self._partials.taken()):
                    yield pieces
                    silent_since = time.monotonic()
                async for chunk in self._chunks(batch, place):
                    yield chunk
                    silent_since = time.monotonic()
                if time.monotonic() >= self._until:
                    break
                place = dict(batch.then)
                if time.monotonic() - silent_since >= heartbeat:
                    # With its id, so that a reader whose filter lets little through does not begin far back.
                    yield ServerSentEvent(id=place_text(place), comment="heartbeat").encode()
                    silent_since = time.monotonic()
            self.reason = self._at_end
        except StreamEnded as error:
            self.reason = error.reason
        except TransientError:
            self.reason = Ended.UNAVAILABLE
        told = json.dumps({"reason": self.reason, "retry_ms": RETRY_MS}, separators=(",", ":"))
        yield ServerSentEvent(event=CLOSING, data=told, retry=RETRY_MS).encode()

    def _look_again(self, *seconds: float) -> float:
        """How long events are waited for; not long where pieces may come beside them."""
        return max(0.0, min(*seconds, math.inf if self._partials is None else PARTIAL_SECONDS))

    async def _chunks(self, batch: Batch, place: dict[str, int]) -> AsyncIterator[bytes]:
        """The events of a batch that the reader may see, several in one piece; `place` moves along."""
        waiting: list[bytes] = []
        size = 0
        for event in batch.events:
            place[event.recorded.context] = event.recorded.position
            if self._customer is not None and await self._streams.source.customer_of(event.recorded) != self._customer:
                continue
            if time.monotonic() >= self._until:
                break
            waiting.append(_frame(event, place))
            size += len(waiting[-1])
            if size >= CHUNK_BYTES:
                yield self._sent(waiting)
                waiting, size = [], 0
        if waiting:
            yield self._sent(waiting)

    def _sent(self, frames: list[bytes]) -> bytes:
        self.events += len(frames)
        self._streams.observer.sent(len(frames))
        return b"".join(frames)


def _frame(event: StreamedEvent, place: Mapping[str, int]) -> bytes:
    """An event as it goes over the wire: the id is its reader's, the rest is made once for all readers."""
    if not event.wire:
        event.wire = ServerSentEvent(data=event.json.decode(), event=event.recorded.metadata.type_name).encode()
    return b"id: %s\r\n%s" % (place_text(place).encode(), event.wire)
