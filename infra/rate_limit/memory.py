"""Buckets in the memory of one process, which other processes do not see; the way out while Redis is away, and for tests.

The arithmetic is GCRA, as in Redis, in whole nanoseconds: a bucket is the moment at which it will be full again. (throttled-py's own
store in memory reads its clock itself and counts in floats, so that no test could stand exactly on the boundary.)
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from infra.rate_limit.base import Decision, Limit, decision

SECOND: Final = 1_000_000_000


class InMemoryRateLimiter:
    """Promises as in `infra.rate_limit.base`, for one process. At most `max_keys` buckets: beyond, that which was not used longest goes.

    Whoever has so many callers at his hand that a bucket goes for it has a bucket for each of them anyway. `clock` answers nanoseconds.
    """

    def __init__(self, max_keys: int = 10_000, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._full_at: OrderedDict[str, int] = OrderedDict()
        self._max_keys = max_keys
        self._clock = clock

    async def take(self, key: str, limit: Limit) -> Decision:
        """See the port."""
        now = self._clock()
        interval = limit.window_seconds * SECOND // limit.requests
        capacity = limit.requests * interval
        full_at = max(now, self._full_at.get(key, now))
        level = capacity - (full_at - now)
        if level < interval:
            return decision(limit, allowed=False, remaining=0, full_in=(full_at - now) / SECOND, token_in=(interval - level) / SECOND)
        full_at += interval
        self._keep(key, full_at, now)
        return decision(limit, allowed=True, remaining=(level - interval) // interval, full_in=(full_at - now) / SECOND, token_in=0.0)

    def __len__(self) -> int:
        """The buckets that are kept."""
        return len(self._full_at)

    def _keep(self, key: str, full_at: int, now: int) -> None:
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        while len(self._full_at) > self._max_keys or next(iter(self._full_at.values())) <= now:
            self._full_at.popitem(last=False)
