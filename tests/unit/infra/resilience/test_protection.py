"""The parts in their order, for coroutines and plain functions, and what the metrics say of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts.errors import BusinessRuleViolation
from infra.errors import BulkheadFull, CallTimedOut, CircuitOpen, TransientError
from infra.resilience.bounded_retry import RetryPolicy
from infra.resilience.breaker import BreakerPolicy, CircuitState
from infra.resilience.bulkhead import BulkheadPolicy
from infra.resilience.protection import Protection
from infra.telemetry.metrics import Metrics
from tests import virtual_time
from tests.virtual_time import Clock


class Port:
    """Fails while it is down, and counts the attempts."""

    def __init__(self, *, down: bool = True, error: Exception | None = None) -> None:
        self.down = down
        self.error = error or TransientError("away")
        self.calls = 0

    def read_sync(self) -> str:
        self.calls += 1
        if self.down:
            raise self.error
        return "answer"

    async def read(self) -> str:
        return self.read_sync()


Call = Callable[[Protection, Port], Awaitable[str]]


async def call_async(protection: Protection, port: Port) -> str:
    return await protection.call(port.read)


async def call_sync(protection: Protection, port: Port) -> str:
    return protection.call_sync(port.read_sync)


both = pytest.mark.parametrize("call", [call_async, call_sync])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def protection_on(clock: Clock, metrics: Metrics, name: str = "vault", **parts: Any) -> Protection:
    return Protection(name, metrics, clock=clock, sleep=clock.sleep, sleep_sync=clock.sleep_sync, chance=lambda: 0.5, **parts)


def value(metrics: Metrics, metric: str, name: str = "vault", **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"agentmesh_{metric}", {"name": name, **labels})


async def fail(call: Call, protection: Protection, port: Port, times: int) -> None:
    for _ in range(times):
        with pytest.raises(type(port.error)):
            await call(protection, port)


@both
async def test_one_call_counts_once_against_the_breaker_though_it_is_tried_three_times(call: Call, clock: Clock, metrics: Metrics) -> None:
    protection, port = protection_on(clock, metrics), Port()
    await fail(call, protection, port, 4)
    assert (port.calls, value(metrics, "circuit_state")) == (12, CircuitState.CLOSED)
    with pytest.raises(TransientError) as raised:
        await call(protection, port)
    assert raised.value is port.error
    assert (port.calls, value(metrics, "circuit_state")) == (15, CircuitState.OPEN)
    with pytest.raises(CircuitOpen):
        await call(protection, port)
    assert port.calls == 15
    assert value(metrics, "retries_total") == 10


@both
async def test_a_call_that_succeeds_in_the_end_is_a_success_for_the_breaker(call: Call, clock: Clock, metrics: Metrics) -> None:
    protection = protection_on(clock, metrics)
    down = Port()
    await fail(call, protection, down, 4)
    assert await call(protection, Port(down=False)) == "answer"
    await fail(call, protection, down, 4)
    assert protection.breaker is not None
    assert protection.breaker.state is CircuitState.CLOSED


@both
async def test_the_circuit_recovers_on_the_given_clock(call: Call, clock: Clock, metrics: Metrics) -> None:
    protection, port = protection_on(clock, metrics), Port()
    await fail(call, protection, port, 5)
    port.down = False
    clock.now += 60
    with pytest.raises(CircuitOpen):
        await call(protection, port)
    clock.now += 0.001
    assert [await call(protection, port), value(metrics, "circuit_state")] == ["answer", CircuitState.HALF_OPEN]
    assert [await call(protection, port), value(metrics, "circuit_state")] == ["answer", CircuitState.CLOSED]
    transitions = {state: value(metrics, "circuit_transitions_total", state=state) for state in ("open", "half_open", "closed")}
    assert transitions == {"open": 1, "half_open": 1, "closed": 1}


async def test_the_bulkhead_stands_outside_so_what_it_refuses_is_no_failure(clock: Clock, metrics: Metrics) -> None:
    protection = protection_on(clock, metrics, bulkhead=BulkheadPolicy(concurrent=1, waiting=1))
    let_go = asyncio.Event()
    tasks = [asyncio.create_task(protection.call(let_go.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (value(metrics, "bulkhead_active"), value(metrics, "bulkhead_waiting")) == (1, 1)
    for _ in range(10):
        with pytest.raises(BulkheadFull):
            await call_async(protection, Port())
    assert value(metrics, "bulkhead_refused_total") == 10
    assert value(metrics, "circuit_state") == CircuitState.CLOSED
    let_go.set()
    assert await asyncio.gather(*tasks) == [True, True]
    assert (value(metrics, "bulkhead_active"), value(metrics, "bulkhead_waiting")) == (0, 0)


async def test_a_call_keeps_its_slot_while_it_waits_for_its_next_attempt(metrics: Metrics) -> None:
    seen: list[float | None] = []

    async def sleep(_: float) -> None:
        seen.append(value(metrics, "bulkhead_active"))

    with pytest.raises(TransientError):
        await Protection("vault", metrics, sleep=sleep).call(Port().read)
    assert seen == [1, 1]


def test_each_attempt_has_the_whole_time_limit(metrics: Metrics) -> None:
    started: list[float] = []

    async def hang() -> None:
        started.append(asyncio.get_running_loop().time())
        await asyncio.sleep(3600)

    async def main() -> float:
        with pytest.raises(CallTimedOut):
            await Protection("vault", metrics, seconds=30, chance=lambda: 0.5).call(hang)
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(90.3)
    assert started == pytest.approx([0, 30.1, 60.3])


def test_plain_calls_are_given_up_too(clock: Clock, metrics: Metrics) -> None:
    let_go = threading.Event()
    protection = protection_on(clock, metrics, seconds=0.01)
    with pytest.raises(CallTimedOut):
        protection.call_sync(let_go.wait, 10)
    let_go.set()
    assert clock.slept == [0.1, 0.2]


@both
async def test_inside_command_workers_a_call_has_breaker_and_metrics_only(call: Call, clock: Clock, metrics: Metrics) -> None:
    protection, port = protection_on(clock, metrics, "postgres", bulkhead=None, retry=None, seconds=None), Port()
    await fail(call, protection, port, 5)
    assert port.calls == 5
    with pytest.raises(CircuitOpen, match="postgres"):
        await call(protection, port)
    assert value(metrics, "circuit_state", "postgres") == CircuitState.OPEN
    assert value(metrics, "retries_total", "postgres") is value(metrics, "bulkhead_active", "postgres") is None
    assert protection.bulkhead is None


@both
async def test_each_part_can_be_left_out(call: Call, clock: Clock, metrics: Metrics) -> None:
    protection = protection_on(clock, metrics, bulkhead=None, breaker=None, retry=None, seconds=None)
    assert await call(protection, Port(down=False)) == "answer"
    assert value(metrics, "circuit_state") is None


@both
async def test_refusals_of_a_healthy_server_need_not_open_the_circuit(call: Call, clock: Clock, metrics: Metrics) -> None:
    port = Port(error=BusinessRuleViolation("no", rule="r"))
    protection = protection_on(clock, metrics, breaker=BreakerPolicy(counted=(TransientError,)))
    await fail(call, protection, port, 20)
    assert port.calls == 20
    assert value(metrics, "circuit_state") == CircuitState.CLOSED


async def test_a_cancelled_call_leaves_all_counts_as_they_were(clock: Clock, metrics: Metrics) -> None:
    protection = protection_on(clock, metrics)
    for _ in range(10):
        task = asyncio.create_task(protection.call(asyncio.sleep, 3600))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (value(metrics, "circuit_state"), value(metrics, "bulkhead_active"), value(metrics, "retries_total")) == (0, 0, 0)


def test_every_metric_is_there_from_the_start(clock: Clock, metrics: Metrics) -> None:
    protection_on(clock, metrics)
    plain = ("circuit_state", "retries_total", "bulkhead_active", "bulkhead_waiting", "bulkhead_refused_total")
    assert [value(metrics, name) for name in plain] == [0] * 5
    states = ("closed", "open", "half_open")
    assert [value(metrics, "circuit_transitions_total", state=state) for state in states] == [0] * 3


async def test_two_dependencies_have_nothing_in_common(clock: Clock, metrics: Metrics) -> None:
    redis, vault = protection_on(clock, metrics, "redis"), protection_on(clock, metrics, "vault")
    await fail(call_async, redis, Port(), 5)
    assert await call_async(vault, Port(down=False)) == "answer"
    assert (value(metrics, "circuit_state", "redis"), value(metrics, "circuit_state", "vault")) == (1, 0)


async def test_a_function_that_blocks_goes_through_a_thread(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    protection = Protection("vault", metrics, retry=RetryPolicy(attempts=1))
    assert await protection.call(asyncio.to_thread, Port(down=False).read_sync) == "answer"
    with pytest.raises(TransientError):
        await protection.call(asyncio.to_thread, Port().read_sync)
    assert caplog.messages == ["vault: read_sync failed for good after 1 attempts: TransientError: away"]


def test_a_plain_call_refuses_a_coroutine_function(clock: Clock, metrics: Metrics) -> None:
    with pytest.raises(TypeError, match="use call"):
        protection_on(clock, metrics).call_sync(Port().read)


async def test_arguments_reach_the_function(clock: Clock, metrics: Metrics) -> None:
    async def read(fn: str, *, self: str) -> tuple[str, str]:
        return fn, self

    assert await protection_on(clock, metrics).call(read, "a", self="b") == ("a", "b")
    assert protection_on(clock, metrics).call_sync(dict, fn="a", self="b") == {"fn": "a", "self": "b"}
