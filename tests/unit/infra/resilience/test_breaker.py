"""A circuit opens, is tried and closes exactly when it should, for coroutines and plain functions, on a clock of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable

import pytest

from infra.errors import CircuitOpen, TransientError
from infra.resilience.breaker import BreakerPolicy, CircuitBreaker, CircuitState
from tests.virtual_time import Clock

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
Try = Callable[[CircuitBreaker, BaseException | None], Awaitable[None]]


class Refused(Exception):
    """Stands for an answer of a healthy server."""


async def try_async(breaker: CircuitBreaker, error: BaseException | None = None) -> None:
    async def call() -> None:
        if error:
            raise error

    await breaker.call(call)


async def try_sync(breaker: CircuitBreaker, error: BaseException | None = None) -> None:
    def call() -> None:
        if error:
            raise error

    breaker.call_sync(call)


both = pytest.mark.parametrize("attempt", [try_async, try_sync])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("vault", clock=clock)


async def fail(breaker: CircuitBreaker, times: int, attempt: Try = try_async) -> None:
    for _ in range(times):
        with pytest.raises(TransientError, match="away"):
            await attempt(breaker, TransientError("away"))


async def half_opened(breaker: CircuitBreaker, clock: Clock) -> None:
    """Bring the circuit to half-open, with one of its two successes."""
    await fail(breaker, 5)
    clock.now += 60.001
    await try_async(breaker)
    assert breaker.state is HALF_OPEN


@both
async def test_the_fifth_failure_in_a_row_opens_the_circuit(breaker: CircuitBreaker, attempt: Try) -> None:
    await fail(breaker, 4, attempt)
    assert breaker.state is CLOSED
    await fail(breaker, 1, attempt)
    assert breaker.state is OPEN


@both
async def test_a_success_resets_the_count(breaker: CircuitBreaker, attempt: Try) -> None:
    for _ in range(3):
        await fail(breaker, 4, attempt)
        await attempt(breaker, None)
    assert breaker.state is CLOSED


@both
async def test_every_counted_failure_reaches_the_caller_as_it_is_the_tripping_one_too(breaker: CircuitBreaker, attempt: Try) -> None:
    errors = [TransientError(f"away {number}") for number in range(5)]
    for error in errors:
        with pytest.raises(TransientError) as raised:
            await attempt(breaker, error)
        assert raised.value is error
        assert error.__cause__ is None
        assert "pybreaker" not in "".join(traceback.format_exception(error))
    assert breaker.state is OPEN


@both
async def test_an_open_circuit_refuses_at_once_names_itself_and_does_not_call(breaker: CircuitBreaker, clock: Clock, attempt: Try) -> None:
    await fail(breaker, 5)
    clock.now += 20
    for _ in range(3):
        with pytest.raises(CircuitOpen, match="circuit vault") as refused:
            await attempt(breaker, AssertionError("called"))
        assert (refused.value.name, refused.value.retry_after) == ("vault", 40)
    assert isinstance(refused.value, TransientError)


@both
async def test_the_circuit_is_tried_strictly_more_than_60_seconds_after_the_last_failure(
    breaker: CircuitBreaker, clock: Clock, attempt: Try
) -> None:
    await fail(breaker, 4)
    clock.now = 7
    await fail(breaker, 1)
    for moment in (7, 66.999, 67):
        clock.now = moment
        with pytest.raises(CircuitOpen):
            await attempt(breaker, None)
        assert breaker.state is OPEN
    clock.now = 67.001
    await attempt(breaker, None)
    assert breaker.state is HALF_OPEN


@both
async def test_two_successes_close_a_half_open_circuit_and_the_count_begins_anew(
    breaker: CircuitBreaker, clock: Clock, attempt: Try
) -> None:
    await half_opened(breaker, clock)
    await attempt(breaker, None)
    assert breaker.state is CLOSED
    await fail(breaker, 4, attempt)
    assert breaker.state is CLOSED
    await fail(breaker, 1, attempt)
    assert breaker.state is OPEN


@both
@pytest.mark.parametrize("successes", [0, 1])
async def test_one_failure_opens_a_half_open_circuit_at_once_for_another_60_seconds(
    breaker: CircuitBreaker, clock: Clock, attempt: Try, successes: int
) -> None:
    await fail(breaker, 5)
    clock.now = 61
    for _ in range(successes):
        await attempt(breaker, None)
    await fail(breaker, 1, attempt)
    assert breaker.state is OPEN
    clock.now = 121
    with pytest.raises(CircuitOpen):
        await attempt(breaker, None)
    clock.now = 121.001
    await attempt(breaker, None)
    assert breaker.state is HALF_OPEN
    await attempt(breaker, None)
    assert breaker.state is CLOSED


@both
async def test_what_is_not_counted_passes_through_and_changes_no_count(clock: Clock, attempt: Try) -> None:
    breaker = CircuitBreaker("vault", BreakerPolicy(counted=(TransientError,)), clock=clock)
    await fail(breaker, 4)
    for _ in range(10):
        with pytest.raises(Refused):
            await attempt(breaker, Refused())
    assert breaker.state is CLOSED
    await fail(breaker, 1)
    assert breaker.state is OPEN


@both
async def test_every_exception_counts_unless_told_otherwise(breaker: CircuitBreaker, attempt: Try) -> None:
    for _ in range(5):
        with pytest.raises(Refused):
            await attempt(breaker, Refused())
    assert breaker.state is OPEN


async def test_what_is_not_counted_does_not_close_a_half_open_circuit_and_frees_its_place(clock: Clock) -> None:
    breaker = CircuitBreaker("vault", BreakerPolicy(counted=(TransientError,)), clock=clock)
    await half_opened(breaker, clock)
    for _ in range(3):
        with pytest.raises(Refused):
            await try_async(breaker, Refused())
        assert breaker.state is HALF_OPEN
    await try_async(breaker)
    assert breaker.state is CLOSED


async def cancelled(breaker: CircuitBreaker) -> None:
    task = asyncio.create_task(breaker.call(asyncio.sleep, 3600))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_call_is_neither_a_failure_nor_a_success(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(10):
        await cancelled(breaker)
    await fail(breaker, 4)
    await cancelled(breaker)
    assert breaker.state is CLOSED
    await fail(breaker, 1)
    assert breaker.state is OPEN
    clock.now = 61
    for _ in range(5):
        await cancelled(breaker)
        assert breaker.state is HALF_OPEN
    await try_async(breaker)
    assert breaker.state is HALF_OPEN
    await try_async(breaker)
    assert breaker.state is CLOSED


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()])
def test_what_is_no_exception_is_not_counted(breaker: CircuitBreaker, error: BaseException) -> None:
    def call() -> None:
        raise error

    for _ in range(10):
        with pytest.raises(type(error)):
            breaker.call_sync(call)
    assert breaker.state is CLOSED


def test_only_exceptions_can_be_counted() -> None:
    with pytest.raises(ValueError, match="counted"):
        BreakerPolicy(counted=(asyncio.CancelledError,))  # type: ignore[arg-type]


class Held:
    """Calls that run until they are let go, as many at once as the circuit lets through."""

    def __init__(self, breaker: CircuitBreaker, calls: int) -> None:
        self._let_go: list[asyncio.Future[None]] = []
        self.tasks = [asyncio.create_task(breaker.call(self._run)) for _ in range(calls)]

    async def _run(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._let_go.append(future)
        await future

    @property
    def running(self) -> int:
        return len(self._let_go)

    async def end(self, number: int, error: Exception | None = None) -> None:
        self._let_go[number].set_exception(error) if error else self._let_go[number].set_result(None)
        await settled()

    async def refused(self) -> int:
        await settled()
        return sum(isinstance(task.exception(), CircuitOpen) for task in self.tasks if task.done())


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def held(breaker: CircuitBreaker, calls: int) -> Held:
    result = Held(breaker, calls)
    await settled()
    return result


async def test_of_concurrent_calls_a_half_open_circuit_lets_two_through(breaker: CircuitBreaker, clock: Clock) -> None:
    await fail(breaker, 5)
    clock.now = 61
    calls = await held(breaker, 10)
    assert (calls.running, await calls.refused(), breaker.state) == (2, 8, HALF_OPEN)
    await calls.end(0)
    with pytest.raises(CircuitOpen):  # one success is there, the other under way: no third call is needed
        await try_async(breaker)
    await calls.end(1)
    assert breaker.state is CLOSED


async def test_after_one_success_one_more_call_is_let_through(breaker: CircuitBreaker, clock: Clock) -> None:
    await half_opened(breaker, clock)
    calls = await held(breaker, 3)
    assert (calls.running, await calls.refused()) == (1, 2)
    await calls.end(0)
    assert breaker.state is CLOSED


async def test_a_trial_that_outlives_its_trial_period_neither_closes_nor_opens_the_circuit(breaker: CircuitBreaker, clock: Clock) -> None:
    await fail(breaker, 5)
    clock.now = 61
    first = await held(breaker, 2)
    await first.end(0, TransientError("away"))
    assert breaker.state is OPEN
    clock.now = 122
    second = await held(breaker, 2)
    assert second.running == 2
    await second.end(0)
    await first.end(1)  # an old success is not the second one that is needed
    assert breaker.state is HALF_OPEN
    await second.end(1)
    assert breaker.state is CLOSED
    await asyncio.gather(*first.tasks, *second.tasks, return_exceptions=True)


async def test_an_old_failure_does_not_open_a_circuit_that_closed_since(breaker: CircuitBreaker, clock: Clock) -> None:
    old = await held(breaker, 1)
    await half_opened(breaker, clock)
    await try_async(breaker)
    await old.end(0, TransientError("away"))
    assert breaker.state is CLOSED
    await fail(breaker, 4)
    assert breaker.state is CLOSED
    await asyncio.gather(*old.tasks, return_exceptions=True)


async def test_failures_that_arrive_late_put_off_the_next_trial(breaker: CircuitBreaker, clock: Clock) -> None:
    late = await held(breaker, 2)
    await fail(breaker, 5)
    clock.now = 30
    await late.end(0, TransientError("away"))
    await late.end(1)  # a late success changes nothing
    clock.now = 90
    with pytest.raises(CircuitOpen):
        await try_async(breaker)
    clock.now = 90.001
    await try_async(breaker)
    await asyncio.gather(*late.tasks, return_exceptions=True)


def test_plain_calls_in_threads_do_not_wait_for_each_other(breaker: CircuitBreaker) -> None:
    meeting = threading.Barrier(4, timeout=10)
    threads = [threading.Thread(target=breaker.call_sync, args=(meeting.wait,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    breaker.call_sync(meeting.wait)
    for thread in threads:
        thread.join()


def test_in_threads_too_a_half_open_circuit_lets_two_through(breaker: CircuitBreaker, clock: Clock) -> None:
    def fail_once() -> None:
        raise TransientError("away")

    for _ in range(5):
        with contextlib.suppress(TransientError):
            breaker.call_sync(fail_once)
    clock.now = 61
    let_go, counted = threading.Event(), threading.Semaphore(0)
    refused: list[CircuitOpen] = []

    def trial() -> None:
        try:
            breaker.call_sync(lambda: (counted.release(), let_go.wait(10)))
        except CircuitOpen as error:
            refused.append(error)
            counted.release()

    threads = [threading.Thread(target=trial) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert all(counted.acquire(timeout=10) for _ in threads)
    assert len(refused) == 6
    let_go.set()
    for thread in threads:
        thread.join()
    assert breaker.state is CLOSED


async def test_each_change_of_state_is_told_and_logged(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[CircuitState] = []
    breaker = CircuitBreaker("vault", clock=clock, changed=seen.append)
    with caplog.at_level(logging.INFO, "infra.resilience.breaker"):
        await half_opened(breaker, clock)
        await try_async(breaker)
    assert seen == [OPEN, HALF_OPEN, CLOSED]
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "circuit vault is open"),
        ("INFO", "circuit vault is half_open"),
        ("INFO", "circuit vault is closed"),
    ]


async def test_the_limits_can_be_given(clock: Clock) -> None:
    breaker = CircuitBreaker("x", BreakerPolicy(failure_threshold=1, recovery_seconds=2, success_threshold=1), clock=clock)
    await fail(breaker, 1)
    clock.now = 2
    with pytest.raises(CircuitOpen):
        await try_async(breaker)
    clock.now = 2.5
    await try_async(breaker)
    assert breaker.state is CLOSED


async def test_answer_and_arguments_pass_through(breaker: CircuitBreaker) -> None:
    async def divide(value: int, *, by: int) -> int:
        return value // by

    assert await breaker.call(divide, 6, by=2) == 3
    assert breaker.call_sync(divmod, 7, 2) == (3, 1)
