"""An HTTP server that plays model and payment for the agents of the chaos fleet, and counts what it was asked, whatever a ledger says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

THINKING_SECONDS = 0.05
"""Between the deed and its answer, so that a kill can fall in between: done, and nobody knows."""


class CountingServer:
    """`POST /<kind>/<key>` does it and counts; `GET /<kind>/<key>` says whether it was done. Use as `async with`."""

    def __init__(self, thinking_seconds: float = THINKING_SECONDS) -> None:
        self.calls: dict[str, Counter[str]] = {"model": Counter(), "payment": Counter()}
        """How often each key was asked for, by kind."""
        self._thinking = thinking_seconds
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> CountingServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    def again(self, kind: str) -> int:
        """Calls beyond the first of each key."""
        return sum(count - 1 for count in self.calls[kind].values())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            while line := await reader.readline():
                method, path, _ = line.decode().split(" ", 2)
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    length = int(value) if name.lower() == "content-length" else length
                await reader.readexactly(length)
                answer = await self._answer(method, *path.strip("/").split("/", 1))
                body = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()

    async def _answer(self, method: str, kind: str, key: str) -> dict[str, object]:
        if method == "POST":
            self.calls[kind][key] += 1
            await asyncio.sleep(self._thinking)
        return {"done": self.calls[kind][key] > 0, "key": key}
