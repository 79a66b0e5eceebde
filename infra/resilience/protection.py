"""Puts bulkhead, circuit breaker, retry and time limit around the calls of one dependency; adapters call their servers through it.

From the outside in: bulkhead, breaker, retry, time limit. So one call counts once against the breaker however often it is tried, and
each attempt has the whole time limit. Domain code and handlers know nothing of it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from infra.resilience.bounded_retry import RETRY, BoundedRetry, RetryPolicy
from infra.resilience.breaker import BREAKER, BreakerPolicy, CircuitBreaker, CircuitState
from infra.resilience.bulkhead import BULKHEAD, Bulkhead, BulkheadPolicy
from infra.resilience.timeouts import DATABASE_SECONDS, TimeLimit
from infra.telemetry.metrics import Metrics

P = ParamSpec("P")
Result = TypeVar("Result")


class Wrapper(Protocol):
    """What Protection is made of; each of its parts can be used alone."""

    async def call(self, fn: Callable[P, Awaitable[Result]], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...

    def call_sync(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result: ...


class Protection:
    """The protection of one named dependency, to be shared by everything in the process that calls it.

    A part that is given as None is left out: inside command workers, whose own retry never gives up, Postgres and Kafka have
    `bulkhead=None, retry=None, seconds=None`. Raises, all of them transient: BulkheadFull, CircuitOpen, CallTimedOut; else what the
    function raises, unchanged.
    """

    def __init__(
        self,
        name: str,
        metrics: Metrics,
        *,
        bulkhead: BulkheadPolicy | None = BULKHEAD,
        breaker: BreakerPolicy | None = BREAKER,
        retry: RetryPolicy | None = RETRY,
        seconds: float | None = DATABASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        sleep_sync: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.breaker = None if breaker is None else _measured_breaker(name, metrics, breaker, clock)
        self.bulkhead = None if bulkhead is None else _measured_bulkhead(name, metrics, bulkhead)
        self._parts: list[Wrapper] = []  # from the inside out
        if seconds is not None:
            self._parts.append(TimeLimit(name, seconds))
        if retry is not None:
            retried = metrics.retries_total.labels(name=name).inc
            self._parts.append(BoundedRetry(name, retry, retried=retried, sleep=sleep, sleep_sync=sleep_sync, chance=chance))
        self._parts.extend(part for part in (self.breaker, self.bulkhead) if part is not None)

    async def call(self, fn: Callable[P, Awaitable[Result]], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the coroutine function answers. One that blocks goes through `call(asyncio.to_thread, function, …)`."""
        wrapped: Callable[..., Awaitable[Result]] = fn
        for part in self._parts:
            wrapped = functools.partial(part.call, wrapped)
        return await wrapped(*args, **kwargs)

    def call_sync(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the plain function answers; it blocks its thread, so it is not for event loops."""
        if inspect.iscoroutinefunction(fn):
            raise TypeError(f"{self.name}: call_sync would not await a coroutine function; use call")
        wrapped: Callable[..., Any] = fn
        for part in self._parts:
            wrapped = functools.partial(part.call_sync, wrapped)
        result: Result = wrapped(*args, **kwargs)
        return result


def _measured_breaker(name: str, metrics: Metrics, policy: BreakerPolicy, clock: Callable[[], float]) -> CircuitBreaker:
    transitions = {state: metrics.circuit_transitions_total.labels(name=name, state=state.label) for state in CircuitState}
    breaker = CircuitBreaker(name, policy, clock=clock, changed=lambda state: transitions[state].inc())
    # Read when the metrics are: the gauge cannot differ from the circuit.
    metrics.circuit_state.labels(name=name).set_function(lambda: float(breaker.state))
    return breaker


def _measured_bulkhead(name: str, metrics: Metrics, policy: BulkheadPolicy) -> Bulkhead:
    bulkhead = Bulkhead(name, policy, refused=metrics.bulkhead_refused_total.labels(name=name).inc)
    metrics.bulkhead_active.labels(name=name).set_function(lambda: bulkhead.active)
    metrics.bulkhead_waiting.labels(name=name).set_function(lambda: bulkhead.waiting)
    return bulkhead
