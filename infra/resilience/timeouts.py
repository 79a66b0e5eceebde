"""Bounds how long one remote call may take; every attempt of a protected port call runs in here."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from infra.errors import CallTimedOut

P = ParamSpec("P")
Result = TypeVar("Result")

DATABASE_SECONDS: Final = 30.0
CACHE_CONNECT_SECONDS: Final = 5.0
BROKER_SECONDS: Final = 5.0


class TimeLimit:
    """Raises CallTimedOut for a call that has no answer after `seconds`; whether it took effect is then unknown."""

    def __init__(self, name: str, seconds: float = DATABASE_SECONDS) -> None:
        if not seconds > 0:
            raise ValueError(f"the time limit of {name} must be above 0 seconds")
        self.name = name
        self.seconds = seconds

    async def call(self, fn: Callable[P, Awaitable[Result]], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the coroutine function answers; it is cancelled when its time is over."""
        try:
            async with asyncio.timeout(self.seconds) as limit:
                return await fn(*args, **kwargs)
        except TimeoutError as error:
            if not limit.expired():  # the function's own, of a driver
                raise
            raise CallTimedOut(self.name, self.seconds) from error

    def call_sync(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the plain function answers. It runs in a thread of its own, with the caller's context variables.

        Nothing can stop a thread: past its limit the call runs on unheard until its driver's own limit ends it.
        """
        answer: concurrent.futures.Future[Result] = concurrent.futures.Future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                result = context.run(fn, *args, **kwargs)
            except BaseException as error:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        threading.Thread(target=run, name=f"call of {self.name}", daemon=True).start()
        done, _ = concurrent.futures.wait([answer], timeout=self.seconds)
        if not done:
            raise CallTimedOut(self.name, self.seconds)
        return answer.result()
