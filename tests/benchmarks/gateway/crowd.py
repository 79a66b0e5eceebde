"""Many clients at once: connections that stay, each with a call from time to time; how many failed and how long they took comes out."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.benchmarks.measure import percentile

CONNECT_AT_ONCE = 50
ANSWER_SECONDS = 30.0


@dataclass(slots=True)
class Crowd:
    """What many clients saw."""

    clients: int
    calls: int = 0
    failures: int = 0
    latencies: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    idle_memory_mib: float = 0.0

    def at(self, share: float) -> float:
        """A percentile of the latencies, milliseconds."""
        return percentile(sorted(self.latencies), share)


async def crowd(url: str, path: str, headers: dict[str, str], *, clients: int, seconds: float, pause: float) -> Crowd:
    """`clients` connections that stay open for `seconds`; each calls `path` every `pause` seconds, spread evenly."""
    found = Crowd(clients)
    gate = asyncio.Semaphore(CONNECT_AT_ONCE)
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    call = f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n{fields}\r\n".encode()
    end = time.monotonic() + seconds
    await asyncio.gather(*(_client(found, url, call, gate, number / clients * pause, pause, end) for number in range(clients)))
    return found


async def _client(found: Crowd, url: str, call: bytes, gate: asyncio.Semaphore, first: float, pause: float, end: float) -> None:
    place = urlsplit(url)
    try:
        async with gate:
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
        await asyncio.sleep(first)
        while time.monotonic() < end:
            began = time.perf_counter()
            writer.write(call)
            async with asyncio.timeout(ANSWER_SECONDS):
                good = await _answer(reader)
            found.calls += 1
            found.failures += not good
            found.latencies.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(max(0.0, pause - (time.perf_counter() - began)))
        writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        found.failures += 1


async def _answer(reader: asyncio.StreamReader) -> bool:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(length)
    return head.startswith(b"HTTP/1.1 200")
