"""Values that are kept in this process for a few seconds: a key in, its value out, loaded once for all who ask at the same time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")
MOST_KEPT = 10_000


class Kept(Generic[K, V]):
    """At most `most` values, each for `seconds`; beyond, the one that was loaded first goes. A load that fails is not kept: all who waited
    for it get its error, and the next one tries anew. `clock` answers seconds."""

    def __init__(self, seconds: float, most: int = MOST_KEPT, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """The value of the key; `load` is awaited where none is kept. Raises what `load` raises."""
        found = self._values.get(key)
        if found is not None and self._clock() < found[0]:
            return found[1]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key, load))
        return await asyncio.shield(task)  # whoever goes away takes the value from nobody else

    def old(self, key: K) -> V | None:
        """The value that was loaded last, be it too old, where it has not made room for others."""
        found = self._values.get(key)
        return None if found is None else found[1]

    def __len__(self) -> int:
        """The values that are kept."""
        return len(self._values)

    async def _load(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        began = self._clock()
        try:
            value = await load()
        finally:
            del self._loading[key]
        self._values[key] = (began + self._seconds, value)
        self._values.move_to_end(key)
        while len(self._values) > self._most:
            self._values.popitem(last=False)
        return value
