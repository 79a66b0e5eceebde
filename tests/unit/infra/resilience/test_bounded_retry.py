"""A call is tried so many times, after the delays of the requirement, and never after a refusal."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pydantic
import pytest

from contracts.errors import BusinessRuleViolation, ConcurrencyConflict, DomainError, ResourceNotFound, ValidationError
from infra.errors import ConfigurationError, DataError, TransientError
from infra.resilience.bounded_retry import RELOAD, BoundedRetry, RetryPolicy, operation_name
from infra.resilience.retry import delay_ms
from tests.virtual_time import Clock


class Port:
    """Fails with each of the errors in turn, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def read_sync(self, value: str) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value

    async def read(self, value: str) -> str:
        return self.read_sync(value)


async def read_async(retry: BoundedRetry, port: Port) -> str:
    return await retry.call(port.read, "answer")


async def read_sync(retry: BoundedRetry, port: Port) -> str:
    return retry.call_sync(port.read_sync, "answer")


Read = Callable[[BoundedRetry, Port], Awaitable[str]]
both = pytest.mark.parametrize("read", [read_async, read_sync])


def retry_on(clock: Clock, policy: RetryPolicy | None = None, chance: float = 0.5, **more: Any) -> BoundedRetry:
    return BoundedRetry("vault", policy or RetryPolicy(), sleep=clock.sleep, sleep_sync=clock.sleep_sync, chance=lambda: chance, **more)


def failures(count: int) -> list[TransientError]:
    return [TransientError(f"away {number}") for number in range(1, count + 1)]


def missing_field() -> pydantic.ValidationError:
    try:
        RetryPolicy(attempts="many")
    except pydantic.ValidationError as error:
        return error
    raise AssertionError


@both
async def test_three_attempts_in_all_then_the_last_error_is_raised(read: Read) -> None:
    clock, errors = Clock(), failures(3)
    port = Port(*errors)
    with pytest.raises(TransientError) as raised:
        await read(retry_on(clock), port)
    assert raised.value is errors[-1]
    assert port.calls == 3
    assert clock.slept == [0.1, 0.2]


@both
async def test_a_success_ends_the_attempts(read: Read) -> None:
    clock = Clock()
    assert await read(retry_on(clock), Port(*failures(2))) == "answer"
    assert clock.slept == [0.1, 0.2]
    assert await read(retry_on(clock), Port()) == "answer"
    assert clock.slept == [0.1, 0.2]


@both
async def test_delays_double_from_100_ms_up_to_10_seconds(read: Read) -> None:
    clock = Clock()
    await read(retry_on(clock, RetryPolicy(attempts=10, jitter=False)), Port(*failures(9)))
    assert clock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


@both
@pytest.mark.parametrize(("chance", "first", "last"), [(0.0, 0.08, 8.0), (0.5, 0.1, 10.0), (1.0, 0.12, 12.0)])
async def test_jitter_of_a_fifth_comes_after_the_cap(read: Read, chance: float, first: float, last: float) -> None:
    clock = Clock()
    await read(retry_on(clock, RetryPolicy(attempts=10), chance), Port(*failures(9)))
    assert (clock.slept[0], clock.slept[-1]) == (first, last)


@both
async def test_delays_are_whole_milliseconds(read: Read) -> None:
    clock = Clock()
    await read(retry_on(clock, RetryPolicy(attempts=10), chance=0.123456789), Port(*failures(9)))
    assert [round(slept * 1000) / 1000 for slept in clock.slept] == clock.slept
    assert clock.slept == [delay_ms(number, 0.123456789 * 2 - 1) / 1000 for number in range(1, 10)]


@both
async def test_jitter_is_on_by_default_and_can_be_switched_off(read: Read) -> None:
    with_jitter, without = Clock(), Clock()
    await read(retry_on(with_jitter, chance=1.0), Port(*failures(1)))
    await read(retry_on(without, RetryPolicy(jitter=False), chance=1.0), Port(*failures(1)))
    assert (with_jitter.slept, without.slept) == ([0.12], [0.1])


@both
async def test_other_errors_than_the_retryable_ones_leave_at_once(read: Read) -> None:
    clock, port = Clock(), Port(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await read(retry_on(clock, RetryPolicy(retryable=(TransientError,))), port)
    assert (port.calls, clock.slept) == (1, [])


@both
async def test_every_error_is_retryable_by_default(read: Read) -> None:
    assert await read(retry_on(Clock()), Port(ValueError("no"), KeyError("no"))) == "answer"


@both
@pytest.mark.parametrize("policy", [RetryPolicy(), RetryPolicy(retryable=(DomainError, DataError, ConfigurationError, ValueError))])
@pytest.mark.parametrize(
    "error",
    [
        ValidationError("wrong", field="x"),
        missing_field(),
        BusinessRuleViolation("no", rule="r"),
        ResourceNotFound("Request", "r-1"),
        DomainError("not yours", code="FORBIDDEN"),
        PermissionError("no"),
        DataError("too large"),
        ConfigurationError("set X"),
        ConcurrencyConflict("stale"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_refusals_are_never_retried(read: Read, policy: RetryPolicy, error: Exception) -> None:
    port = Port(error)
    with pytest.raises(type(error)):
        await read(retry_on(Clock(), policy), port)
    assert port.calls == 1


@both
async def test_a_conflict_is_loaded_anew_up_to_three_times(read: Read) -> None:
    port = Port(*[ConcurrencyConflict("stale") for _ in range(3)])
    assert await read(retry_on(Clock(), RELOAD), port) == "answer"
    assert port.calls == 4
    port = Port(*[ConcurrencyConflict("stale") for _ in range(4)])
    with pytest.raises(ConcurrencyConflict):
        await read(retry_on(Clock(), RELOAD), port)
    assert port.calls == 4


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt()])
def test_what_is_no_exception_leaves_at_once(error: BaseException) -> None:
    port = Port(error)
    with pytest.raises(type(error)):
        retry_on(Clock()).call_sync(port.read_sync, "x")
    assert port.calls == 1


async def test_a_cancelled_call_is_not_tried_again() -> None:
    started = []

    async def call() -> None:
        started.append(1)
        await asyncio.sleep(3600)

    task = asyncio.create_task(retry_on(Clock()).call(call))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(started) == 1


@both
async def test_each_failed_attempt_is_a_warning_and_the_end_one_error(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TransientError):
        await read(retry_on(Clock(), chance=0.75), Port(*failures(3)))
    name = "vault: read" if read is read_async else "vault: read_sync"
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, f"{name} failed (attempt 1 of 3), next try in 110 ms: TransientError: away 1"),
        (logging.WARNING, f"{name} failed (attempt 2 of 3), next try in 220 ms: TransientError: away 2"),
        (logging.ERROR, f"{name} failed for good after 3 attempts: TransientError: away 3"),
    ]


@both
async def test_success_and_refusals_log_no_error(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    await read(retry_on(Clock()), Port(TransientError()))
    with pytest.raises(PermissionError):
        await read(retry_on(Clock()), Port(PermissionError()))
    operation = "read" if read is read_async else "read_sync"
    assert caplog.messages == [f"vault: {operation} failed (attempt 1 of 3), next try in 100 ms: TransientError"]


@both
async def test_repeated_attempts_are_counted(read: Read) -> None:
    counted: list[int] = []
    await read(retry_on(Clock(), retried=lambda: counted.append(1)), Port(*failures(2)))
    assert len(counted) == 2


async def test_calls_at_once_keep_their_own_attempts() -> None:
    retry = BoundedRetry("vault", sleep=lambda _: asyncio.sleep(0))
    ports = [Port(*failures(2)) for _ in range(10)]
    assert await asyncio.gather(*(read_async(retry, port) for port in ports)) == ["answer"] * 10
    assert {port.calls for port in ports} == {3}


def test_an_operation_has_the_name_of_the_function_below_its_wrappers() -> None:
    port = Port()
    assert operation_name(functools.partial(print, port.read)) == "read"  # a wrapper takes what it wraps first
    assert operation_name(functools.partial(port.read, "x")) == "read"
    assert operation_name(asyncio.to_thread, (port.read_sync, "x")) == "read_sync"
    assert operation_name(functools.partial(print, asyncio.to_thread), (port.read_sync, "x")) == "read_sync"
    assert operation_name(Clock()) == "Clock"


class Asked(TransientError):
    """Overloaded: asks to be left alone."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("overloaded")
        self.retry_after = retry_after


@both
async def test_a_wait_that_the_server_asked_for_is_kept_where_it_is_longer_than_ours(read: Read) -> None:
    clock = Clock()
    assert await read(retry_on(clock, RetryPolicy(jitter=False)), Port(Asked(7), Asked(0.001))) == "answer"
    assert clock.slept == [7, 0.2]


@both
@pytest.mark.parametrize(("asked", "calls"), [(30.0, 3), (30.1, 1), (3600, 1), (None, 3)])
async def test_a_server_that_asks_for_too_long_a_wait_is_not_asked_again(read: Read, asked: float | None, calls: int) -> None:
    port = Port(*(Asked(asked) for _ in range(5)))
    with pytest.raises(Asked):
        await read(retry_on(Clock()), port)
    assert port.calls == calls
