"""Drops from the cache what events made out of date, beside the work of who applied them; events in, deletions out; the projection
worker of each read model from which something cached is fetched has one.

**Nothing waits for it.** Events are handed over after their commit and only noted; a task of its own deletes. With Redis away the cache
remembers what was not deleted (`guarded.py`), and the work goes on.

**Nothing stays behind it.** What a worker noted dies with it. So whoever takes partitions up, after a start or because their owner is
gone, drops all that is fetched from its read model (`everything`): an entry that a crash between commit and deletion left behind goes
with the next owner, and at the latest when its time to live is over.

**It costs little.** Rounds are `gather_seconds` apart, and a round of many events is a few walks, not thousands of deletions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from contracts.envelope import RecordedEvent
from infra.cache.cached import CacheAside
from infra.cache.invalidation import NOTHING, Invalidation, of_events, of_everything

logger = logging.getLogger(__name__)

# Beyond these, a round drops all that is fetched from the read model.
MOST_EVENTS: Final = 500
MOST_PATTERNS: Final = 20
# How long the last round may take when the worker stops; what it leaves is dropped by the next owner of the partitions.
LAST_SECONDS: Final = 2.0


class CacheInvalidator:
    """Invalidates what is fetched from one read model."""

    def __init__(self, read_model: str, aside: CacheAside, gather_seconds: float) -> None:
        self._read_model = read_model
        self._aside = aside
        self._gather_seconds = gather_seconds
        self._events: list[RecordedEvent] = []
        self._all = False
        self._wake = asyncio.Event()
        self._rounds: asyncio.Task[None] | None = None

    def changed(self, events: Sequence[RecordedEvent]) -> None:
        """These events are committed to the read model. Neither waits nor raises."""
        if not events or self._all:
            return
        if len(self._events) + len(events) > MOST_EVENTS:
            self.everything()
            return
        self._events += events
        self._wake.set()

    def everything(self) -> None:
        """What was committed before is not known. Neither waits nor raises."""
        self._all = True
        self._events.clear()
        self._wake.set()

    def start(self) -> None:
        """Begin; in a running loop."""
        self._rounds = asyncio.create_task(self._work(), name=f"cache-invalidator-{self._read_model}")

    async def close(self) -> None:
        """Drop what is noted by now, for a short time, and end."""
        rounds, self._rounds = self._rounds, None
        if rounds is None:
            return
        rounds.cancel()
        await asyncio.gather(rounds, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._round()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            if await self._round():
                await asyncio.sleep(self._gather_seconds)

    async def _round(self) -> bool:
        """Drop what is noted; answers whether that was anything."""
        self._wake.clear()
        try:
            going = self._going()
            await self._aside.invalidate(going)
            return bool(going)
        except Exception:  # a bug, or an event that cannot be read: whatever it concerned goes, the work goes on
            logger.exception("the cache of %s could not be invalidated event by event: all of it goes", self._read_model)
            self.everything()
            return True
        except asyncio.CancelledError:
            self.everything()
            raise

    def _going(self) -> Invalidation:
        everything, events = self._all, self._events
        self._all, self._events = False, []
        going = of_everything(self._read_model) if everything else of_events(self._read_model, events)
        return going if len(going.patterns) <= MOST_PATTERNS else of_everything(self._read_model)


def has_cached(read_model: str) -> bool:
    """Whether something cached is fetched from a read model."""
    return of_everything(read_model) != NOTHING
