"""A TCP proxy in the test's own loop that can cut, refuse and hold what passes: a network that fails at a chosen moment."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit


class Proxy:
    """Use as `async with Proxy(host, port) as proxy` and connect to 127.0.0.1:`proxy.port`. `change` is done to what the server says."""

    def __init__(self, host: str, port: int, change: Callable[[bytes], bytes] = bytes) -> None:
        self._target = (host, port)
        self._change = change
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = True
        self._answers = asyncio.Event()
        self._answers.set()
        self.refused = 0
        self.held = asyncio.Event()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """End every connection at once and refuse new ones. What was held is lost."""
        self._open = False
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Take connections and pass answers again."""
        self._open = True
        self._answers.set()

    def hold_answers(self) -> None:
        """Keep back what the server says, while what the client says still arrives; `held` is set once something was."""
        self.held.clear()
        self._answers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if not self._open:
            self.refused += 1
            self._end(writer)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            self._end(writer)
            return
        self._writers.add(server_writer)
        for source, sink, answers in ((reader, server_writer, False), (server_reader, writer, True)):
            pipe = asyncio.create_task(self._pipe(source, sink, answers))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if answers and not self._answers.is_set():
                    self.held.set()
                    await self._answers.wait()
                sink.write(self._change(data) if answers else data)
                await sink.drain()
        self._end(sink)

    def _end(self, writer: asyncio.StreamWriter) -> None:
        self._writers.discard(writer)
        writer.transport.abort()


def behind(url: str, proxy: Proxy) -> str:
    """The same database, reached through the proxy."""
    parts = urlsplit(url)
    user_info, _, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user_info}@127.0.0.1:{proxy.port}").geturl()


def postgres_proxy(url: str) -> Proxy:
    """A proxy for the server of this URL."""
    parts = urlsplit(url)
    return Proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
