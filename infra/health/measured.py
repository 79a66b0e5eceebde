"""Times one look at a dependency and grades it by its limit; the base of every adapter's check."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from infra.health.base import ComponentHealth, HealthStatus, failed


class MeasuredCheck(ABC):
    """A check that grades the time it took: below its limit healthy, from the limit on degraded; an error is unhealthy."""

    name: str
    detail: str  # the key under which details show the milliseconds
    degraded_from_ms: float | None = None
    optional: bool = False

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock

    @abstractmethod
    async def look(self) -> dict[str, Any]:
        """Ask the dependency; answers further details, raises what goes wrong.

        A detail under the key `detail` replaces the time of the whole look, where connecting first must not count.
        """

    async def check(self) -> ComponentHealth:
        """Ask and grade. An error is a result; only cancellation passes."""
        started = self._clock()
        try:
            details = await self.look()
        except Exception as error:  # a failing check is a result (OBS-13)
            return failed(self.name, error, self.since(started))
        milliseconds: float = details.get(self.detail, self.since(started))
        limit = self.degraded_from_ms
        slow = limit is not None and milliseconds >= limit
        return ComponentHealth(
            name=self.name,
            status=HealthStatus.DEGRADED if slow else HealthStatus.HEALTHY,
            response_time_ms=milliseconds,
            message=f"{self.name} is slow: {milliseconds:.0f} ms, limit {limit:g} ms" if slow else f"{self.name} answers",
            details={self.detail: milliseconds, **details},
        )

    def since(self, started: float) -> float:
        """Milliseconds since a reading of the clock."""
        # To the microsecond: the difference of two clock readings must not miss a limit by a rounding error.
        return round((self._clock() - started) * 1000, 3)
