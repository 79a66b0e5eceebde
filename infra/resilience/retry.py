"""Tries a remote call again for as long as its failure is transient; used by every worker for Postgres and Kafka."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from infra.errors import TransientError

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

FIRST_DELAY_MS = 100
FACTOR = 2.0
CAP_MS = 10_000
JITTER = 0.2
# How long a call that is under way may still take when the work is to be given back. One against a server that is away would otherwise
# wait for a connection for longer than a rebalance, or the drain of a process, may take.
LAST_SECONDS = 2.0


def delay_ms(attempt: int, jitter: float = 0.0) -> int:
    """Milliseconds to wait after attempt `attempt` (1-based): 100 × 2^(n-1), capped at 10,000, then `jitter` (-1..1) times 20 % of it."""
    capped = min(FIRST_DELAY_MS * FACTOR ** min(attempt - 1, 30), CAP_MS)
    return round(capped * (1 + JITTER * jitter))


class Abandoned(Exception):
    """The worker gives the work back: it is stopping, or its partitions were taken away. Nothing was acknowledged."""


class TransientRetry:
    """Runs calls until they succeed or `stop` is set; never gives up by count (MSG-18), never swallows another error.

    `attempted` is called before each try, so that liveness can be judged by attempts; `failed` with each transient error.
    """

    def __init__(
        self,
        stop: asyncio.Event,
        attempted: Callable[[], None],
        failed: Callable[[str, TransientError], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._stop = stop
        self._attempted = attempted
        self._failed = failed
        self._chance = chance

    async def __call__(self, name: str, call: Callable[[], Awaitable[Result]]) -> Result:
        """Answer what `call` answers; raises Abandoned once `stop` is set, and whatever is not transient at once."""
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(TransientError),
                wait=lambda state: delay_ms(state.attempt_number, self._chance() * 2 - 1) / 1000,
                stop=lambda state: self._stop.is_set(),
                sleep=self._sleep,
                before_sleep=lambda state: self._report(name, state),
                reraise=True,
            ):
                with attempt:
                    self._attempted()
                    return await self._unless_stopped(name, call)
        except TransientError as error:
            raise Abandoned(f"{name}: given back while it failed: {error}") from error
        raise AssertionError("tenacity ends by a result or an exception")

    async def _unless_stopped(self, name: str, call: Callable[[], Awaitable[Result]]) -> Result:
        """The call's answer. Once `stop` is set it gets LAST_SECONDS, then it is cancelled: whether it took effect is then unknown."""
        running = asyncio.ensure_future(call())
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await asyncio.wait({running}, timeout=LAST_SECONDS)
            if not running.done():
                raise Abandoned(f"{name}: given back while it waited for its answer")
            return running.result()
        finally:
            stopped.cancel()
            if not running.done():
                running.cancel()
                await asyncio.wait({running})

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), timeout=seconds)
        except TimeoutError:
            return

    def _report(self, name: str, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, TransientError):
            return
        wait = state.next_action.sleep if state.next_action else 0
        logger.warning("%s failed (attempt %d), next try in %.1f s: %s", name, state.attempt_number, wait, error)
        self._failed(name, error)
