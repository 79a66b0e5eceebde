"""Adds latency to calls and makes some of them fail, by a fixed random start; tests put it where a server's answer would come."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from infra.errors import TransientError


class InjectedFailure(TransientError):
    """Raised instead of an answer."""


class Chaos:
    """`async with chaos.disturbed():` or `with chaos.disturbed_sync():` waits `latency_ms`, then fails with the given probability.

    Two with the same `seed` fail at the same calls. Latency and failures can be had apart too.
    """

    def __init__(
        self,
        *,
        latency_ms: float = 0,
        failure_injection_percent: float = 0,
        seed: int = 0,
        error: Callable[[], Exception] = lambda: InjectedFailure("injected by the test"),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        sleep_sync: Callable[[float], None] = time.sleep,
    ) -> None:
        if latency_ms < 0 or not 0 <= failure_injection_percent <= 100:
            raise ValueError("latency_ms is 0 or more, failure_injection_percent between 0 and 100")
        self.latency_ms = latency_ms
        self.failure_injection_percent = failure_injection_percent
        self.calls = 0
        self.injected = 0
        self._random = random.Random(seed)
        self._error = error
        self._sleep = sleep
        self._sleep_sync = sleep_sync

    @contextlib.asynccontextmanager
    async def added_latency(self) -> AsyncIterator[None]:
        await self._sleep(self.latency_ms / 1000)
        yield

    @contextlib.contextmanager
    def added_latency_sync(self) -> Iterator[None]:
        self._sleep_sync(self.latency_ms / 1000)
        yield

    @contextlib.contextmanager
    def injected_failures(self) -> Iterator[None]:
        self.calls += 1
        if self._random.random() * 100 < self.failure_injection_percent:
            self.injected += 1
            raise self._error()
        yield

    @contextlib.asynccontextmanager
    async def disturbed(self) -> AsyncIterator[None]:
        async with self.added_latency():
            with self.injected_failures():
                yield

    @contextlib.contextmanager
    def disturbed_sync(self) -> Iterator[None]:
        with self.added_latency_sync(), self.injected_failures():
            yield
