"""Tries a call again a few times and then raises its last error; for callers that wait for an answer.

Workers, which must not give up, use `retry.py`; both wait as `delay_ms` says.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, ParamSpec, TypeVar

import pydantic
import tenacity
from pydantic import BaseModel, Field

from contracts.errors import ConcurrencyConflict, DomainError
from infra.errors import ConfigurationError, DataError
from infra.resilience.retry import delay_ms

logger = logging.getLogger(__name__)
P = ParamSpec("P")
Result = TypeVar("Result")

# Refusals: the answer would be the same again. DomainError is the base of validation, business rules, not found and permission.
NEVER_RETRIED: Final = (DomainError, DataError, ConfigurationError, pydantic.ValidationError, PermissionError)


class RetryPolicy(BaseModel, frozen=True, extra="forbid"):
    """How often a call is tried in all, and after which errors again. NEVER_RETRIED holds whatever `retryable` says.

    An error with a number in `retry_after`, as a server asks for that is overloaded, is waited for at least so many seconds; one that
    asks for more than `longest_asked_seconds` is not tried again.
    """

    attempts: int = Field(default=3, ge=1)
    longest_asked_seconds: float = Field(default=30.0, ge=0)
    jitter: bool = True
    retryable: tuple[type[Exception], ...] = (Exception,)

    def retries(self, error: BaseException) -> bool:
        """Whether a call that ended with this error is tried again. A conflict only where it is named: the call must load anew."""
        if isinstance(error, ConcurrencyConflict):
            return any(issubclass(kind, ConcurrencyConflict) for kind in self.retryable)
        if asked_seconds(error) > self.longest_asked_seconds:
            return False
        return isinstance(error, self.retryable) and not isinstance(error, NEVER_RETRIED)


RETRY: Final = RetryPolicy()
# For a function that loads and appends: it loads anew up to three times.
RELOAD: Final = RetryPolicy(attempts=4, retryable=(ConcurrencyConflict,))


class BoundedRetry:
    """Tries the calls of one dependency again. `retried` is called once per repeated attempt, before the wait.

    tenacity comes in with the first failure, which it is told: a call that succeeds at once would spend more in it than a cache does
    on its answer.
    """

    def __init__(
        self,
        name: str,
        policy: RetryPolicy = RETRY,
        *,
        retried: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        sleep_sync: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._policy = policy
        self._retried = retried
        self._sleep = sleep
        self._sleep_sync = sleep_sync
        self._chance = chance

    async def call(self, fn: Callable[P, Awaitable[Result]], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the coroutine function answers; raises its last error once the attempts are spent, any other at once."""
        try:
            return await fn(*args, **kwargs)
        except self._policy.retryable as error:
            first = self._retryable(error)
        async for attempt in tenacity.AsyncRetrying(sleep=self._sleep, **self._arguments(fn, args)):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise first
                return await fn(*args, **kwargs)
        raise AssertionError("tenacity ends by a result or an exception")

    def call_sync(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the plain function answers, as `call`; the caller's thread sleeps in between."""
        try:
            return fn(*args, **kwargs)
        except self._policy.retryable as error:
            first = self._retryable(error)
        for attempt in tenacity.Retrying(sleep=self._sleep_sync, **self._arguments(fn, args)):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise first
                return fn(*args, **kwargs)
        raise AssertionError("tenacity ends by a result or an exception")

    def _retryable(self, error: Exception) -> Exception:
        """The error, if the call is to be tried again; else it leaves at once."""
        if not self._policy.retries(error):
            raise error
        return error

    def _arguments(self, fn: Callable[..., object], args: tuple[Any, ...]) -> dict[str, Any]:
        """The arguments of a tenacity object, which keeps the state of one call."""
        operation = f"{self.name}: {operation_name(fn, args)}"
        return {
            "retry": tenacity.retry_if_exception(self._policy.retries),
            "stop": tenacity.stop_after_attempt(self._policy.attempts),
            "wait": self._wait,
            "before_sleep": lambda state: self._report(operation, state),
            "after": lambda state: self._report_spent(operation, state),
            "reraise": True,
        }

    def _wait(self, state: tenacity.RetryCallState) -> float:
        jitter = self._chance() * 2 - 1 if self._policy.jitter else 0.0
        asked = asked_seconds(state.outcome.exception() if state.outcome else None)
        return max(delay_ms(state.attempt_number, jitter) / 1000, asked)

    def _report(self, operation: str, state: tenacity.RetryCallState) -> None:
        delay = round(state.next_action.sleep * 1000) if state.next_action else 0
        number, attempts = state.attempt_number, self._policy.attempts
        logger.warning("%s failed (attempt %d of %d), next try in %d ms: %s", operation, number, attempts, delay, _cause(state))
        self._retried()

    def _report_spent(self, operation: str, state: tenacity.RetryCallState) -> None:
        if state.attempt_number >= self._policy.attempts:
            logger.error("%s failed for good after %d attempts: %s", operation, state.attempt_number, _cause(state))


def asked_seconds(error: BaseException | None) -> float:
    """How long the other side asked to wait before the next call."""
    asked = getattr(error, "retry_after", None)
    return float(asked) if isinstance(asked, int | float) and not isinstance(asked, bool) else 0.0


def operation_name(fn: Callable[..., object], args: tuple[Any, ...] = ()) -> str:
    """The name of the function at the bottom of wrappers, partials and `asyncio.to_thread`."""
    while isinstance(fn, functools.partial):
        args = (*fn.args, *args)
        # A wrapper's own `call` takes the function that it wraps first.
        fn, args = (args[0], args[1:]) if args and callable(args[0]) else (fn.func, args)
    if fn is asyncio.to_thread and args and callable(args[0]):
        return operation_name(args[0], args[1:])
    return str(getattr(fn, "__name__", type(fn).__name__))


def _cause(state: tenacity.RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome else None
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
