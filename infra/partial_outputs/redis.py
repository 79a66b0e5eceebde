"""Partial outputs over Redis' publish and subscribe: a channel for each subject; hosts tell, gateways listen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic import ValidationError

from infra.errors import MeshError
from infra.partial_outputs.base import Piece
from infra.redis.errors import translated
from infra.redis.pool import RedisPool
from infra.telemetry.spans import without_span

CHANNEL: Final = "partial-output"
# Beyond these, pieces are lost; a reader sees a gap in the numbers.
MOST_WAITING: Final = 1_000
MOST_OF_A_READER: Final = 500
LAST_SECONDS: Final = 0.5
logger = logging.getLogger(__name__)


def channel(prefix: str, tenant_id: str, subject_id: str) -> str:
    """The channel of a subject. Channels are of the whole server, so the mesh's prefix is part of it."""
    return f"{prefix}{CHANNEL}:{tenant_id}:{subject_id}"


class RedisPartialOutputs:
    """Tells pieces by a task of its own, over a pool of its own that it opens with the first of them; what Redis does not take is lost."""

    def __init__(self, pool: RedisPool, prefix: str) -> None:
        self._pool = pool
        self._prefix = prefix
        self._waiting: asyncio.Queue[Piece] = asyncio.Queue(MOST_WAITING)
        self._telling: asyncio.Task[None] | None = None
        self._away = False

    def tell(self, piece: Piece) -> None:
        """See the port."""
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell(), name="partial-outputs", context=without_span())
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait(piece)

    async def _tell(self) -> None:
        await self._pool.start()
        while True:
            piece = await self._waiting.get()
            topic = piece.topic
            try:
                with translated():
                    await self._pool.client.publish(channel(self._prefix, topic.tenant_id, topic.subject_id), piece.model_dump_json())
                self._away = False
            except MeshError as error:
                if not self._away:
                    logger.warning("partial outputs are lost while Redis is away: %s", error)
                self._away = True
            self._waiting.task_done()

    async def close(self) -> None:
        """See the port."""
        telling, self._telling = self._telling, None
        if telling is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._waiting.join()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await self._pool.close()


class RedisHeardPieces:
    """Listens on one connection of its own for all who look on; it is there while somebody does. Of what waits for a reader the oldest is
    lost first; where Redis goes away, everybody's pieces end."""

    def __init__(self, pool: RedisPool, prefix: str) -> None:
        self._pool = pool
        self._prefix = prefix
        self._open = False
        self._queues: dict[str, set[asyncio.Queue[Piece | None]]] = {}
        self._subscription: Any = None
        self._listening: asyncio.Task[None] | None = None
        self._change = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, tenant_id: str, subject_id: str) -> AsyncIterator[AsyncIterator[Piece]]:
        """See the port."""
        name = channel(self._prefix, tenant_id, subject_id)
        queue: asyncio.Queue[Piece | None] = asyncio.Queue(MOST_OF_A_READER)
        async with self._change:
            with translated():
                await self._subscribe(name)
            self._queues.setdefault(name, set()).add(queue)
        try:
            yield _pieces(queue)
        finally:
            async with self._change:
                await self._leave(name, queue)

    async def _subscribe(self, name: str) -> None:
        if not self._open:
            await self._pool.start()  # where Redis is away, the subscription says so
            self._open = True
        if self._listening is None or self._listening.done():
            await self._stop()  # what Redis has left behind, when it went away
            self._subscription = self._pool.client.pubsub(ignore_subscribe_messages=True)
            await self._subscription.subscribe(name)
            self._listening = asyncio.create_task(self._listen(self._subscription), name="partial-outputs", context=without_span())
        elif name not in self._queues:
            await self._subscription.subscribe(name)

    async def _leave(self, name: str, queue: asyncio.Queue[Piece | None]) -> None:
        readers = self._queues.get(name, set())
        readers.discard(queue)
        if readers:
            return
        self._queues.pop(name, None)
        if not self._queues:
            await self._stop()
        else:
            with contextlib.suppress(MeshError), translated():
                await self._subscription.unsubscribe(name)

    async def _listen(self, subscription: Any) -> None:
        try:
            with translated():
                async for message in subscription.listen():
                    self._hand_out(message["channel"], message["data"])
        except MeshError as error:
            logger.warning("partial outputs end, Redis is away: %s", error)
        finally:
            for queue in [queue for readers in self._queues.values() for queue in readers]:
                _offer(queue, None)

    def _hand_out(self, name: str, data: str) -> None:
        with contextlib.suppress(ValidationError):  # of a release that tells them in another form
            piece = Piece.model_validate_json(data)
            for queue in self._queues.get(name, ()):
                _offer(queue, piece)

    async def _stop(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            with contextlib.suppress(MeshError), translated():
                await self._subscription.aclose()

    async def close(self) -> None:
        """End, for everybody."""
        async with self._change:
            await self._stop()
        await self._pool.close()


def _offer(queue: asyncio.Queue[Piece | None], piece: Piece | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(piece)


async def _pieces(queue: asyncio.Queue[Piece | None]) -> AsyncIterator[Piece]:
    while (piece := await queue.get()) is not None:
        yield piece
