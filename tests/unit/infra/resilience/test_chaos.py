"""The chaos tool does what it says, twice the same; and what a number of attempts is worth under it."""

from __future__ import annotations

import asyncio

import pytest

from infra.errors import CircuitOpen, TransientError
from infra.resilience.bounded_retry import RetryPolicy
from infra.resilience.bulkhead import BulkheadPolicy
from infra.resilience.protection import Protection
from infra.telemetry.metrics import Metrics
from tests import virtual_time
from tests.chaos_tool import Chaos, InjectedFailure
from tests.virtual_time import Clock

CALLS = 10_000


async def failed(chaos: Chaos, calls: int) -> list[int]:
    """The numbers of the calls that failed."""
    result = []
    for number in range(calls):
        try:
            async with chaos.disturbed():
                pass
        except InjectedFailure:
            result.append(number)
    return result


def test_latency_is_added_before_the_answer() -> None:
    async def main() -> float:
        async with Chaos(latency_ms=500).disturbed():
            return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == 0.5
    clock = Clock()
    with Chaos(latency_ms=500, sleep_sync=clock.sleep_sync).disturbed_sync():
        assert clock.now == 0.5


async def test_the_same_start_gives_the_same_failures() -> None:
    first = await failed(Chaos(failure_injection_percent=33), 200)
    assert first == await failed(Chaos(failure_injection_percent=33), 200)
    assert first != await failed(Chaos(failure_injection_percent=33, seed=1), 200)


@pytest.mark.parametrize(("percent", "share"), [(0, 0.0), (33, 0.33), (100, 1.0)])
async def test_the_given_share_of_the_calls_fails(percent: float, share: float) -> None:
    chaos = Chaos(failure_injection_percent=percent)
    assert len(await failed(chaos, CALLS)) / CALLS == pytest.approx(share, abs=0.02)
    assert (chaos.calls, chaos.injected / CALLS) == (CALLS, pytest.approx(share, abs=0.02))


def test_the_error_can_be_chosen_and_the_body_is_not_run() -> None:
    chaos = Chaos(failure_injection_percent=100, error=lambda: ConnectionError("cut"))
    with pytest.raises(ConnectionError, match="cut"), chaos.disturbed_sync():
        raise AssertionError("the body ran")


@pytest.mark.parametrize("wrong", [{"latency_ms": -1}, {"failure_injection_percent": 101}, {"failure_injection_percent": -1}])
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="latency_ms"):
        Chaos(**wrong)


def availability(attempts: int, calls: int = 3_000) -> tuple[float, int]:
    """The share of the calls that got an answer at 33 % failures, and how many a circuit refused; all run at once."""
    chaos = Chaos(failure_injection_percent=33, latency_ms=1)
    room = BulkheadPolicy(concurrent=100, waiting=calls)

    async def answer() -> bool:
        async with chaos.disturbed():
            return True

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        protection = Protection(
            "router", Metrics(), bulkhead=room, retry=RetryPolicy(attempts=attempts), clock=loop.time, chance=lambda: 0.5
        )
        return await asyncio.gather(*(protection.call(answer) for _ in range(calls)), return_exceptions=True)

    results = virtual_time.run(main())
    assert all(result is True or isinstance(result, TransientError) for result in results)
    return sum(result is True for result in results) / calls, sum(isinstance(result, CircuitOpen) for result in results)


def test_at_a_third_of_failures_three_attempts_are_too_few_and_five_suffice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    three, _ = availability(3)
    five, refused = availability(5)
    assert three == pytest.approx(0.964, abs=0.01)
    assert three < 0.99
    assert five == pytest.approx(0.996, abs=0.002)
    assert (five >= 0.99, refused) == (True, 0)


def test_a_breaker_that_counted_attempts_would_open_where_one_that_counts_calls_does_not() -> None:
    chaos = Chaos(failure_injection_percent=33)

    def answer() -> bool:
        with chaos.disturbed_sync():
            return True

    attempts_counted = Protection("x", Metrics(), retry=None, seconds=None, clock=Clock())
    outcomes = [outcome(attempts_counted, answer) for _ in range(2_000)]
    assert outcomes.count("refused") > 1_000
    calls_counted = Protection("x", Metrics(), retry=RetryPolicy(attempts=5), seconds=None, clock=Clock(), sleep_sync=lambda _: None)
    outcomes = [outcome(calls_counted, answer) for _ in range(2_000)]
    assert outcomes.count("refused") == 0
    assert outcomes.count("answered") / 2_000 >= 0.99


def outcome(protection: Protection, answer: object) -> str:
    try:
        protection.call_sync(answer)  # type: ignore[arg-type]
    except CircuitOpen:
        return "refused"
    except InjectedFailure:
        return "failed"
    return "answered"
