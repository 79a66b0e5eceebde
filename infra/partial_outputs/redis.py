"""Partial outputs over Redis' publish and subscribe: a channel for each subject; hosts tell, gateways listen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from pydantic import ValidationError
from redis.asyncio import Redis

from infra.errors import MeshError
from infra.partial_outputs.base import Piece
from infra.redis.errors import translated
from infra.redis.pool import RedisPool

CHANNEL: Final = "partial-output"
# Beyond these, pieces are lost; a reader sees a gap in the numbers.
MOST_WAITING: Final = 1_000
LAST_SECONDS: Final = 0.5
logger = logging.getLogger(__name__)

Client = Callable[[], Redis]


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
            self._telling = asyncio.create_task(self._tell(), name="partial-outputs")
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
    """Listens by one subscription for each who looks on."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @asynccontextmanager
    async def listen(self, tenant_id: str, subject_id: str) -> AsyncIterator[AsyncIterator[Piece]]:
        """See the port."""
        with translated():
            subscription = self._client().pubsub(ignore_subscribe_messages=True)
            try:
                await subscription.subscribe(channel(self._prefix, tenant_id, subject_id))
                yield _pieces(subscription)
            finally:
                with contextlib.suppress(Exception):  # a connection that is broken already
                    await subscription.aclose()  # type: ignore[no-untyped-call]


async def _pieces(subscription: Any) -> AsyncIterator[Piece]:
    try:
        async for message in subscription.listen():
            with contextlib.suppress(ValidationError):  # of a release that tells them in another form
                yield Piece.model_validate_json(message["data"])
    except (OSError, MeshError) as error:
        logger.warning("partial outputs end, Redis is away: %s", error)
    except Exception as error:  # the driver's own errors
        with contextlib.suppress(MeshError), translated():
            raise
        logger.warning("partial outputs end, Redis is away: %s", error)
