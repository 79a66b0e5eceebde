"""Keeps a check's answer for a moment, so that frequent probes do not load the servers; process and gateway ask through it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from infra.health.base import (
    CHECK_SECONDS,
    SEVERITY,
    ComponentHealth,
    HealthCheck,
    HealthStatus,
    SystemHealth,
    answer_of,
    check_all,
    weight,
)
from infra.telemetry.bounded import BoundedGauge

CACHE_SECONDS = 2.0
Weights = Sequence[tuple[str, HealthStatus]]
"""Components by their names, and how each counts for the process."""


class CachedCheck:
    """Asks its check at most once in `seconds`; callers that come meanwhile share the one look under way."""

    def __init__(self, check: HealthCheck, seconds: float = CACHE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._seconds = seconds
        self._clock = clock
        self._looking: asyncio.Task[ComponentHealth] | None = None
        self._answer: ComponentHealth | None = None
        self._answered = 0.0

    @property
    def name(self) -> str:
        """The name of the check behind it."""
        return self._check.name

    @property
    def optional(self) -> bool:
        """As the check behind it."""
        return self._check.optional

    async def check(self) -> ComponentHealth:
        """The kept answer while it is fresh, else a new look. One caller's cancellation does not end the look for the others."""
        if self._answer is not None and self._clock() - self._answered < self._seconds:
            return self._answer
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name=f"health-{self.name}")
        return await asyncio.shield(self._looking)

    async def _look(self) -> ComponentHealth:
        # Bounded, so that a look that hangs does not keep every later one waiting for it.
        answer = await answer_of(self._check, CHECK_SECONDS)
        self._answer, self._answered = answer, self._clock()
        return answer


class SharedHealth:
    """The health of everything that has checks, each of them asked at most once in two seconds however many ask for the whole."""

    def __init__(self, checks: Callable[[], Sequence[HealthCheck]], show: Callable[[Weights], None] | None = None) -> None:
        self._find = checks
        self._show = show
        self._checks: dict[int, tuple[HealthCheck, CachedCheck]] = {}

    async def __call__(self) -> SystemHealth:
        """The state of the whole now."""
        # The check itself is kept beside its id, so that the id cannot come to mean another one.
        self._checks = {id(check): self._checks.get(id(check)) or (check, CachedCheck(check)) for check in self._find()}
        checks = [cached for _, cached in self._checks.values()]
        found = await check_all(checks)
        if self._show is not None:
            self._show([(component.name, weight(check, component)) for check, component in zip(checks, found.components, strict=True)])
        return found


def shown_by(gauge: BoundedGauge) -> Callable[[Weights], None]:
    """Shows each component by its name as a number, of several with one name the worst."""

    def show(weights: Weights) -> None:
        values = sorted((SEVERITY[status], name) for name, status in weights)
        gauge.replace({(name,): value for value, name in values})

    return show
