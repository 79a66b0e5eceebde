"""Stops calling a dependency that keeps failing, and tries it again later; every protected port call passes through here.

pybreaker keeps the counts and the states. It is told outcomes only, after the call:

- its own `call` holds a lock while the function runs, so plain functions in threads would wait for each other;
- it takes an excluded exception (a cancelled call) for a success, and would close a half-open circuit on it;
- it asks the wall clock, and its half-open state lets every concurrent call through.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, ParamSpec, TypeVar

import pybreaker
from pydantic import BaseModel, Field

from infra.errors import CircuitOpen

logger = logging.getLogger(__name__)
P = ParamSpec("P")
Result = TypeVar("Result")


class CircuitState(enum.IntEnum):
    """The state of a circuit, by the value of its gauge."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2

    @property
    def label(self) -> str:
        """The name of the state in logs and metric labels."""
        return self.name.lower()


_STATES = {
    pybreaker.STATE_CLOSED: CircuitState.CLOSED,
    pybreaker.STATE_OPEN: CircuitState.OPEN,
    pybreaker.STATE_HALF_OPEN: CircuitState.HALF_OPEN,
}


class BreakerPolicy(BaseModel, frozen=True, extra="forbid"):
    """When a circuit opens and closes. What is not `counted` passes through: it is neither a failure nor a success."""

    failure_threshold: int = Field(default=5, ge=1)
    recovery_seconds: float = Field(default=60.0, ge=0)
    success_threshold: int = Field(default=2, ge=1)
    # Exceptions only: a cancelled call is no Exception, and can never count.
    counted: tuple[type[Exception], ...] = (Exception,)


BREAKER: Final = BreakerPolicy()


class _Failed(Exception):
    """Stands for the caller's error before pybreaker, so that the traceback of the real one stays as it is."""


# Pybreaker is given one of these to call, by the outcome of the real call.
def _fail() -> None:
    raise _Failed


def _succeed() -> None:
    return None


class CircuitBreaker(pybreaker.CircuitBreakerListener):
    """The circuit of one dependency, for calls from any number of tasks and threads.

    A call is refused with CircuitOpen while the circuit is open, and while as many trial calls are under way as a half-open circuit
    still needs. The error of a call always reaches its caller unchanged. The outcome of a call that began before the circuit last
    changed its state does not count any more; as a failure it still puts off the next trial. `changed` must not call back.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy = BREAKER,
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[CircuitState], None] = lambda state: None,
    ) -> None:
        self.name = name
        self._policy = policy
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._state = CircuitState.CLOSED
        self._period = 0  # counts changes of state
        self._trials = 0  # calls under way in this half-open period
        self._last_failure = 0.0
        self._breaker = pybreaker.CircuitBreaker(
            name=name,
            fail_max=policy.failure_threshold,
            reset_timeout=policy.recovery_seconds,
            success_threshold=policy.success_threshold,
            throw_new_error_on_trip=False,
            listeners=[self],
        )

    @property
    def state(self) -> CircuitState:
        """The state as of the last call; an open circuit becomes half-open when a call arrives, not by time alone."""
        return self._state

    async def call(self, fn: Callable[P, Awaitable[Result]], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the coroutine function answers; raises CircuitOpen without calling it."""
        with self.calling():
            return await fn(*args, **kwargs)

    def call_sync(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the plain function answers; raises CircuitOpen without calling it."""
        with self.calling():
            return fn(*args, **kwargs)

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        """Holds one call, which may await; its exception tells that it failed."""
        period = self._admit()
        try:
            yield
        except self._policy.counted:
            self._settle(period, _fail)
            raise
        except BaseException:
            self._settle(period, None)
            raise
        self._settle(period, _succeed)

    def _admit(self) -> int:
        """The period in which the call begins; refuses it where the circuit does not let it through."""
        with self._lock:
            if self._state is CircuitState.OPEN:
                passed = self._clock() - self._last_failure
                if passed <= self._policy.recovery_seconds:
                    raise CircuitOpen(self.name, self._policy.recovery_seconds - passed)
                self._breaker.half_open()
            if self._state is CircuitState.HALF_OPEN:
                if self._breaker.success_counter + self._trials >= self._policy.success_threshold:
                    raise CircuitOpen(self.name, 0.0)
                self._trials += 1
            return self._period

    def _settle(self, period: int, outcome: Callable[[], None] | None) -> None:
        with self._lock:
            if outcome is _fail:
                self._last_failure = self._clock()
            if period != self._period:
                return
            if self._state is CircuitState.HALF_OPEN:
                self._trials -= 1
            if outcome is not None:
                with contextlib.suppress(_Failed):
                    self._breaker.call(outcome)

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        """Called by pybreaker, while the lock is held."""
        self._state = _STATES[new_state.name]
        self._period += 1
        self._trials = 0
        level = logging.WARNING if self._state is CircuitState.OPEN else logging.INFO
        logger.log(level, "circuit %s is %s", self.name, self._state.label)
        self._changed(self._state)
