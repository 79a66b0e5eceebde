"""Lets so many calls of one resource run at once, so many wait, and refuses the rest; every protected port call passes through here."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, ParamSpec, TypeVar

from pydantic import BaseModel, Field

from infra.errors import BulkheadFull

P = ParamSpec("P")
Result = TypeVar("Result")


class BulkheadPolicy(BaseModel, frozen=True, extra="forbid"):
    """How many calls run at once, and how many more may wait for their turn."""

    concurrent: int = Field(default=100, ge=1)
    waiting: int = Field(default=1_000, ge=0)


BULKHEAD: Final = BulkheadPolicy()


class _Turn:
    """A place in the waiting room. `granted` is set, under the bulkhead's lock, when a slot is handed to it."""

    __slots__ = ("granted", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.granted = False


class Bulkhead:
    """The slots of one resource, shared by tasks and threads; those who wait are served in the order in which they came.

    A call that finds the waiting room full is refused at once with BulkheadFull. A plain call waits in its thread: never make one
    on an event loop's thread.
    """

    def __init__(self, name: str, policy: BulkheadPolicy = BULKHEAD, *, refused: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._policy = policy
        self._refused = refused
        self._lock = threading.Lock()
        self._active = 0
        self._room: collections.deque[_Turn] = collections.deque()

    @property
    def active(self) -> int:
        """Calls that hold a slot."""
        return self._active

    @property
    def waiting(self) -> int:
        """Calls in the waiting room: its very length, so it cannot be lowered twice."""
        return len(self._room)

    async def call(self, fn: Callable[P, Awaitable[Result]], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the coroutine function answers, once there is a slot; raises BulkheadFull without calling it."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        turn = self._enter(lambda: loop.call_soon_threadsafe(_wake, woken))
        if turn is not None:
            with self._waiting_room(turn):
                await woken
        try:
            return await fn(*args, **kwargs)
        finally:
            self._leave()

    def call_sync(self, fn: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Result:
        """What the plain function answers, once there is a slot; raises BulkheadFull without calling it."""
        woken = threading.Event()
        turn = self._enter(woken.set)
        if turn is not None:
            with self._waiting_room(turn):
                woken.wait()
        try:
            return fn(*args, **kwargs)
        finally:
            self._leave()

    def _enter(self, wake: Callable[[], object]) -> _Turn | None:
        """None when a slot was taken, else the place in the waiting room."""
        with self._lock:
            if self._active < self._policy.concurrent:
                self._active += 1
                return None
            if len(self._room) < self._policy.waiting:
                turn = _Turn(wake)
                self._room.append(turn)
                return turn
        self._refused()
        raise BulkheadFull(self.name, self._policy.concurrent, self._policy.waiting)

    @contextlib.contextmanager
    def _waiting_room(self, turn: _Turn) -> Iterator[None]:
        """Ends with a slot, or, when the wait is cancelled, with neither slot nor place."""
        try:
            yield
        except BaseException:
            with self._lock:
                if not turn.granted:
                    self._room.remove(turn)
            if turn.granted:  # the slot came while the call was being cancelled
                self._leave()
            raise

    def _leave(self) -> None:
        """Hand the slot to who waits longest, else free it."""
        with self._lock:
            if not self._room:
                self._active -= 1
                return
            turn = self._room.popleft()
            turn.granted = True
        turn.wake()


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
