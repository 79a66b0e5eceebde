"""The port of health checks and the bodies they answer; workers hand in checks, the process asks them all at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

# Above the broker's own 5 s, so that a check reports its reason before it is cut off.
CHECK_SECONDS = 6.0


class HealthStatus(StrEnum):
    """How a component or the whole process is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


SEVERITY: Mapping[HealthStatus, int] = {HealthStatus.HEALTHY: 0, HealthStatus.DEGRADED: 1, HealthStatus.UNHEALTHY: 2}


def worst(statuses: Sequence[HealthStatus]) -> HealthStatus:
    """The worst of them; healthy when there are none."""
    return max(statuses, key=SEVERITY.__getitem__, default=HealthStatus.HEALTHY)


class ComponentHealth(BaseModel):
    """One dependency, as one check found it."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: HealthStatus
    response_time_ms: float
    message: str
    details: Mapping[str, Any] = {}


class SystemHealth(BaseModel):
    """The process: `overall_status` by the rule of OBS-12, every component, and a short map of dependency to status."""

    model_config = ConfigDict(frozen=True)

    overall_status: HealthStatus
    timestamp: datetime
    components: tuple[ComponentHealth, ...]
    dependencies: Mapping[str, HealthStatus]


@runtime_checkable
class HealthCheck(Protocol):
    """One dependency that can be asked. Safe for concurrent calls; a check may raise, `check_all` turns that into a result."""

    @property
    def name(self) -> str:
        """The component's name: `database`, `message_broker`, `event_store`, `cache`."""

    @property
    def optional(self) -> bool:
        """Whether its loss only degrades the process."""

    async def check(self) -> ComponentHealth:
        """Ask the dependency now."""


def failed(name: str, error: BaseException, milliseconds: float) -> ComponentHealth:
    """The result of a check that raised (OBS-13): the time spent so far, and the error."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return ComponentHealth(
        name=name,
        status=HealthStatus.UNHEALTHY,
        response_time_ms=milliseconds,
        message=f"{name} check failed",
        details={"error": reason},
    )


async def check_all(
    checks: Sequence[HealthCheck],
    timeout: float = CHECK_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
    now: Callable[[], datetime] | None = None,
) -> SystemHealth:
    """Ask every check at once, each within `timeout` seconds. Never raises for a check's sake."""
    components = await asyncio.gather(*(answer_of(check, timeout, clock) for check in checks))
    return summarise(list(zip(checks, components, strict=True)), now() if now else datetime.now(UTC))


async def answer_of(check: HealthCheck, timeout: float, clock: Callable[[], float] = time.perf_counter) -> ComponentHealth:
    """One check's answer within `timeout` seconds; an error and a silence are answers too."""
    started = clock()
    try:
        async with asyncio.timeout(timeout):
            return await check.check()
    except TimeoutError:
        return failed(check.name, TimeoutError(f"no answer within {timeout:g} s"), (clock() - started) * 1000)
    except Exception as error:  # a failing check is a result (OBS-12)
        return failed(check.name, error, (clock() - started) * 1000)


def summarise(answers: Sequence[tuple[HealthCheck, ComponentHealth]], timestamp: datetime) -> SystemHealth:
    """The state of the whole: the worst component counts, where an optional one counts at most as degraded.

    Several components of one name (two workers' databases in one process) stand side by side; `dependencies` shows the worst.
    """
    by_name: dict[str, HealthStatus] = {}
    for _, component in answers:
        by_name[component.name] = worst([by_name.get(component.name, HealthStatus.HEALTHY), component.status])
    return SystemHealth(
        overall_status=worst([weight(check, component) for check, component in answers]),
        timestamp=timestamp,
        components=tuple(component for _, component in answers),
        dependencies=by_name,
    )


def weight(check: HealthCheck, component: ComponentHealth) -> HealthStatus:
    """How a component counts for its process: as it is, but an optional one at most as degraded (OBS-12)."""
    if check.optional and component.status is HealthStatus.UNHEALTHY:
        return HealthStatus.DEGRADED
    return component.status
