"""An HTTP server that plays model and payment service for the hosts of the chaos fleet, and counts what it did, whatever a ledger says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

THINKING_SECONDS = 0.05
"""Between the deed and its answer, so that a kill can fall in between: done, and nobody knows."""


class CountingServer:
    """`POST /<kind>/<key>` does it and counts; `GET /<kind>/<key>` says whether it was done. Use as `async with`.

    `/refunds` is the payment service of the product's own port; it pays whatever comes, twice under one key if it is asked twice.
    """

    def __init__(self, thinking_seconds: float = THINKING_SECONDS) -> None:
        self.calls: dict[str, Counter[str]] = {"model": Counter(), "payment": Counter(), "refunds": Counter()}
        """How often each key was asked for, by kind."""
        self._thinking = thinking_seconds
        self._receipts: dict[str, dict[str, Any]] = {}
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
                headers: dict[str, str] = {}
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                status, answer = await self._answer(method, path.strip("/").split("/"), headers, body)
                text = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(text)) + text)
                await writer.drain()
        writer.close()

    async def _answer(self, method: str, path: list[str], headers: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        kind, key = path[0], path[1] if len(path) > 1 else headers["idempotency-key"]
        if method == "POST":
            self.calls[kind][key] += 1
            if kind == "refunds":
                order = json.loads(body)
                receipt = {"payment_id": f"pay-{len(self._receipts)}", "amount": order["amount"], "currency": order["currency"]}
                self._receipts[key] = {**receipt, "idempotency_key": key}
            await asyncio.sleep(self._thinking)
        if kind == "refunds":
            return (200, self._receipts[key]) if key in self._receipts else (404, {})
        return 200, {"done": self.calls[kind][key] > 0, "key": key}
