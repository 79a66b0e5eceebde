"""A call has so many seconds and no more; its own errors and its answer pass through."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from infra.errors import CallTimedOut, TransientError
from infra.resilience import timeouts
from infra.resilience.timeouts import TimeLimit
from tests import virtual_time


def test_the_limits_are_those_of_the_requirement() -> None:
    assert (timeouts.DATABASE_SECONDS, timeouts.CACHE_CONNECT_SECONDS, timeouts.BROKER_SECONDS) == (30, 5, 5)
    assert TimeLimit("postgres").seconds == 30


def test_a_call_without_an_answer_is_cancelled_when_its_time_is_over() -> None:
    cancelled_at: list[float] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            cancelled_at.append(asyncio.get_running_loop().time())

    async def main() -> None:
        with pytest.raises(CallTimedOut, match=r"redis did not answer within 5 s") as error:
            await TimeLimit("redis", 5).call(hang)
        assert isinstance(error.value, TransientError)
        assert error.value.name == "redis"

    virtual_time.run(main())
    assert cancelled_at == [5]


def test_an_answer_just_in_time_is_an_answer() -> None:
    assert virtual_time.run(TimeLimit("redis", 5).call(asyncio.sleep, 4.999, "answer")) == "answer"


async def test_the_functions_own_timeout_is_its_own() -> None:
    async def fail() -> None:
        raise TimeoutError("of the driver")

    def fail_sync() -> None:
        raise TimeoutError("of the driver")

    with pytest.raises(TimeoutError, match="of the driver"):
        await TimeLimit("redis", 5).call(fail)
    with pytest.raises(TimeoutError, match="of the driver"):
        TimeLimit("redis", 5).call_sync(fail_sync)


async def test_a_cancellation_from_outside_stays_one() -> None:
    task = asyncio.create_task(TimeLimit("redis", 5).call(asyncio.sleep, 3600))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_plain_call_is_given_up_when_its_time_is_over() -> None:
    let_go, ended = threading.Event(), threading.Event()

    def hang() -> None:
        let_go.wait(10)
        ended.set()

    with pytest.raises(CallTimedOut, match=r"vault did not answer within 0\.01 s"):
        TimeLimit("vault", 0.01).call_sync(hang)
    let_go.set()
    assert ended.wait(10)


def test_a_plain_call_has_the_callers_context_its_arguments_and_its_answer() -> None:
    request: contextvars.ContextVar[str] = contextvars.ContextVar("request")
    request.set("r-1")
    assert TimeLimit("vault", 10).call_sync(lambda text, *, end: text + request.get() + end, "<", end=">") == "<r-1>"


def test_a_plain_call_raises_what_its_function_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        TimeLimit("vault", 10).call_sync(divmod, 1, 0)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_is_above_zero(seconds: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        TimeLimit("vault", seconds)
