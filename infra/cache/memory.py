"""The cache in the memory of one process, lost at its end and seen by nobody else; for tests and for a gateway that runs alone."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, cast

from pydantic import JsonValue

from infra.cache.base import ABSENT, DEFAULT_TTL_SECONDS, Absent, Lease, check_ttl, encoded
from infra.cache.globs import matches


class _Entry(NamedTuple):
    text: str
    ends: float


class InMemoryCache:
    """Promises as in `infra.cache.base`. At most `max_entries` values and as many leases: beyond, what was not used longest goes.

    Values are kept as JSON text, so that nobody changes what others read. `clock` answers seconds.
    """

    def __init__(self, max_entries: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._values: OrderedDict[str, _Entry] = OrderedDict()
        self._leases: OrderedDict[str, _Entry] = OrderedDict()
        self._max_entries = max_entries
        self._clock = clock

    async def get(self, key: str) -> JsonValue | Absent:
        """See the port."""
        entry = self._live(self._values, key)
        if entry is None:
            return ABSENT
        self._values.move_to_end(key)
        return cast(JsonValue, json.loads(entry.text))

    async def set(self, key: str, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> None:
        """See the port."""
        self._put(self._values, key, encoded(value), check_ttl(ttl_seconds))
        self._leases.pop(key, None)

    async def delete(self, key: str) -> bool:
        """See the port."""
        self._leases.pop(key, None)
        was_there = self._live(self._values, key) is not None
        self._values.pop(key, None)
        return was_there

    async def exists(self, key: str) -> bool:
        """See the port."""
        return self._live(self._values, key) is not None

    async def invalidate(self, pattern: str) -> int:
        """See the port."""
        for key in [each for each in self._leases if matches(pattern, each)]:
            del self._leases[key]
        going = [each for each in self._values if matches(pattern, each)]
        return sum([await self.delete(key) for key in going])

    async def lease(self, key: str, seconds: float) -> Lease | None:
        """See the port."""
        if self._live(self._leases, key) is not None:
            return None
        lease = Lease(key, secrets.token_hex(8))
        self._put(self._leases, key, lease.token, seconds)
        return lease

    async def fill(self, lease: Lease, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> bool:
        """See the port."""
        text, ttl = encoded(value), check_ttl(ttl_seconds)
        if not self._holds(lease):
            return False
        del self._leases[lease.key]
        self._put(self._values, lease.key, text, ttl)
        return True

    async def release(self, lease: Lease) -> None:
        """See the port."""
        if self._holds(lease):
            del self._leases[lease.key]

    def __len__(self) -> int:
        """The values that are kept, those that nobody has asked for since they ended included."""
        return len(self._values)

    def _holds(self, lease: Lease) -> bool:
        entry = self._live(self._leases, lease.key)
        return entry is not None and entry.text == lease.token

    def _live(self, entries: OrderedDict[str, _Entry], key: str) -> _Entry | None:
        """The entry, unless its time is over."""
        entry = entries.get(key)
        if entry is None or self._clock() < entry.ends:
            return entry
        del entries[key]
        return None

    def _put(self, entries: OrderedDict[str, _Entry], key: str, text: str, seconds: float) -> None:
        # Redis counts whole milliseconds, and so does this.
        entries[key] = _Entry(text, self._clock() + max(1, math.ceil(seconds * 1_000)) / 1_000)
        entries.move_to_end(key)
        while len(entries) > self._max_entries:
            entries.popitem(last=False)
