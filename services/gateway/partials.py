"""What models say about one request while its events are streamed: pieces in, Server-Sent Events without an id out, since nobody can come
back to them; used by the stream of that request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque

from sse_starlette.event import ServerSentEvent

from infra.errors import MeshError
from infra.partial_outputs.base import HeardPieces, Piece

PARTIAL = "partial"
MOST_WAITING = 500
logger = logging.getLogger(__name__)


class Partials:
    """The pieces about one request from now on; made in a running loop. Where nothing can be heard, there are none."""

    def __init__(self, heard: HeardPieces, tenant_id: str, request_id: str) -> None:
        self._waiting: deque[Piece] = deque(maxlen=MOST_WAITING)
        self._listening = asyncio.create_task(self._listen(heard, tenant_id, request_id), name="partials")

    async def _listen(self, heard: HeardPieces, tenant_id: str, request_id: str) -> None:
        try:
            async with heard.listen(tenant_id, request_id) as pieces:
                async for piece in pieces:
                    self._waiting.append(piece)
        except MeshError as error:
            logger.warning("partial outputs cannot be heard: %s", error)

    def taken(self) -> bytes:
        """What has come since the last time, for the wire."""
        frames = []
        while self._waiting:
            frames.append(_frame(self._waiting.popleft()))
        return b"".join(frames)

    async def close(self) -> None:
        """Listen no more."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


def _frame(piece: Piece) -> bytes:
    topic = piece.topic
    told = {"task_id": topic.task_id, "attempt": topic.attempt, **piece.model_dump(exclude={"topic"})}
    return ServerSentEvent(event=PARTIAL, data=json.dumps(told, ensure_ascii=False, separators=(",", ":"))).encode()
