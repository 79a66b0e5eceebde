"""A cache that fails fast and forgets no invalidation: calls of readers in, calls of the adapter out; what workers put around Redis.

**Away.** Each call has a time limit, and after some failures in a row the circuit opens (RES-01): a Redis that is dead or hangs costs
the first calls their short limit and later ones nothing.

**Back.** A Redis that dies comes back empty, but one that hung or was cut off comes back with what it had. An invalidation that this
process could not make meanwhile is remembered, and until it is made up for this process reads nothing from the cache. A task tries to
make up for it every `probe_seconds`, past the circuit, so that other processes, which may have reached Redis all the time, see stale
values no longer than that after the return. Redis itself ends what outlives its time to live, whatever happened to us meanwhile.

**Dead.** What a process has missed dies with it. One that invalidates therefore calls `distrust` when it starts: everything goes
before it uses the cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from pydantic import JsonValue

from infra.cache.base import DEFAULT_TTL_SECONDS, Absent, Cache, CacheBehind, Lease, check_ttl, encoded
from infra.cache.missed import EVERYTHING, Missed, MissedInvalidations
from infra.cache.settings import CacheSettings
from infra.errors import ConfigurationError, MeshError, TransientError
from infra.resilience.breaker import BreakerPolicy
from infra.resilience.protection import Protection
from infra.resilience.timeouts import TimeLimit
from infra.telemetry.metrics import Metrics
from infra.telemetry.spans import without_span

logger = logging.getLogger(__name__)

NAME: Final = "cache"


class GuardedCache:
    """Promises as in `infra.cache.base`, and raises CircuitOpen, CacheBehind or CallTimedOut besides, all of them transient.

    A set, delete or invalidation that fails, or is cancelled, is remembered: its caller needs to do nothing more.
    """

    def __init__(
        self,
        cache: Cache,
        metrics: Metrics,
        settings: CacheSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._cache = cache
        self._protection = Protection(
            NAME,
            metrics,
            breaker=BreakerPolicy(
                failure_threshold=settings.circuit_failures,
                recovery_seconds=settings.circuit_recovery_seconds,
                counted=(TransientError, ConfigurationError),
            ),
            retry=None,
            seconds=None,
            clock=clock,
        )
        self._short = TimeLimit(NAME, settings.operation_seconds)
        self._long = TimeLimit(NAME, settings.invalidation_seconds)
        self._probe_seconds = settings.probe_seconds
        self._sleep = sleep
        self._missed = MissedInvalidations(settings.remembered_invalidations)
        self._mender: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def behind(self) -> bool:
        """Whether invalidations are missing, so that nothing is read."""
        return bool(self._missed)

    def distrust(self) -> None:
        """Everything must go before this process reads again; call it in a running loop."""
        self._missed.add(EVERYTHING)
        self._start_mending()

    async def close(self) -> None:
        """Stop trying to make up for what was missed; the adapter stays open."""
        self._closed = True
        mender, self._mender = self._mender, None
        if mender is not None:
            mender.cancel()
            await asyncio.gather(mender, return_exceptions=True)

    # --- reads and leases: refused while invalidations are missing ------------------------------------------------------

    async def get(self, key: str) -> JsonValue | Absent:
        """See the port."""
        self._refuse_while_behind()
        return await self._protection.call(self._short.call, self._cache.get, key)

    async def exists(self, key: str) -> bool:
        """See the port."""
        self._refuse_while_behind()
        return await self._protection.call(self._short.call, self._cache.exists, key)

    async def lease(self, key: str, seconds: float) -> Lease | None:
        """See the port."""
        self._refuse_while_behind()
        return await self._protection.call(self._short.call, self._cache.lease, key, seconds)

    async def fill(self, lease: Lease, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> bool:
        """See the port. One that fails needs not be remembered: should it arrive late, its lease decides."""
        self._refuse_while_behind()
        return await self._protection.call(self._short.call, self._cache.fill, lease, value, ttl_seconds)

    async def release(self, lease: Lease) -> None:
        """See the port."""
        self._refuse_while_behind()
        await self._protection.call(self._short.call, self._cache.release, lease)

    # --- changes: remembered when they fail -----------------------------------------------------------------------------

    async def set(self, key: str, value: JsonValue, ttl_seconds: int = DEFAULT_TTL_SECONDS) -> None:
        """See the port. One that fails leaves an old value, which goes later."""
        encoded(value), check_ttl(ttl_seconds)  # what is refused changes nothing
        with self._remembering(Missed(key, False)):
            await self._protection.call(self._short.call, self._cache.set, key, value, ttl_seconds)

    async def delete(self, key: str) -> bool:
        """See the port."""
        with self._remembering(Missed(key, False)):
            return await self._protection.call(self._short.call, self._cache.delete, key)

    async def invalidate(self, pattern: str) -> int:
        """See the port."""
        with self._remembering(Missed(pattern, True)):
            return await self._protection.call(self._long.call, self._cache.invalidate, pattern)

    @contextlib.contextmanager
    def _remembering(self, change: Missed) -> Iterator[None]:
        """Holds one change; whatever ends it early, a cancellation too, leaves it open whether it was made."""
        try:
            self._refuse_while_behind()
            yield
        except BaseException:
            self._missed.add(change)
            self._start_mending()
            raise

    def _refuse_while_behind(self) -> None:
        if self._missed:
            self._start_mending()
            raise CacheBehind

    # --- making up ------------------------------------------------------------------------------------------------------

    def _start_mending(self) -> None:
        if not self._closed and (self._mender is None or self._mender.done()):
            self._mender = asyncio.create_task(self._mend(), name="cache-missed-invalidations", context=without_span())

    async def _mend(self) -> None:
        logger.warning("the cache has missed invalidations: it is not read until they are made up for")
        while self._missed:
            try:
                await self._make_up()
            except MeshError as error:
                logger.debug("missed invalidations of the cache are still missing: %s", error)
                await self._sleep(self._probe_seconds)
        logger.info("the cache has made up for every missed invalidation and is read again")

    async def _make_up(self) -> None:
        for missed, number in self._missed.entries():
            if missed.is_pattern:
                await self._long.call(self._cache.invalidate, missed.text)
            else:
                await self._short.call(self._cache.delete, missed.text)
            self._missed.made_up(missed, number)
