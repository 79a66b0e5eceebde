"""Limits that hold when Redis does not: asks Redis, and while it is away counts in this process; what the gateway uses.

The degraded mode: each process has buckets of its own, which are full when the outage begins, so N processes allow a caller up to N
times his limit, and the limit still holds in each. Once Redis answers again it decides again, with the buckets that it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from infra.errors import ConfigurationError, MeshError, TransientError
from infra.rate_limit.base import Decision, Limit, RateLimiter
from infra.rate_limit.settings import RateLimitSettings
from infra.resilience.breaker import BreakerPolicy
from infra.resilience.protection import Protection
from infra.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

NAME: Final = "rate_limit"


class FallbackRateLimiter:
    """Promises as in `infra.rate_limit.base`, and raises nothing. An outage is logged once at its begin and once at its end."""

    def __init__(
        self,
        shared: RateLimiter,
        own: RateLimiter,
        metrics: Metrics,
        settings: RateLimitSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._own = own
        self._protection = Protection(
            NAME,
            metrics,
            bulkhead=None,  # the pool's connections and the time limit bound the calls; a full waiting room must not open second buckets
            breaker=BreakerPolicy(
                failure_threshold=settings.circuit_failures,
                recovery_seconds=settings.circuit_recovery_seconds,
                counted=(TransientError, ConfigurationError),
            ),
            retry=None,
            seconds=settings.operation_seconds,
            clock=clock,
        )
        self._away = False

    async def take(self, key: str, limit: Limit) -> Decision:
        """See the port."""
        try:
            taken = await self._protection.call(self._shared.take, key, limit)
        except MeshError as error:
            if not self._away:
                self._away = True
                logger.warning("rate limits are counted in this process alone while Redis is away: %s", error)
            return await self._own.take(key, limit)
        if self._away:
            self._away = False
            logger.info("rate limits are shared by all processes again")
        return taken
