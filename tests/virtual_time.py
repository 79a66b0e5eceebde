"""An event loop whose clock jumps to the next timer: hours of waiting pass at once. Tests run coroutines in it with `run`."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Clock:
    """A clock that stands still until it is told to go on; `sleep` and `sleep_sync` tell it so and keep what was slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleep_sync(seconds)

    def sleep_sync(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Whenever nothing is ready its time becomes that of the next timer. Not for real I/O or threads: it waits for neither."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        while self._scheduled and self._scheduled[0]._cancelled:  # as the base class does, which would come too late
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0]._when)
        super()._run_once()


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """The coroutine's result, in a virtual time that begins at 0."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
