"""What the whole is, given its components; a failing or silent check is a result."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from infra.health.base import ComponentHealth, HealthCheck, HealthStatus, SystemHealth, check_all
from infra.health.cached import SharedHealth, shown_by
from infra.telemetry.metrics import Metrics

HEALTHY, DEGRADED, UNHEALTHY = HealthStatus.HEALTHY, HealthStatus.DEGRADED, HealthStatus.UNHEALTHY
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Fixed:
    """A check with a known answer."""

    def __init__(self, name: str, status: HealthStatus | Exception = HEALTHY, *, optional: bool = False, wait: float = 0) -> None:
        self.name = name
        self.optional = optional
        self._status = status
        self._wait = wait

    async def check(self) -> ComponentHealth:
        await asyncio.sleep(self._wait)
        if isinstance(self._status, Exception):
            raise self._status
        return ComponentHealth(name=self.name, status=self._status, response_time_ms=1.5, message="fixed")


async def overall(*checks: Fixed) -> HealthStatus:
    return (await check_all(checks)).overall_status


def test_status_values_are_the_agreed_texts() -> None:
    assert [status.value for status in HealthStatus] == ["healthy", "degraded", "unhealthy"]


async def test_the_body_is_the_agreed_one() -> None:
    state = await check_all([Fixed("database"), Fixed("cache", DEGRADED)], now=lambda: NOON)
    assert json.loads(state.model_dump_json()) == {
        "overall_status": "degraded",
        "timestamp": "2026-05-04T12:00:00Z",
        "components": [
            {"name": "database", "status": "healthy", "response_time_ms": 1.5, "message": "fixed", "details": {}},
            {"name": "cache", "status": "degraded", "response_time_ms": 1.5, "message": "fixed", "details": {}},
        ],
        "dependencies": {"database": "healthy", "cache": "degraded"},
    }


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], HEALTHY), ([HEALTHY], HEALTHY), ([HEALTHY, DEGRADED], DEGRADED), ([DEGRADED, HEALTHY], DEGRADED),
        ([DEGRADED, UNHEALTHY], UNHEALTHY), ([UNHEALTHY, HEALTHY], UNHEALTHY),
    ],
)  # fmt: skip
async def test_the_worst_component_counts(statuses: list[HealthStatus], expected: HealthStatus) -> None:
    assert await overall(*(Fixed(f"c{number}", status) for number, status in enumerate(statuses))) is expected


async def test_an_optional_component_degrades_at_most_but_is_shown_as_it_is() -> None:
    state = await check_all([Fixed("database"), Fixed("cache", UNHEALTHY, optional=True)])
    assert state.overall_status is DEGRADED
    assert state.dependencies["cache"] is UNHEALTHY
    assert await overall(Fixed("cache", DEGRADED, optional=True)) is DEGRADED
    assert await overall(Fixed("cache", optional=True), Fixed("database", UNHEALTHY)) is UNHEALTHY


async def test_a_check_that_raises_is_a_result_with_the_time_spent_and_the_error() -> None:
    ticks = iter([10.0, 10.25])
    state = await check_all([Fixed("database", RuntimeError("gone"))], clock=lambda: next(ticks))
    (component,) = state.components
    assert (component.status, component.response_time_ms) == (UNHEALTHY, 250.0)
    assert component.details == {"error": "RuntimeError: gone"}


async def test_an_optional_check_that_raises_degrades() -> None:
    assert await overall(Fixed("cache", RuntimeError(), optional=True)) is DEGRADED


async def test_a_check_that_is_silent_is_a_result_and_holds_nobody_up() -> None:
    state = await check_all([Fixed("broker", wait=60), Fixed("database")], timeout=0.05)
    assert [component.status for component in state.components] == [UNHEALTHY, HEALTHY]
    assert state.components[0].details["error"] == "TimeoutError: no answer within 0.05 s"


async def test_checks_run_concurrently() -> None:
    both = asyncio.Barrier(2)

    class Meeting(Fixed):
        async def check(self) -> ComponentHealth:
            await both.wait()
            return await super().check()

    assert (await check_all([Meeting("a"), Meeting("b")], timeout=5)).overall_status is HEALTHY


async def test_two_components_of_one_name_stand_side_by_side_and_the_worst_is_the_dependency() -> None:
    for statuses in ([HEALTHY, DEGRADED], [DEGRADED, HEALTHY]):
        state = await check_all([Fixed("database", status) for status in statuses])
        assert len(state.components) == 2
        assert state.dependencies == {"database": DEGRADED}


async def test_cancellation_is_no_result() -> None:
    asking = asyncio.create_task(check_all([Fixed("a", wait=60)]))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_the_bodies_are_frozen() -> None:
    component = ComponentHealth(name="a", status=HEALTHY, response_time_ms=1, message="")
    with pytest.raises(ValidationError):
        component.status = UNHEALTHY  # type: ignore[misc]
    state = SystemHealth(overall_status=HEALTHY, timestamp=NOON, components=(), dependencies={})
    with pytest.raises(ValidationError):
        state.overall_status = UNHEALTHY  # type: ignore[misc]


def test_the_test_double_is_a_check() -> None:
    assert isinstance(Fixed("a"), HealthCheck)


async def test_what_a_look_finds_is_shown_by_component_and_of_two_of_one_name_the_worst() -> None:
    metrics = Metrics()
    checks = [Fixed("database", DEGRADED), Fixed("database", HEALTHY), Fixed("message_broker", UNHEALTHY)]
    checks.append(Fixed("cache", ConnectionError("away"), optional=True))
    shared = SharedHealth(lambda: checks, shown_by(metrics.component_health))
    value = metrics.registry.get_sample_value
    assert value("agentmesh_component_health", {"component": "database"}) is None, "nobody has looked yet"
    await shared()
    assert value("agentmesh_component_health", {"component": "database"}) == 1
    assert value("agentmesh_component_health", {"component": "message_broker"}) == 2
    assert value("agentmesh_component_health", {"component": "cache"}) == 1, "an optional one does not make a process unhealthy"
    checks[:] = [Fixed("database", HEALTHY)]
    await shared()
    assert value("agentmesh_component_health", {"component": "database"}) == 0
    assert value("agentmesh_component_health", {"component": "message_broker"}) is None
