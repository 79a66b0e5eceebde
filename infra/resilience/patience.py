"""Waits for a dependency that is away, for so long and no longer; around what runs of agents call, outside of their Protection.

Protection gives up in a second, and fails at once while the circuit is open, so that callers learn it soon. A run has minutes: if it
failed as soon, an outage of a minute would spend every attempt of every task.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from infra.errors import TransientError
from infra.resilience.bounded_retry import asked_seconds
from infra.resilience.retry import delay_ms

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class Patience:
    """Calls again after a TransientError until `seconds` are over; 0 means once. What the other side asks to wait is waited, and an error
    that asks for more than is left is raised at once."""

    def __init__(
        self,
        name: str,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep

    async def call(self, fn: Callable[[], Awaitable[Result]]) -> Result:
        """What the function answers; raises its last TransientError, and any other error as it comes."""
        until = self._clock() + self._seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                return await fn()
            except TransientError as error:
                wait = max(delay_ms(attempt) / 1000, asked_seconds(error))
                if self._clock() + wait > until:
                    raise
                logger.warning("%s is away, next try in %.1f s: %s", self._name, wait, error)
                await self._sleep(wait)
